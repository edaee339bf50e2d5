"""Elementwise operators: one lookup each, as close to the real function as the output's format allows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto
from support.model_comparison import build, compare, grid

from zkinfer.compiler.lowering import arithmetic
from zkinfer.compiler.lowering.activation import Constant
from zkinfer.compiler.lowering.emitter import Emitter
from zkinfer.compiler.lowering.precision import EZKL, Precision
from zkinfer.compiler.onnx.ops import elementwise
from zkinfer.errors import NotFiniteError, UnsupportedOperatorError

# The table is correctly rounded; float32 itself, and saturation by one unit at a power of two, need the rest.
ROUNDING = 0.51
SATURATION = 1.01

FUNCTIONS = [
    ("Relu(x)", 17),
    ("LeakyRelu<alpha=0.2>(x)", 17),
    ("Elu<alpha=0.7>(x)", 17),
    ("Selu(x)", 17),
    ("Sigmoid(x)", 17),
    ("HardSigmoid<alpha=0.3, beta=0.4>(x)", 17),
    ("Tanh(x)", 17),
    ("Gelu(x)", 20),
    ('Gelu<approximate="tanh">(x)', 20),
    ("Erf(x)", 17),
    ("HardSwish(x)", 17),
    ("Mish(x)", 18),
    ("Softplus(x)", 17),
    ("Softsign(x)", 17),
    ("Exp(x)", 17),
    ("Sin(x)", 17),
    ("Cos(x)", 22),
    ("Atan(x)", 17),
    ("Sinh(x)", 17),
    ("Cosh(x)", 22),
    ("Asinh(x)", 17),
    ("Abs(x)", 17),
    ("Celu<alpha=0.7>(x)", 17),
    ("ThresholdedRelu<alpha=0.7>(x)", 17),
    ("Shrink<bias=0.25, lambd=1.25>(x)", 17),
    ("Swish<alpha=1.5>(x)", 24),
    ("Floor(x)", 17),
    ("Ceil(x)", 17),
    ("Round(x)", 17),
    ("Sign(x)", 17),
    ("Mod<fmod=1>(x, hi)", 17),
    ("Pow(two, x)", 17),
    ("Clip(x, lo, hi)", 17),
    ("Clip(x, lo)", 17),
    ("Clip(x, , hi)", 17),
    ("Pow(x, two)", 17),
    ("Pow(x, three)", 17),
    ("Max(x, lo)", 17),
    ("Min(x, hi)", 17),
    ("Min(hi, x)", 17),
]
CONSTANTS = {
    "s": np.array([0.25], dtype=np.float32),
    "lo": np.float32(-1.5),
    "hi": np.float32(2.25),
    "two": np.float32(2),
    "three": np.float32(3),
}


def constants(body: str) -> dict[str, np.ndarray]:
    names = {word.strip("() \n") for word in body.replace("(", ",").split(",")}
    return {name: np.asarray(value) for name, value in CONSTANTS.items() if name in names}


@pytest.mark.parametrize(("call", "opset"), FUNCTIONS)
@pytest.mark.parametrize("frac_bits", [4, 6])
def test_a_function_is_one_lookup_of_its_correctly_rounded_values(call: str, opset: int, frac_bits: int) -> None:
    model = build(f"y = {call}", {"x": [1, 256]}, constants(call), opset=opset)
    every = np.arange(-128, 128).reshape(1, 256) / 2.0**frac_bits
    result = compare(model, every)
    assert len(result.lookups) == 1
    assert result.error_in_units <= SATURATION
    fixed, real = result.fixed[0], result.floats[0]
    inside = (fixed > fixed.min()) & (fixed < fixed.max())
    assert np.abs(fixed - real)[inside].max() <= ROUNDING * result.units[0]


@pytest.mark.parametrize("call", ["Log(x)", "Sqrt(x)", "Reciprocal(x)", "Pow(x, half)", "Pow(x, minus)"])
def test_functions_of_positive_numbers(call: str) -> None:
    model = build(f"y = {call}", {"x": [1, 249]}, {"half": np.float32(0.5), "minus": np.float32(-1.5)})
    result = compare(model, np.arange(8, 257).reshape(1, 249) / 32)
    assert len(result.lookups) == 1
    assert result.error_in_units <= SATURATION


def test_a_chain_whose_domain_is_unknown_is_looked_up_in_two_steps() -> None:
    """The way in which torch writes pooling by a norm."""
    body = """s = Sign(x)
    a = Abs(x)
    r = Relu(a)
    m = Mul(s, r)
    y = Sqrt(m)"""
    result = compare(build(body, {"x": [1, 121]}), np.arange(8, 129).reshape(1, 121) / 32)
    assert len(result.lookups) == 2
    assert result.error_in_units <= 2


def test_a_function_of_numbers_from_one_on() -> None:
    result = compare(build("y = Acosh(x)", {"x": [1, 225]}), np.arange(32, 257).reshape(1, 225) / 32)
    assert len(result.lookups) == 1
    assert result.error_in_units <= SATURATION


@given(
    scale=st.sampled_from([0.5, -2.0, 3.0, 0.3, -0.7]),
    offset=st.sampled_from([0.0, 1.0, -0.5, 0.1]),
    seed=st.integers(0, 99),
)
@settings(max_examples=15)
def test_scalars_multiply_and_add_without_a_lookup_where_that_is_exact(scale: float, offset: float, seed: int) -> None:
    model = build(
        """h = Mul(x, a)
        y = Add(h, b)""",
        {"x": [1, 32]},
        {"a": np.float32(scale), "b": np.float32(offset)},
    )
    result = compare(model, grid(1, 32, seed=seed))
    if scale in (0.5, -2.0, 3.0):
        assert not result.lookups
        # 0.1 is rounded to a few digits more than the input has.
        assert result.error <= (0 if offset != np.float32(0.1) else 2.0**-8)
    else:
        assert len(result.lookups) == 1
        assert result.error_in_units <= SATURATION


@pytest.mark.parametrize("call", ["Neg(x)", "Sub(x, b)", "Sub(b, x)", "Div(x, two)", "Sum(x, x, b)", "Mean(x, b)"])
def test_exact_linear_forms(call: str) -> None:
    model = build(f"y = {call}", {"x": [1, 8]}, {"b": np.float32(0.75), "two": np.float32(2)})
    result = compare(model, grid(1, 8))
    assert not result.lookups
    assert result.error == 0


def test_a_scalar_divided_by_an_activation() -> None:
    model = build("y = Div(one, x)", {"x": [1, 100]}, {"one": np.float32(1)})
    result = compare(model, np.linspace(16, 128, 100).round()[None] / 32)
    assert len(result.lookups) == 1
    assert result.error_in_units <= SATURATION


@pytest.mark.parametrize(
    "body",
    [
        # GELU, as exporters write it.
        """a = Div(x, root2)
        b = Erf(a)
        c = Add(b, one)
        d = Mul(x, c)
        y = Mul(d, half)""",
        # SiLU, two ways.
        """a = Sigmoid(x)
        y = Mul(x, a)""",
        """a = Neg(x)
        b = Exp(a)
        c = Add(one, b)
        y = Div(x, c)""",
        # HardSwish.
        """a = Add(x, three)
        b = Clip(a, zero, six)
        c = Mul(x, b)
        y = Div(c, six)""",
        # tanh GELU.
        """a = Pow(x, three)
        b = Mul(a, small)
        c = Add(x, b)
        d = Mul(c, root2)
        e = Tanh(d)
        f = Add(e, one)
        h = Mul(x, f)
        y = Mul(h, half)""",
        # A squared difference of two functions of the same tensor.
        """a = Tanh(x)
        b = Sub(x, a)
        y = Mul(b, b)""",
        """a = Relu(x)
        b = Neg(x)
        y = Max(a, b)""",
    ],
)
def test_a_chain_over_one_tensor_becomes_one_lookup(body: str) -> None:
    names = {"root2": 2**0.5, "one": 1, "half": 0.5, "three": 3, "zero": 0, "six": 6, "small": 0.044715}
    used = {name: np.float32(value) for name, value in names.items() if name in body}
    result = compare(build(body, {"x": [1, 256]}, used), np.arange(-128, 128).reshape(1, 256) / 32)
    assert len(result.lookups) == 1
    assert len(result.program.nodes) == 1
    assert result.error_in_units <= SATURATION


def test_a_function_fuses_with_the_rescaling_of_the_layer_before_it() -> None:
    body = """h = Gemm(x, w, b)
    r = Relu(h)
    y = Gemm(r, v)"""
    rng = np.random.default_rng(1)
    weights = {"w": rng.normal(size=(6, 5)), "b": rng.normal(size=5), "v": rng.normal(size=(5, 3))}
    result = compare(build(body, {"x": [1, 6]}, weights), grid(40, 6))
    assert [lookup.out.label for lookup in result.lookups] == ["r"]


def test_a_tensor_that_many_read_is_looked_up_once() -> None:
    body = """r = Tanh(x)
    a = Gemm(r, w)
    b = Gemm(r, v)
    c = Add(a, b)
    y = Add(c, r)"""
    rng = np.random.default_rng(1)
    weights = {"w": rng.normal(size=(6, 6)), "v": rng.normal(size=(6, 6))}
    result = compare(build(body, {"x": [1, 6]}, weights), grid(40, 6))
    assert len(result.lookups) == 1


@pytest.mark.parametrize("call", ["Floor(x)", "Ceil(x)", "Round(x)", "Sign(x)"])
def test_rounded_numbers_are_whole(call: str) -> None:
    result = compare(build(f"y = {call}", {"x": [1, 256]}), np.arange(-128, 128).reshape(1, 256) / 8)
    assert result.program.output_tensors[0].frac_bits == 0
    assert result.error == 0


@pytest.mark.parametrize(
    "call", ["Div(i, c)", "Mod(i, c)", "Mod<fmod=1>(i, c)", "Abs(i)", "Neg(i)", "Max(i, c)", "Min(i, j)", "Clip(i, c)"]
)
@pytest.mark.parametrize("constant", [3, -4])
def test_arithmetic_of_integers(call: str, constant: int) -> None:
    inputs = {name: [1, 41] for name in "ij" if name in call.partition("(")[2]}
    constants = {"c": np.array(constant)} if ", c" in call else {}
    model = build(f"y = {call}", inputs, constants, types=dict.fromkeys("ijy", TensorProto.INT64))
    x = np.arange(-20, 21)[None]
    result = compare(model, *[x, x[:, ::-1] // 2][: len(inputs)])
    assert result.program.output_tensors[0].frac_bits == 0
    assert result.error == 0


class TestTwoTensors:
    @pytest.mark.parametrize("op", ["Add", "Sub", "Mul"])
    @pytest.mark.parametrize(("a", "b"), [((3, 4), (3, 4)), ((3, 1), (1, 4)), ((2, 3, 4), (4,)), ((1, 1), (3, 4))])
    def test_are_combined_exactly(self, op: str, a: tuple[int, ...], b: tuple[int, ...]) -> None:
        model = build(f"y = {op}(x, z)", {"x": [1, *a], "z": [1, *np.broadcast_shapes(b, (1,) * len(b))]})
        result = compare(model, grid(8, *a, seed=1), grid(8, *b, seed=2, frac_bits=6))
        assert not result.lookups
        assert result.error == 0

    @pytest.mark.parametrize("op", ["Max", "Min"])
    def test_are_compared(self, op: str) -> None:
        result = compare(build(f"y = {op}(x, z)", {"x": [1, 9], "z": [1, 9]}), grid(8, 9, seed=1), grid(8, 9, seed=2))
        assert len(result.lookups) == 1
        assert result.error <= 2.0**-4

    def test_are_divided_through_the_reciprocal(self) -> None:
        divisors = grid(30, 9, seed=2, lo=32, hi=64, frac_bits=5)
        result = compare(build("y = Div(x, z)", {"x": [1, 9], "z": [1, 9]}), grid(30, 9, seed=1, frac_bits=7), divisors)
        assert len(result.lookups) == 1
        assert result.error <= 2.0**-8

    def test_a_divisor_that_can_be_zero_is_refused(self) -> None:
        with pytest.raises(UnsupportedOperatorError, match=r"node 'd' .*divides by 'z', which ranges from -8 to"):
            compare(build("[d] y = Div(x, z)", {"x": [1, 9], "z": [1, 9]}), grid(8, 9, seed=1), grid(8, 9, seed=2))


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div"])
def test_a_tensor_of_constants_is_a_secret_weight(op: str) -> None:
    result = compare(build(f"y = {op}(x, w)", {"x": [1, 3, 4]}, {"w": [[0.5], [-1.0], [0.25]]}), grid(8, 3, 4))
    assert not result.lookups
    assert len(result.lowered.weights) == 1
    assert result.error == 0


@pytest.mark.parametrize("op", ["Max", "Min"])
def test_the_larger_and_the_smaller_of_a_tensor_and_constants(op: str) -> None:
    result = compare(build(f"y = {op}(x, w)", {"x": [1, 3, 4]}, {"w": [[0.5], [-1.0], [0.25]]}), grid(8, 3, 4))
    assert len(result.lookups) == 1
    assert result.error == 0


class TestOneFunctionForEachElement:
    @pytest.mark.parametrize("call", ["Div(i, c)", "Mod(i, c)", "Mod<fmod=1>(i, c)"])
    def test_of_integers(self, call: str) -> None:
        model = build(
            f"y = {call}",
            {"i": [1, 5, 4]},
            {"c": np.array([3, -4, 7, 3])},
            types=dict.fromkeys("iy", TensorProto.INT64),
        )
        result = compare(model, np.arange(-30, 30).reshape(3, 5, 4))
        # One lookup for each of the three divisors, of the elements that it divides.
        assert sum(lookup.out.size for lookup in result.lookups) == 20
        assert result.error == 0

    def test_of_exponents(self) -> None:
        tensors = {"e": np.array([[0.5], [2.0], [-1.0]], dtype=np.float32)}
        result = compare(build("y = Pow(x, e)", {"x": [1, 3, 4]}, tensors), grid(20, 3, 4, lo=8, frac_bits=5))
        assert len(result.lookups) == 3
        # Each function has a format of its own; the coarsest, of squares up to 15.75, has steps of 1/8.
        assert result.error <= ROUNDING / 8

    def test_of_bases(self) -> None:
        tensors = {"b": np.array([2.0, 0.5, 3.0], dtype=np.float32)}
        result = compare(build("y = Pow(b, x)", {"x": [1, 4, 3]}, tensors), grid(20, 4, 3, frac_bits=6))
        # Powers of 3 reach 9, and have steps of 1/8 up to 16.
        assert result.error <= SATURATION / 8

    def test_broadcasts_both_ways(self) -> None:
        tensors = {"e": np.array([[1.0, 2.0, 3.0]], dtype=np.float32)}
        result = compare(build("y = Pow(x, e)", {"x": [1, 4, 1]}, tensors), grid(20, 4, 1, frac_bits=6))
        assert result.program.output_tensors[0].shape == (1, 4, 3)
        assert result.error <= ROUNDING / 8


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT, TensorProto.INT64])
def test_computed_bases_and_exponents(dtype: int) -> None:
    """exp(y * log(x)), which has a relative error of the product's resolution."""
    fine = Precision(activation_bits=16, weight_bits=16, max_table_entries=1 << 17)
    model = build("y = Pow(x, z)", {"x": [1, 9], "z": [1, 9]}, types={"z": dtype})
    exponents = np.random.default_rng(0).integers(-2, 4, (20, 9))
    result = compare(model, grid(20, 9, lo=16, hi=96, frac_bits=5), exponents, precision=fine)
    assert result.error <= 27 * 2.0**-11


