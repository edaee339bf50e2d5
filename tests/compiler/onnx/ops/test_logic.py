"""Comparisons and choices: exact on what fixed point holds exactly."""

import numpy as np
import pytest
from onnx import TensorProto
from support.model_comparison import build, compare, grid

from zkinfer.compiler.lowering.precision import NATIVE
from zkinfer.errors import UnsupportedOperatorError

COMPARISONS = ["Less", "LessOrEqual", "Greater", "GreaterOrEqual"]
BOOL, INT64 = TensorProto.BOOL, TensorProto.INT64


def few(*shape: int, seed: int = 0) -> np.ndarray:
    """Few different numbers, so that many are equal."""
    return np.random.default_rng(seed).integers(-3, 4, shape) / 4


@pytest.mark.parametrize("op", COMPARISONS)
@pytest.mark.parametrize("other", [(5,), (1,), (4, 5)])
def test_comparisons_of_two_tensors_also_where_they_are_equal(op: str, other: tuple[int, ...]) -> None:
    model = build(f"y = {op}(x, z)", {"x": [1, 4, 5], "z": [1, *other]}, types={"y": BOOL})
    result = compare(model, few(30, 4, 5), few(30, *other, seed=1))
    assert len(result.lookups) == 1
    assert (result.lookups[0].out.lo, result.lookups[0].out.hi, result.lookups[0].out.frac_bits) == (0, 1, 0)
    assert result.error == 0


@pytest.mark.parametrize("op", COMPARISONS)
@pytest.mark.parametrize("call", ["{}(x, c)", "{}(c, x)", "{}(x, w)"])
def test_comparisons_with_constants(op: str, call: str) -> None:
    constants = {"c": np.float32(0.25), "w": np.array([-0.5, 0.0, 0.25, 0.75], dtype=np.float32)}
    used = {name: value for name, value in constants.items() if name in call}
    result = compare(build(f"y = {call.format(op)}", {"x": [1, 4]}, used, types={"y": BOOL}), few(30, 4))
    assert result.error == 0


@pytest.mark.parametrize("op", [*COMPARISONS, "Equal"])
def test_integers_are_compared_exactly(op: str) -> None:
    model = build(f"y = {op}(i, j)", {"i": [1, 8], "j": [1, 8]}, types={"i": INT64, "j": INT64, "y": BOOL})
    rng = np.random.default_rng(0)
    assert compare(model, rng.integers(-9, 9, (40, 8)), rng.integers(-9, 9, (40, 8))).error == 0


@pytest.mark.parametrize("op", COMPARISONS)
def test_a_tensor_compared_with_itself(op: str) -> None:
    """Also where it is a function whose values no arithmetic has exactly."""
    body = f"e = Erf(x)\nc = {op}(e, e)\ny = Where(c, e, x)"
    result = compare(build(body, {"x": [1, 4]}), grid(20, 4), precision=NATIVE)
    assert result.error <= 0.001


@pytest.mark.parametrize("op", ["And", "Or", "Xor"])
@pytest.mark.parametrize("constant", [False, True])
def test_truth_values(op: str, constant: bool) -> None:
    a, b = np.array([[0, 0, 1, 1]], dtype=bool), np.array([[0, 1, 0, 1]], dtype=bool)
    inputs = {"a": [1, 4]} if constant else {"a": [1, 4], "b": [1, 4]}
    body = f"""c = {op}(a, b)
    y = Not(c)"""
    model = build(body, inputs, {"b": b} if constant else {}, types={"a": BOOL, "b": BOOL, "y": BOOL})
    result = compare(model, a) if constant else compare(model, a, b)
    assert (result.program.output_tensors[0].lo, result.program.output_tensors[0].hi) == (0, 1)
    assert result.error == 0


