"""What compiles is the model, or the compiler says where it is not: models that fixed point gets wrong easily.

Each case has samples that calibrate it and samples that it meets later, which the circuit accepts. Its right values are
those of onnxruntime. They are small forms of what exporters write and trained networks hold.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx import helper
from support.model_comparison import build

import zkinfer as zk
from zkinfer.compiler.calibration.stress import TYPICAL_LIMIT
from zkinfer.errors import AccuracyWarning, CompileError
from zkinfer.typing import Array, FloatArray

LAST = np.array([-1])


def f4(values: object) -> Array:
    """Numbers as float32."""
    return np.asarray(values, dtype=np.float32)


def uniform(*shape: int, seed: int = 1, lo: float = -1.0, hi: float = 1.0) -> Array:
    return np.random.default_rng(seed).uniform(lo, hi, shape).astype(np.float32)


def normal(*shape: int, seed: int = 2) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@dataclass(frozen=True)
class Case:
    """A model, and where it has to be right.

    Attributes:
        model: in ONNX.
        calibration, later: one array an input, samples first.
        error: the largest root mean square error of any sample's output, relative to that sample's.
    """

    model: onnx.ModelProto
    calibration: list[Array]
    later: list[Array]
    error: float = TYPICAL_LIMIT


def case(
    body: str,
    calibration: Array | list[Array],
    later: Array | list[Array],
    weights: Mapping[str, npt.ArrayLike] | None = None,
    *,
    names: str = "x",
    error: float = TYPICAL_LIMIT,
    integer: bool = False,
    opset: int = 18,
) -> Case:
    """A case whose inputs have the shapes of its samples."""
    known = calibration if isinstance(calibration, list) else [calibration]
    inputs = {name: ["n", *array.shape[1:]] for name, array in zip(names.split(), known, strict=True)}
    types = {name: onnx.TensorProto.INT64 for name, a in zip(names.split(), known, strict=True) if a.dtype.kind == "i"}
    model = build(body, inputs, weights, integer_outputs=("y",) if integer else (), types=types or None, opset=opset)
    return Case(model, known, later if isinstance(later, list) else [later], error)


def of_onnxruntime(model: onnx.ModelProto, samples: list[Array]) -> FloatArray:
    """The first output, sample by sample."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    runs = [
        session.run(None, {n: a[k : k + 1] for n, a in zip(names, samples, strict=True)})
        for k in range(len(samples[0]))
    ]
    return np.concatenate([outputs[0] for outputs in runs]).astype(np.float64)


def largest_error(expected: FloatArray, found: FloatArray) -> float:
    """The largest root mean square error of a sample, relative to that sample."""
    want, have = (a.reshape(len(a), -1) for a in (expected, np.asarray(found).reshape(expected.shape)))
    norms = np.linalg.norm(want, axis=1)
    return float((np.linalg.norm(want - have, axis=1) / np.where(norms > 0, norms, 1.0)).max())


ROWS = uniform(128, 8)
WIDE = uniform(8, 16, seed=3)
KEEP = np.concatenate([np.ones((256, 1)), np.random.default_rng(0).integers(0, 2, (256, 4))], axis=1).astype(np.float32)
LOGITS = uniform(6, 5, seed=4)
NORMALIZED = "h = MatMul(x, w)\ny = LayerNormalization(h, g)"
ONES = np.ones(16, np.float32)
LOUDNESS = np.exp(np.random.default_rng(5).uniform(-6, 0, (128, 1, 1)))
SPECTRA = (uniform(128, 2, 64) * LOUDNESS).astype(np.float32)
PLANE = f4([[1, -1], [-1, 1], [0.2, 0.1], [-1, -1], [0.3, 0.2]])
TILTED = f4([[1, 0.5], [0.5, 1]])
UNITS = 10.0 ** np.array([5, -2, 0, 3, -1, 1, 2, 0])
CENTRED_ROWS = (normal(96, 1) + normal(96, 64, seed=6) * np.exp(uniform(96, 1, seed=7, lo=-5, hi=0))).astype(np.float32)


