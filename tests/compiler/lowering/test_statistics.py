"""Rows over their roots and sums: as good for quiet rows as for loud ones, beyond calibration, and for zeros."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.model_comparison import build, check_extremes

from zkinfer.circuit.bounds import check_bounds
from zkinfer.circuit.derived_bounds import derived_bounds
from zkinfer.circuit.evaluate import evaluate
from zkinfer.circuit.program import Einsum, Lookup
from zkinfer.circuit.qformat import dequantize, quantize
from zkinfer.circuit.validate import validate
from zkinfer.compiler.calibration.calibrate import calibrate
from zkinfer.compiler.calibration.float_model import FloatModel
from zkinfer.compiler.lowering.precision import EZKL, NATIVE, Precision
from zkinfer.compiler.lowering.result import Lowered
from zkinfer.compiler.onnx.importer import import_model
from zkinfer.compiler.onnx.load import load_model
from zkinfer.protocol.field.params import P
from zkinfer.typing import FloatArray

N, ROWS = 48, 6
UNIT = 2.0**-12
"""Of inputs between -8 and 8 in 16 bits, and a little more: what is smaller is zero, in the circuit as in the model."""


@dataclass(frozen=True)
class Model:
    """A model of rows, lowered; both take inputs that the circuit holds exactly."""

    lowered: Lowered
    floats: FloatModel

    def run(self, *inputs: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """What the circuit says, and what the model says."""
        program = self.lowered.program
        runs = [np.asarray(x, np.float64).reshape(-1, *t.shape) for x, t in zip(inputs, program.inputs, strict=True)]
        integers = [quantize(x, tensor) for x, tensor in zip(runs, program.inputs, strict=True)]
        exact = [dequantize(x, tensor) for x, tensor in zip(integers, program.inputs, strict=True)]
        (output,) = program.outputs
        fixed = dequantize(evaluate(program, self.lowered.weights, integers)[output], program.tensor(output))
        real = self.floats.run([x.astype(np.float32) for x in exact])["y"]
        return fixed, real.astype(np.float64)


def lowered(
    body: str,
    inputs: Mapping[str, Sequence[int]],
    weights: Mapping[str, object],
    calibration: Sequence[npt.ArrayLike],
    precision: Precision = NATIVE,
    opset: int = 18,
) -> Model:
    shapes = {name: (1, *shape) for name, shape in inputs.items()}
    normalized = load_model(build(body, shapes, weights, opset=opset), batch=1)
    arrays = [np.asarray(x, np.float32) for x in calibration]
    result = import_model(normalized, calibrate(normalized, arrays), precision)
    validate(result.program)
    check_bounds(result.program, result.weights)
    derived_bounds(result.program, P // 2)
    check_extremes(result)
    return Model(result, FloatModel(normalized))


def rows(seed: int, samples: int = 32) -> FloatArray:
    """Rows of all sizes from 2^-8 to 2, up to 8 in magnitude."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, (samples, ROWS, N)) * 2.0 ** rng.uniform(-8, 1, (samples, ROWS, 1))
    x = np.clip(x, -7.9, 7.9)
    x[0, 0, 0], x[1, 0, 0] = 7.9, -7.9
    return x


WEIGHTS = {
    "a": np.array([-1]), "eps": np.float32(1e-6), "two": np.float32(2), "minus": np.float32(-0.5),
    "tiny": np.float32(1e-12), "zero": np.float32(0), "s": np.ones(N), "o": np.zeros(N), "shape": [1, ROWS, N],
    "ones": np.ones(ROWS), "zeros": np.zeros(ROWS),
}  # fmt: skip

CENTRED = """m = ReduceMean(x, a)
d = Sub(x, m)
"""
VARIANCE = f"""{CENTRED}q = Mul(d, d)
v = ReduceMean(q, a)
e = Add(v, eps)
"""
SHARES = {
    "LayerNormalization": "y = LayerNormalization<epsilon=1e-6>(x, s, o)",
    "spelled out": f"{VARIANCE}r = Sqrt(e)\ny = Div(d, r)",
    "powers": f"""{CENTRED}q = Pow(d, two)
        v = ReduceMean(q, a)
        e = Add(v, eps)
        r = Pow(e, minus)
        y = Mul(d, r)""",
    "reciprocal": f"{VARIANCE}r = Sqrt(e)\nt = Reciprocal(r)\ny = Mul(t, d)",
    "mean of squares less square of mean": """m = ReduceMean(x, a)
        q = Mul(x, x)
        k = ReduceMean(q, a)
        j = Mul(m, m)
        u = Sub(k, j)
        v = Max(u, zero)
        e = Add(v, eps)
        r = Sqrt(e)
        t = Reciprocal(r)
        d = Sub(x, m)
        y = Mul(d, t)""",
    "InstanceNormalization": "y = InstanceNormalization<epsilon=1e-6>(x, ones, zeros)",
    "GroupNormalization": "y = GroupNormalization<epsilon=1e-6, num_groups=6>(x, ones, zeros)",
    "RMSNormalization": "y = RMSNormalization<epsilon=1e-6>(x, s)",
    "LpNormalization": "y = LpNormalization<axis=-1, p=2>(x)",
    "L1": "y = LpNormalization<axis=-1, p=1>(x)",
    "unit length": """l = ReduceL2(x, a)
        c = Clip(l, tiny)
        e = Expand(c, shape)
        y = Div(x, e)""",
    "length and a little": "l = ReduceL2(x, a)\nc = Add(l, eps)\ny = Div(x, c)",
}
CENTRES = {name for name in SHARES if name not in ("RMSNormalization", "LpNormalization", "L1", "unit length")}