class TestWhere:
    @pytest.mark.parametrize(
        "call", ["Where(c, x, z)", "Where(c, x, w)", "Where(c, w, x)", "Where(c, one, two)", "Where(c, x, two)"]
    )
    @pytest.mark.parametrize("computed", [False, True])
    def test_chooses_exactly(self, call: str, computed: bool) -> None:
        if not computed and "x" not in call:
            return
        mask = np.array([[True, False, False, True]])
        tensors = {"w": np.array([0.5, -1.0, 2.0, 0.25], dtype=np.float32), "one": np.float32(1), "two": np.float32(2)}
        used = {name: value for name, value in tensors.items() if name in call}
        inputs = {name: [1, 4] for name in "xz" if name in call} | ({"c": [1, 4]} if computed else {})
        model = build(f"y = {call}", inputs, used if computed else used | {"c": mask}, types={"c": BOOL})
        data = [grid(8, 4, seed=1), grid(8, 4, seed=2)][: len(inputs) - computed]
        if computed:
            data.append(np.random.default_rng(0).integers(0, 2, (8, 4)).astype(bool))
        result = compare(model, *data)
        assert not result.lookups
        assert result.error == 0

    @pytest.mark.parametrize("value", [True, False])
    def test_of_one_truth_value_is_one_of_both(self, value: bool) -> None:
        model = build("y = Where(c, x, z)", {"x": [1, 4], "z": [1, 4]}, {"c": np.array([value])})
        result = compare(model, grid(8, 4, seed=1), grid(8, 4, seed=2))
        assert not result.program.nodes or not result.lookups
        assert result.error == 0

    def test_of_functions_of_one_tensor_is_one_lookup(self) -> None:
        """A hand-written leaky ReLU."""
        body = """c = Greater(x, zero)
        s = Mul(x, slope)
        y = Where(c, x, s)"""
        tensors = {"zero": np.float32(0), "slope": np.float32(0.1)}
        result = compare(build(body, {"x": [1, 64]}, tensors), grid(20, 64))
        assert len(result.lookups) == 1
        assert result.error_in_units <= 1.01

    def test_guards_a_function_that_is_not_defined_everywhere(self) -> None:
        body = """c = Greater(x, zero)
        safe = Max(x, small)
        l = Log(safe)
        y = Where(c, l, zero)"""
        tensors = {"zero": np.float32(0), "small": np.float32(1 / 16)}
        result = compare(build(body, {"x": [1, 64]}, tensors), grid(20, 64))
        assert result.error_in_units <= 1.01

    def test_broadcasts_all_three(self) -> None:
        model = build("y = Where(c, x, z)", {"x": [1, 4, 1], "z": [1, 1, 3]}, {"c": np.array([[True], [False]] * 2)})
        result = compare(model, grid(8, 4, 1, seed=1), grid(8, 1, 3, seed=2))
        assert result.fixed[0].shape[-2:] == (4, 3)
        assert result.error == 0


@pytest.mark.parametrize("op", ["IsNaN", "IsInf", "IsInf<detect_negative=0>"])
def test_the_answer_of_isnan_and_isinf_is_known(op: str) -> None:
    """The guard that exporters put around softmax."""
    body = f"""n = {op}(x)
    y = Where(n, zero, x)"""
    result = compare(build(body, {"x": [1, 4]}, {"zero": np.float32(0)}), grid(8, 4))
    assert not result.lookups
    assert result.error == 0