def _tokens(count: int, size: float, seed: int) -> Array:
    """Tokens of which the first has one activation that is far larger than all others."""
    x = uniform(count, 16, 64, seed=seed)
    x[:, 0, 7] = size * uniform(count, seed=seed, lo=0.98, hi=1.0)
    return x


MASKED = {
    f"a float mask, {low:g}": case(
        "i = Sub(one, m)\nn = Mul(i, big)\nl = MatMul(x, w)\ns = Add(l, n)\ny = Softmax(s)",
        [uniform(256, 6), KEEP],
        [uniform(64, 6, seed=8), KEEP[64:128]],
        {"w": LOGITS, "one": f4(1), "big": f4(low)},
        names="x m",
    )
    for low in (-1e4, -1e9, float(np.finfo(np.float32).min))
} | {
    f"an added mask, {low:g}": case(
        "l = MatMul(x, w)\ns = Add(l, m)\ny = Softmax(s)",
        [uniform(256, 6), (1 - KEEP) * f4(low)],
        [uniform(64, 6, seed=8), (1 - KEEP[64:128]) * f4(low)],
        {"w": LOGITS},
        names="x m",
    )
    for low in (-1e4, -1e9, float(np.finfo(np.float32).min))
}

COMPARED = {
    "ArgMax beyond the calibrated logits": case(
        "l = MatMul(x, w)\ny = ArgMax<axis=1>(l)", PLANE, f4([[0.4, 0.6], [0.6, 0.4]]), {"w": TILTED}, integer=True
    ),
    "Softmax beyond the calibrated logits": case(
        "l = MatMul(x, w)\ny = Softmax(l)", PLANE, f4([[0.4, 0.6], [0.6, 0.4]]), {"w": 40 * TILTED}
    ),
    "ReduceMax beyond the calibrated range": case(
        "l = MatMul(x, w)\ny = ReduceMax(l, a)", PLANE, f4([[0.4, 0.6]]), {"w": TILTED, "a": LAST}
    ),
}

SCALED = {
    f"LayerNormalization at {scale:g}x": case(NORMALIZED, ROWS, ROWS[:32] * f4(scale), {"w": WIDE, "g": ONES})
    for scale in (1, 0.3, 0.1)
} | {
    "LayerNormalization with a zero row": case(
        NORMALIZED, np.concatenate([ROWS, ROWS[:1] * 0]), ROWS[:32], {"w": WIDE, "g": ONES}
    ),
    "LayerNormalization, epsilon 1e-12": case(
        "n = LayerNormalization<epsilon=1e-12>(x, g)\ny = MatMul(n, w)",
        uniform(96, 16),
        uniform(24, 16, seed=9),
        {"g": ONES, "w": uniform(16, 4)},
    ),
    "one large token": case(
        "y = LayerNormalization(x, g)", _tokens(64, 223, 1), _tokens(8, 217, 2), {"g": np.ones(64)}
    ),
    "logarithm of a power": case(
        "s = Mul(x, x)\np = ReduceSum<keepdims=0>(s, a)\nq = Add(p, e)\ny = Log(q)",
        SPECTRA[:96],
        SPECTRA[96:],
        {"a": np.array([1]), "e": f4(1e-8)},
    ),
    "magnitude of a spectrum": case(
        "s = Mul(x, x)\np = ReduceSum<keepdims=0>(s, a)\ny = Sqrt(p)", SPECTRA[:96], SPECTRA[96:], {"a": np.array([1])}
    ),
    "variance as a difference of means": case(
        """m = ReduceMean(x, a)
        xx = Mul(x, x)
        mm = ReduceMean(xx, a)
        m2 = Mul(m, m)
        v = Sub(mm, m2)
        ve = Add(v, e)
        s = Sqrt(ve)
        d = Sub(x, m)
        y = Div(d, s)""",
        CENTRED_ROWS[:80],
        CENTRED_ROWS[80:],
        {"a": LAST, "e": f4(1e-6)},
    ),
    "inputs of 1e-13": case(
        "z = Mul(x, k)\ny = MatMul(z, w)", uniform(32, 4) * f4(1e-13), uniform(8, 4, seed=9) * f4(9e-14),
        {"k": f4(1e13), "w": uniform(4, 3)},
    ),
    "features of very different units": case(
        "d = Sub(x, m)\nq = Div(d, s)\ny = MatMul(q, w)",
        (normal(128, 8) * UNITS + 3 * UNITS).astype(np.float32),
        (normal(128, 8)[:32] * 0.9 * UNITS + 3 * UNITS).astype(np.float32),
        {"m": (3 * UNITS).astype(np.float32), "s": UNITS.astype(np.float32), "w": uniform(8, 3)},
    ),
}  # fmt: skip