@pytest.mark.parametrize("dtype", [np.uint32, np.uint64])
def test_unsigned_exponents(dtype: type) -> None:
    model = build("y = Pow(x, e)", {"x": [1, 8]}, {"e": np.array(3, dtype=dtype)})
    assert compare(model, grid(20, 8, frac_bits=6)).error_in_units <= 1


class TestRefused:
    def test_a_base_that_is_not_positive(self) -> None:
        with pytest.raises(UnsupportedOperatorError, match="its base 'b' holds -2; only positive numbers"):
            compare(build("y = Pow(b, x)", {"x": [1, 2]}, {"b": np.float32(-2)}), np.ones((8, 2)))

    def test_integers_divided_by_what_is_computed_or_zero(self) -> None:
        types = dict.fromkeys("ijy", TensorProto.INT64)
        with pytest.raises(UnsupportedOperatorError, match="divided by 'j', which is computed; cast to float"):
            compare(build("y = Div(i, j)", {"i": [1, 2], "j": [1, 2]}, types=types), [[4, 5]], [[2, 2]])

        emitter = Emitter(EZKL, integer=True)
        i = emitter.integral_input("i", (2,), -4, 4)
        for handler in (elementwise.Mod, elementwise.Div):
            with pytest.raises(UnsupportedOperatorError, match="divides by 'c', which holds zeros"):
                handler(emitter, i, Constant("c", np.array([2, 0])))

    def test_whole_numbers_to_computed_powers(self) -> None:
        model = build("y = Pow(i, j)", {"i": [1, 2], "j": [1, 2]}, types=dict.fromkeys("ijy", TensorProto.INT64))
        with pytest.raises(UnsupportedOperatorError, match="its base 'i' and its exponent 'j' are both computed"):
            compare(model, np.ones((8, 2)), np.ones((8, 2)))

    def test_a_computed_power_of_what_is_not_positive(self) -> None:
        model = build("y = Pow(x, z)", {"x": [1, 2], "z": [1, 2]})
        with pytest.raises(NotFiniteError, match="'y/logarithm of a positive base' becomes NaN or infinite"):
            compare(model, np.full((8, 2), -1), np.ones((8, 2)))

    def test_more_functions_than_tables_are_made_for(self) -> None:
        model = build("y = Pow(x, e)", {"x": [1, 65]}, {"e": np.arange(1, 66) / 32})
        with pytest.raises(UnsupportedOperatorError, match=r"'e' holds 65 numbers, .* up to 64 are supported"):
            compare(model, np.ones((8, 65)))

    def test_division_by_a_constant_zero(self) -> None:
        # Float inference would stop calibration earlier, so the operator is asked directly.
        emitter = Emitter(EZKL)
        x = emitter.input("x", (1, 2), (-1.0, 1.0))
        with pytest.raises(UnsupportedOperatorError, match="'w', which holds zeros"):
            arithmetic.divide(emitter, x, Constant("w", np.array([1.0, 0.0])))


def test_sixteen_bits_are_as_close_as_sixteen_bits_can_be() -> None:
    fine = Precision(activation_bits=16, weight_bits=16, max_table_entries=1 << 17)
    x = np.arange(-(1 << 15), 1 << 15, 97).reshape(1, -1) / 2.0**13
    result = compare(build("y = Gelu(x)", {"x": [1, x.size]}, opset=20), x, precision=fine)
    assert result.error_in_units <= SATURATION
    assert result.units[0] <= 2.0**-13