class TestMasks:
    MASK = np.tri(6, dtype=bool)

    @pytest.mark.parametrize("spread", [0.5, 16.0])
    @pytest.mark.parametrize("low", [-1e4, -1e9, np.finfo(np.float32).min, -np.inf])
    @pytest.mark.parametrize("form", ["Add(x, m)", "Add(m, x)", "Where(c, x, low)", "Where(d, low, x)"])
    def test_a_causal_softmax(self, form: str, low: float, spread: float) -> None:
        tensors = {
            "m": np.where(self.MASK, 0, low).astype(np.float32),
            "c": self.MASK,
            "d": ~self.MASK,
            "low": np.float32(low),
        }
        used = {name: value for name, value in tensors.items() if name in form.replace("Add", "").replace("Where", "")}
        model = build(f"s = {form}\ny = Softmax(s)", {"x": [1, 6, 6]}, used)
        result = compare(model, grid(30, 6, 6, frac_bits=7) * spread)
        assert (result.fixed[0][..., ~self.MASK] == 0).all()
        assert result.error <= 2.0**-8 * 1.5

    def test_what_is_masked_does_not_spoil_what_is_not(self) -> None:
        """A masked score far above the others would make all of their exponentials zero."""
        x = grid(30, 6, 6, frac_bits=7)
        x[..., ~self.MASK] += 40
        model = build(
            "s = Where(c, x, low)\ny = Softmax(s)", {"x": [1, 6, 6]}, {"c": self.MASK, "low": np.float32(-1e9)}
        )
        assert compare(model, x).error <= 0.05

    @pytest.mark.parametrize(
        "body",
        [
            """k = Cast<to=1>(keep)
            o = Sub(one, k)
            m = Mul(o, low)
            s = Add(x, m)
            y = Softmax(s)""",
            """b = Cast<to=9>(keep)
            s = Where(b, x, low)
            y = Softmax(s)""",
            """b = Cast<to=9>(keep)
            m = Where(b, zero, low)
            s = Add(x, m)
            y = Softmax(s)""",
        ],
    )
    def test_a_mask_that_is_an_input(self, body: str) -> None:
        tensors = {"one": np.float32(1), "zero": np.float32(0), "low": np.float32(-3e38)}
        used = {name: value for name, value in tensors.items() if name in body}
        model = build(body, {"x": [1, 4, 6], "keep": [1, 1, 6]}, used, types={"keep": INT64})
        keep = np.random.default_rng(0).integers(0, 2, (30, 1, 6))
        keep[..., 0] = 1
        result = compare(model, grid(30, 4, 6, frac_bits=5), keep)
        assert (result.fixed[0][np.broadcast_to(keep[:, None] == 0, result.fixed[0].shape)] == 0).all()
        assert result.error <= 2.0**-8 * 1.5

    def test_anything_but_softmaxes_and_maxima_refuses_masked_scores(self) -> None:
        tensors = {"m": np.array([0, -1e9], dtype=np.float32)}
        with pytest.raises(
            UnsupportedOperatorError, match=r"holds scores that are masked .* only softmaxes and maxima take"
        ):
            compare(build("s = Add(x, m)\ny = Tanh(s)", {"x": [1, 2]}, tensors), grid(8, 2))
        with pytest.raises(UnsupportedOperatorError, match="output 'y' holds masked scores"):
            compare(build("y = Add(x, m)", {"x": [1, 2]}, tensors), grid(8, 2))


def test_a_mask_is_compared_with_a_number_for_equality() -> None:
    body = """c = Equal(k, zero)
    y = Where(c, zero, x)"""
    keep = np.random.default_rng(0).integers(0, 2, (20, 4))
    result = compare(build(body, {"x": [1, 4], "k": [1, 4]}, {"zero": np.float32(0)}), few(20, 4), keep)
    assert result.error == 0


def test_a_number_that_the_format_holds_is_compared_for_equality() -> None:
    """As a division that avoids zero does."""
    body = """none = Equal(x, zero)
    safe = Where(none, one, x)
    share = Div(z, safe)
    y = Where(none, zero, share)"""
    model = build(body, {"x": [1, 4], "z": [1, 4]}, {"zero": np.float32(0), "one": np.float32(1)})
    x = np.abs(few(20, 4))
    x[x < 0.3] = 0
    assert (x == 0).any()
    assert compare(model, x, few(20, 4), precision=NATIVE).error < 1e-3


class TestRefused:
    def test_a_number_that_the_format_does_not_hold_compared_for_equality(self) -> None:
        model = build("y = Equal(x, z)", {"x": [1, 4]}, {"z": np.float32(1 / 3)}, types={"y": BOOL})
        with pytest.raises(UnsupportedOperatorError, match="format holds exactly, such as zero"):
            compare(model, few(8, 4))

    def test_real_numbers_compared_for_equality(self) -> None:
        with pytest.raises(UnsupportedOperatorError, match="real numbers for equality, which rounding decides"):
            compare(build("y = Equal(x, z)", {"x": [1, 4], "z": [1, 4]}, types={"y": BOOL}), few(8, 4), few(8, 4))

    def test_integers_too_far_apart_for_a_table(self) -> None:
        model = build("y = Less(i, c)", {"i": [1, 4]}, {"c": np.array(7)}, types={"i": INT64, "y": BOOL})
        with pytest.raises(UnsupportedOperatorError, match="max_table_entries=114688 or more"):
            compare(model, np.array([[0, 1, 2, 100_000]]))

    def test_arithmetic_that_could_overflow_its_type(self) -> None:
        types = {"i": TensorProto.INT8, "y": TensorProto.INT8}
        with pytest.raises(UnsupportedOperatorError, match=r"could reach -256 to 254 and overflow INT8"):
            compare(build("y = Add(i, i)", {"i": [1, 4]}, types=types), np.array([[0, 1, 2, 3]], dtype=np.int8))