OLD = {
    "Hardmax-11": case("y = Hardmax<axis=1>(x)", uniform(32, 3, 4), uniform(8, 3, 4, seed=9), opset=11),
    "Upsample-9": case(
        'y = Upsample<mode="linear">(x, s)', uniform(32, 1, 3, 3), uniform(8, 1, 3, 3, seed=9) * f4(0.9),
        {"s": f4([1, 1, 2, 2])}, opset=9,
    ),
    "Resize-10": case(
        'y = Resize<mode="linear">(x, s)', uniform(32, 1, 3, 3), uniform(8, 1, 3, 3, seed=9) * f4(0.9),
        {"s": f4([1, 1, 2, 2])}, opset=10,
    ),
    "Gather of negative indices": case(
        "y = Gather(w, i)", np.array([[-1, 3], [0, -10]]), np.array([[-10, 9], [-3, 0]]), {"w": uniform(10, 3)},
        names="i",
    ),
}  # fmt: skip

CASES = MASKED | COMPARED | SCALED | OLD

SAID = {
    "ReduceMax beyond the calibrated range",
}
"""Of these the circuit is another function, or none, and the compiler or the report says so."""


@pytest.mark.parametrize("name", CASES)
def test_no_circuit_is_silently_wrong(name: str) -> None:
    """It is the model, or it is refused, or a warning or the report of the samples says that it is not."""
    example = CASES[name]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            circuit = zk.compile(example.model, example.calibration)
        except CompileError:
            return
    report = circuit.report(example.later)
    said = report.saturated > 0 or report.stress[0].leaves or any(w.category is AccuracyWarning for w in caught)
    expected = of_onnxruntime(example.model, example.later)
    assert said or largest_error(expected, np.asarray(circuit.run(example.later))) <= example.error


@pytest.mark.parametrize("name", [name for name in CASES if name not in SAID])
def test_the_circuit_is_the_model(name: str) -> None:
    example = CASES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AccuracyWarning)
        circuit = zk.compile(example.model, example.calibration)
    expected = of_onnxruntime(example.model, example.later)
    assert largest_error(expected, np.asarray(circuit.run(example.later))) <= example.error


def _stump(threshold: float) -> onnx.ModelProto:
    """10 where x <= threshold, else 20."""
    attributes = {
        "n_targets": 1,
        "nodes_treeids": [0, 0, 0],
        "nodes_nodeids": [0, 1, 2],
        "nodes_featureids": [0, 0, 0],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
        "nodes_values": [threshold, 0.0, 0.0],
        "nodes_truenodeids": [1, 0, 0],
        "nodes_falsenodeids": [2, 0, 0],
        "target_treeids": [0, 0],
        "target_nodeids": [1, 2],
        "target_ids": [0, 0],
        "target_weights": [10.0, 20.0],
    }
    graph = helper.make_graph(
        [helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", **attributes)],
        "stump",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 1])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 1])],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def test_a_tree_decides_a_tie_as_its_calibration_data_does() -> None:
    """The threshold lies between two neighbouring floats, of which one occurs."""
    model, x = _stump(float(np.nextafter(np.float32(1.7), np.float32(0)))), f4([[1.5], [1.6], [1.7], [1.8], [2.5]])
    np.testing.assert_array_equal(zk.compile(model, x).run(x), of_onnxruntime(model, [x]))