@cache
def share(name: str) -> Model:
    opset = {"RMSNormalization": 23, "GroupNormalization": 21}.get(name, 18)
    return lowered(SHARES[name], {"x": (ROWS, N)}, WEIGHTS, [rows(0)], opset=opset)


def relative_error(fixed: FloatArray, real: FloatArray) -> float:
    """The largest of any row: its error over its length."""
    lengths = np.maximum(np.linalg.norm(real, axis=-1), 1e-9)
    return float((np.linalg.norm(fixed - real, axis=-1) / lengths).max())


@pytest.mark.parametrize("name", SHARES)
@given(size=st.floats(-9, 0.5), seed=st.integers(0, 99))
@settings(max_examples=6, deadline=None)
def test_rows_of_all_sizes_have_the_same_error(name: str, size: float, seed: int) -> None:
    """From 2^-9 to 1.4, so that the sums of their squares have sizes over 2^19 times themselves."""
    rng = np.random.default_rng(seed)
    x = np.clip(rng.normal(0, 2.0**size, (4, ROWS, N)), -7.9, 7.9)
    # The mean of a row is rounded to a sixteenth of a unit, or less.
    assert relative_error(*share(name).run(x)) < 2e-3 + UNIT / 32 / 2.0**size


@pytest.mark.parametrize("name", SHARES)
def test_rows_of_zeros_are_zeros_and_disturb_no_other(name: str) -> None:
    x = rows(1, samples=4)
    before, _ = share(name).run(x)
    x[:, 2] = 0
    fixed, real = share(name).run(x)
    assert (fixed[:, :, 2] == 0).all()
    assert np.abs(real[:, :, 2]).max() == 0
    others = [0, 1, 3, 4, 5]
    assert (fixed[:, :, others] == before[:, :, others]).all()


@pytest.mark.parametrize("name", sorted({*CENTRES} - {"length and a little"}))
def test_constant_rows_are_zeros(name: str) -> None:
    x = rows(1, samples=4)
    x[:, 3], x[:, 4] = 1.37, -7.9
    fixed, _ = share(name).run(x)
    assert (fixed[:, :, 3:5] == 0).all()


@pytest.mark.parametrize("name", SHARES)
def test_one_huge_element_spoils_no_other_row(name: str) -> None:
    body, weights = SHARES[name], WEIGHTS
    opset = {"RMSNormalization": 23, "GroupNormalization": 21}.get(name, 18)

    def data(seed: int) -> FloatArray:
        x = np.random.default_rng(seed).uniform(-1, 1, (16, ROWS, N))
        x[:, 0, 7] = 223 * np.random.default_rng(seed).uniform(0.98, 1, 16)
        return x

    model = lowered(body, {"x": (ROWS, N)}, weights, [data(0)], opset=opset)
    fixed, real = (y[:, 0, 1:] for y in model.run(0.97 * data(1)))
    cosines = (fixed * real).sum(-1) / np.linalg.norm(fixed, axis=-1) / np.linalg.norm(real, axis=-1)
    assert cosines.min() > 1 - 1e-6
    # Absolute values have a format of their own, which is coarser here.
    assert np.abs((fixed * real).sum(-1) / (real * real).sum(-1) - 1).max() < (1e-2 if name == "L1" else 1e-3)


@pytest.mark.parametrize("eps", [1e-5, 1e-7, 1e-12])
def test_every_epsilon_serves(eps: float) -> None:
    """Inputs of 0.02, of 1, and zeros, with a product behind the normalization, whose output is at most sqrt(n)."""
    rng = np.random.default_rng(3)
    weights = {**WEIGHTS, "w": rng.normal(0, N**-0.5, (N, 8))}
    for size in (0.02, 1.0):
        x = rng.normal(0, size, (24, ROWS, N))
        x[:, 0] = 0
        body = f"h = LayerNormalization<epsilon={eps:.12f}>(x, s, o)\ny = MatMul(h, w)"
        model = lowered(body, {"x": (ROWS, N)}, weights, [x])
        fixed, real = model.run(x)
        assert np.abs(fixed - real).max() < 2e-3
        assert (fixed[:, 0, 0] == 0).all()


@pytest.mark.parametrize("factor", [1 / 64, 1 / 8, 0.3, 1.0])
def test_calibration_at_one_size_serves_others(factor: float) -> None:
    rng = np.random.default_rng(4)
    model = lowered(SHARES["spelled out"], {"x": (ROWS, N)}, WEIGHTS, [rng.uniform(-1, 1, (32, ROWS, N))])
    assert relative_error(*model.run(factor * rng.uniform(-1, 1, (4, ROWS, N)))) < 1e-3


def test_a_share_larger_than_any_observed_saturates_there() -> None:
    """Rows of one element reach sqrt(n); calibration saw no row like that, and a table would be coarse up to there."""
    rng = np.random.default_rng(5)
    wide = 1 << 14
    body = "y = RMSNormalization<epsilon=1e-6>(x, s)"
    model = lowered(body, {"x": (wide,)}, {"s": np.ones(wide)}, [rng.uniform(0.5, 1, (4, wide))], opset=23)
    x = rng.uniform(0.5, 1, (1, wide))
    assert relative_error(*model.run(x)) < 2e-3
    spike = np.zeros((1, wide))
    spike[0, 5] = 0.9
    fixed, real = model.run(spike)
    assert real.max() > 100
    assert 1 < fixed.max() < 4
    assert np.flatnonzero(fixed).tolist() == [5]


def test_one_lookup_an_element_and_a_few_a_row() -> None:
    model = share("LayerNormalization")
    sizes = [node.out.size for node in model.lowered.program.nodes if isinstance(node, Lookup)]
    assert [size for size in sizes if size > ROWS] == [ROWS * N]
    assert len(sizes) <= 8


def test_all_ways_to_write_a_layer_normalization_are_the_same_program() -> None:
    def nodes(name: str) -> list[tuple[str, int, int]]:
        return [
            (type(node).__name__, node.out.size, node.out.frac_bits)
            for node in share(name).lowered.program.nodes
            if isinstance(node, Einsum | Lookup)
        ]

    expected = nodes("spelled out")
    for name in ("powers", "reciprocal", "mean of squares less square of mean"):
        assert nodes(name) == expected