class TestSaid:
    """What a circuit cannot be right about is said: when it is compiled, and in its report."""

    @staticmethod
    def starved(body: str, weights: Mapping[str, npt.ArrayLike]) -> Case:
        """A case that is to be compiled with too few bits for its samples."""
        rows = (normal(96, 16) * np.exp(uniform(96, 1, seed=7, lo=-4, hi=0))).astype(np.float32)
        return case(body, rows[:64], rows[64:], weights)

    @pytest.mark.parametrize(
        ("body", "weights"),
        [
            ("y = MatMul(x, w)", {"w": uniform(16, 3)}),
            ("s = Mul(x, x)\np = ReduceSum(s, a)\ny = Sqrt(p)", {"a": LAST}),
            ("h = MatMul(x, w)\ny = LayerNormalization(h, g)", {"w": uniform(16, 8), "g": np.ones(8)}),
            ("h = MatMul(x, w)\ny = Softmax(h)", {"w": 20 * uniform(16, 5)}),
            (
                "h = MatMul(x, w)\ns = Add(h, m)\ny = Softmax(s)",
                {"w": 20 * uniform(16, 5), "m": f4([0, -1e9, 0, 0, 0])},
            ),
            ("s = Abs(x)\nn = ReduceSum(s, a)\nq = Div(x, n)\ny = MatMul(q, w)", {"a": LAST, "w": uniform(16, 3)}),
        ],
        ids=["product", "norm", "normalization", "softmax", "masked softmax", "quotient"],
    )
    def test_quiet_samples_at_few_bits(self, body: str, weights: Mapping[str, npt.ArrayLike]) -> None:
        example = self.starved(body, weights)
        with pytest.warns(AccuracyWarning, match="leaves the float model"):
            circuit = zk.compile(example.model, example.calibration, activation_bits=4, weight_bits=4)
        report = circuit.report(example.later)
        assert any(row.leaves for row in report.stress)
        assert any("leaves the float model at" in phrase for phrase in report.answers())

    def test_features_of_different_units_at_few_bits(self) -> None:
        """One format for features that differ less than inputs with formats of their own leaves the small ones none."""
        units = 500.0 ** -np.linspace(0, 1, 8)
        model = build("q = Div(x, s)\nt = Tanh(q)\ny = MatMul(t, w)", {"x": ["n", 8]}, {"s": units, "w": uniform(8, 3)})
        x = (normal(96, 8) * units).astype(np.float32)
        with pytest.warns(AccuracyWarning, match="leaves the float model"):
            circuit = zk.compile(model, x[:64], activation_bits=6)
        report = circuit.report(x[64:])
        assert report.stress[0].leaves
        assert report.stress[0].condition == "inputs x 1"

    @pytest.mark.parametrize("body", ["y = ArgMax<axis=1>(l)", "y = Softmax(l)", "y = ReduceMax(l, a)"])
    def test_operands_of_comparisons_far_beyond_the_calibrated_range(self, body: str) -> None:
        """Beyond the room that comparisons have, operands saturate, and each that does is counted."""
        ones, together = np.eye(64, dtype=np.float32), np.ones((2, 64), np.float32)
        weights = {"w": np.linspace(1, 1.2, 64 * 3).reshape(64, 3), "a": LAST}
        example = case(f"l = MatMul(x, w)\n{body}", ones, together, weights, integer="ArgMax" in body)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AccuracyWarning)
            circuit = zk.compile(example.model, example.calibration)
        assert circuit.report(example.later, stress=False).saturated > 0

    def test_activations_beyond_the_calibrated_range(self) -> None:
        """Sixty-four features of which calibration saw one at a time: together they are far beyond."""
        model = build(
            "h = MatMul(x, w)\nr = Relu(h)\ny = MatMul(r, v)",
            {"x": ["n", 64]},
            {"w": np.full((64, 2), 0.9), "v": np.eye(2)},
        )
        x = np.eye(64, dtype=np.float32)[:40]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AccuracyWarning)
            circuit = zk.compile(model, x)
        together = np.ones((2, 64), np.float32)
        report = circuit.report(together)
        assert largest_error(of_onnxruntime(model, [together]), np.asarray(circuit.run(together))) > 0.5
        assert report.saturated > 0
        assert report.stress[0].leaves
        assert report.stress[0].condition == "inputs x 1"