FUNCTIONS = {
    "root": "y = ReduceL2(x, a)",
    "logarithm": "q = Mul(x, x)\nk = ReduceSum(q, a)\ne = Add(k, eps)\ny = Log(e)",
    "ReduceSumSquare": "k = ReduceSumSquare(x, a)\ny = Sqrt(k)",
    "inverse root": "q = Mul(x, x)\nk = ReduceMean(q, a)\ne = Add(k, eps)\nr = Sqrt(e)\ny = Reciprocal(r)",
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_sums_of_squares(name: str) -> None:
    x, calibration = rows(6), rows(0)
    x[:, 1] = calibration[:, 1] = 0
    model = lowered(FUNCTIONS[name], {"x": (ROWS, N)}, WEIGHTS, [calibration])
    fixed, real = model.run(x)
    if name == "logarithm":
        assert np.abs(fixed - real).max() < 1e-3
    else:
        unit = np.abs(real).max() * 2.0**-14
        assert (np.abs(fixed - real) <= np.maximum(1e-3 * np.abs(real), unit)).all()


def test_a_quotient_of_any_numbers_has_the_error_of_its_dividend() -> None:
    """z / |x|^2, of which nothing is known but what calibration saw; larger ones saturate."""
    body = "q = Mul(x, x)\nk = ReduceSum(q, a)\ne = Add(k, eps)\ny = Div(z, e)"
    rng, x = np.random.default_rng(7), rows(0)
    z = rng.normal(0, 1, (32, ROWS, 1)) * (x * x).sum(-1, keepdims=True)
    model = lowered(body, {"x": (ROWS, N), "z": (ROWS, 1)}, WEIGHTS, [x, z])
    fixed, real = model.run(x, z)
    # Half a unit of the dividend, and the relative error of the reciprocal.
    rounded = 2.0 ** -model.lowered.program.inputs[1].frac_bits / (x * x).sum(-1, keepdims=True)[:, None]
    assert (np.abs(fixed - real) < rounded + 2e-3 * np.abs(real) + 2e-4 * np.abs(real).max()).all()
    z[:] = z.max()
    fixed, real = model.run(x, z)
    assert real.max() > 100 * fixed.max()
    assert fixed.min() >= 0


def test_small_tables_and_few_bits_serve() -> None:
    for precision in (Precision(8, 8, 1 << 11), Precision(8, 8, 1 << 16), Precision(12, 8, 1 << 12)):
        rng = np.random.default_rng(8)
        x = rng.uniform(-1, 1, (32, ROWS, N)) * 2.0 ** rng.uniform(-2, 0, (32, ROWS, 1))
        model = lowered(SHARES["LayerNormalization"], {"x": (ROWS, N)}, WEIGHTS, [x], precision)
        fixed, real = model.run(x)
        assert max(len(table.values) for table in model.lowered.program.tables) <= precision.max_table_entries
        assert relative_error(fixed, real) < 0.06


def test_without_relative_precision_no_remainder_is_wide() -> None:
    """As ezkl wants it, where a remainder costs a table of its range."""
    x = np.random.default_rng(9).uniform(-1, 1, (32, ROWS, N))
    model = lowered(SHARES["LayerNormalization"], {"x": (ROWS, N)}, WEIGHTS, [x], EZKL)
    shifts = [node.shift for node in model.lowered.program.nodes if isinstance(node, Lookup)]
    assert max(shifts) <= 11


def layers(precision: Precision) -> Model:
    """A normalization between two products, as in a transformer, of which one channel is 50 times as large."""
    rng = np.random.default_rng(7)
    first, second = rng.normal(0, N**-0.5, (N, N)), rng.normal(0, N**-0.5, (N, 8))
    first[:, 5] *= 50
    second[5] /= 50
    body = """h = MatMul(x, first)
    n = LayerNormalization<axis=-1>(h, scale, bias)
    y = MatMul(n, second)"""
    weights = {"first": first, "scale": 1 + rng.normal(0, 0.1, N), "bias": rng.normal(0, 0.1, N), "second": second}
    return lowered(body, {"x": (ROWS, N)}, weights, [rng.normal(0, 1, (64, ROWS, N))], precision)


def test_with_few_bits_what_is_rounded_again_is_rounded_finely_first() -> None:
    """The row, and its share before the learned scale, have the digits of a table and not those of an activation."""
    x = np.random.default_rng(8).normal(0, 1, (16, ROWS, N))
    errors = []
    for relative in (True, False):
        fixed, real = layers(Precision(8, 12, 1 << 16, relative=relative)).run(np.clip(x, -3, 3))
        errors.append(np.sqrt(((fixed - real) ** 2).mean() / (real**2).mean()))
    assert errors[0] < 0.08 * errors[1]


def test_a_row_with_an_outlier_channel_is_seen_to_be_less_its_mean() -> None:
    """Sums of such a row are of a form of it with powers of two; the mean is still taken from the row itself."""
    program = layers(Precision(8, 12, 1 << 16)).lowered.program
    per_element = sum(node.out.size for node in program.nodes if isinstance(node, Lookup)) / (ROWS * N)
    assert per_element < 3.5


def test_a_residual_sum_that_is_rounded_first_is_seen_to_be_what_is_squared() -> None:
    """As in Llama: the sum is wider than what can be squared, and its rounding is what is divided too."""
    rng = np.random.default_rng(9)
    body = """h = MatMul(x, w)
    r = Add(x, h)
    p = Pow(r, two)
    m = ReduceMean<keepdims=1>(p, last)
    e = Add(m, eps)
    s = Sqrt(e)
    i = Reciprocal(s)
    y = Mul(r, i)"""
    weights = {
        "w": rng.normal(0, N**-0.5, (N, N)),
        "two": np.float32(2),
        "last": np.array([-1]),
        "eps": np.float32(1e-5),
    }
    x = rng.normal(0, 1, (64, ROWS, N))
    model = lowered(body, {"x": (ROWS, N)}, weights, [x])
    program = model.lowered.program
    largest = max(
        max(-source.lo, source.hi) * 2.0**-source.frac_bits
        for node in program.nodes
        if isinstance(node, Lookup) and node.out.label.startswith("y") and node.out.size == ROWS * N
        for source in [program.tensor(node.source)]
    )
    assert largest < 16 * np.sqrt(N), "that no quotient exceeds the root of the number of elements is proven, nearly"
    fixed, real = model.run(x[:16])
    assert np.abs(fixed - real).max() < 2.0**-8


@pytest.mark.parametrize("samples", [1, 32])
def test_an_inverse_deviation_that_is_an_output_has_all_its_digits(samples: int) -> None:
    """Its proven range reaches to the root of 1 / epsilon; a table of that alone would be off by half a percent.

    Of one row alone, calibration shows one number.
    """
    x = np.clip(np.random.default_rng(0).normal(0, 0.5, (samples, 1, N)), -7.9, 7.9)
    body = "n, m, y = LayerNormalization<epsilon=1e-5>(x, s, o)"
    model = lowered(body, {"x": [1, N]}, {"s": np.ones(N), "o": np.zeros(N)}, [x])
    fixed, floats = model.run(x)
    assert np.abs(fixed / floats - 1).max() < 2.0**-12
