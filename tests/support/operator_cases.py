"""A tiny model of every operator and every layer that a model may use, for tests that go over all of them.

Where an operator is lowered in several ways (a choice that is computed or constant, scores that are masked, an integer
or a real), there is a case for each, named `Operator: what`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from zlib import crc32

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper
from support.model_comparison import build
from support.native_prover import Case, make_case, small

from zkinfer.circuit.qformat import quantize
from zkinfer.compiler.calibration.calibrate import calibrate
from zkinfer.compiler.lowering.precision import Precision
from zkinfer.compiler.onnx.importer import import_model
from zkinfer.compiler.onnx.load import load_model

BOOL, INT32, INT64, INT8, UINT8 = (
    TensorProto.BOOL,
    TensorProto.INT32,
    TensorProto.INT64,
    TensorProto.INT8,
    TensorProto.UINT8,
)
SAMPLES, RUNS = 16, 2
"""How many inputs calibrate a case, and how many of them a proof of it covers."""

PRECISION = Precision(activation_bits=6, weight_bits=6, max_table_entries=512)
"""Small tables, and accumulators that are wider than they: so that lookups have remainders."""

ML, MICROSOFT = "ai.onnx.ml", "com.microsoft"


@dataclass(frozen=True)
class OperatorCase:
    """A model of one operator, or of one and what it needs around it.

    Beside it stands a product with a weight, because a model without weights is not proven.

    Attributes:
        body: its nodes, one a line.
        inputs: shape of each input without the batch. The first letter of its name says what it holds: x and z reals
            from -4 to 4, p reals from 1/2 to 4, i and j whole numbers from 0 to 3, b and c truth values, u bytes.
        weights: constants.
        outputs: their names.
        types: element types of outputs other than float.
        opset, ml: versions of the standard domain, and of that of trees.
    """

    body: str
    inputs: Mapping[str, Sequence[int]]
    weights: Mapping[str, npt.ArrayLike]
    outputs: Sequence[str] = ("y",)
    types: Mapping[str, int] | None = None
    opset: int = 18
    ml: int = 3

    def model(self) -> onnx.ModelProto:
        """The case in ONNX, a batch of one in front of every input."""
        kinds = {"i": INT64, "j": INT64, "b": BOOL, "c": BOOL, "u": UINT8}
        inputs = self.with_beside()
        types = {name: kinds[name[0]] for name in inputs if name[0] in kinds}
        model = build(
            f"{self.body}\nbeside = Mul(z_beside, w_beside)",
            {name: (1, *shape) for name, shape in inputs.items()},
            {**self.weights, "w_beside": _reals([0.5, -0.75])},
            outputs=(*self.outputs, "beside"),
            types=types | dict(self.types or {}),
            opset=self.opset,
        )
        model.opset_import.extend([helper.make_opsetid(ML, self.ml), helper.make_opsetid(MICROSOFT, 1)])
        return model

    def data(self) -> list[npt.NDArray[np.generic]]:
        """`SAMPLES` inputs, the same every time."""
        rng = np.random.default_rng(crc32(self.body.encode()))
        return [drawn(rng, name[0], (SAMPLES, *shape)) for name, shape in self.with_beside().items()]

    def with_beside(self) -> dict[str, Sequence[int]]:
        """Shapes of all inputs without the batch, in order."""
        return {**self.inputs, "z_beside": (2,)}


def drawn(rng: np.random.Generator, kind: str, shape: tuple[int, ...]) -> npt.NDArray[np.generic]:
    """Random numbers of the kind that an input's first letter names."""
    match kind:
        case "x" | "z":
            return rng.uniform(-4, 4, shape).astype(np.float32)
        case "p":
            return rng.uniform(0.5, 4, shape).astype(np.float32)
        case "i" | "j":
            return rng.integers(0, 4, shape)
        case "b" | "c":
            return rng.integers(0, 2, shape).astype(bool)
        case "u":
            return rng.integers(0, 256, shape, dtype=np.uint8)
    raise AssertionError(kind)


@cache
def proving_case(name: str) -> Case:
    """An operator's model compiled, run, and ready to be proven in sizes for tests."""
    described = CASES[name]
    normalized = load_model(described.model(), batch=1)
    data = described.data()
    lowered = import_model(normalized, calibrate(normalized, data), PRECISION)
    tensors = lowered.program.inputs
    inputs = [quantize(array[:RUNS, None], tensor) for array, tensor in zip(data, tensors, strict=True)]
    return make_case(lowered.program, lowered.weights, inputs, sizes=small(5))


def _reals(values: Sequence[float]) -> npt.NDArray[np.float32]:
    return np.array(values, np.float32)


def _int8(values: npt.ArrayLike) -> npt.NDArray[np.int8]:
    return np.array(values, np.int8)


def _w(*shape: int, seed: int = 0) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def _case(
    body: str,
    inputs: Mapping[str, Sequence[int]] | None = None,
    weights: Mapping[str, npt.ArrayLike] | None = None,
    outputs: Sequence[str] = ("y",),
    opset: int = 18,
    ml: int = 3,
    **types: int,
) -> OperatorCase:
    return OperatorCase(body, inputs or {"x": (5,)}, weights or {}, outputs, types, opset, ml)


def _all(template: str, names: str, *args: object, **options: object) -> dict[str, OperatorCase]:
    """A case for each name, put into the template."""
    return {name: _case(template.format(name), *args, **options) for name in names.split()}  # type: ignore[arg-type]


def _gates(count: int) -> dict[str, npt.NDArray[np.float32]]:
    """Weights of a recurrent layer with 2 inputs and 2 hidden values."""
    return {"w": _w(1, 2 * count, 2), "r": _w(1, 2 * count, 2, seed=1), "bias": _w(1, 4 * count, seed=2)}


_IMAGE = {"x": (2, 4, 4)}
_PAIR = {"x": (4,), "z": (4,)}
_TRUTHS = {"b": (4,), "c": (4,)}
_TWO = {"x": (2,), "z": (2,)}
_SCALES = {"s": _w(2) + 2, "o": _w(2)}
_QUANTIZED: dict[str, npt.ArrayLike] = {
    "sx": np.float32(0.03),
    "zx": np.uint8(120),
    "sw": np.float32(0.02),
    "zw": np.int8(0),
    "sy": np.float32(0.2),
    "zy": np.uint8(128),
}
_SUPPORTS = "support_vectors=[0.5, -1.0, 1.0, 0.25, -0.5, 0.75], kernel_params=[0.25, 0.5, 2.0]"
_STUMPS = (
    "nodes_treeids=[0, 0, 0, 1, 1, 1], nodes_nodeids=[0, 1, 2, 0, 1, 2], nodes_featureids=[0, 0, 0, 1, 0, 0], "
    'nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF", "BRANCH_LEQ", "LEAF", "LEAF"], '
    "nodes_values=[0.5, 0.0, 0.0, -1.0, 0.0, 0.0], nodes_truenodeids=[1, 0, 0, 1, 0, 0], "
    "nodes_falsenodeids=[2, 0, 0, 2, 0, 0], {0}_treeids=[0, 0, 1, 1], {0}_nodeids=[1, 2, 1, 2], {0}_ids=[{1}], "
    "{0}_weights=[0.75, -0.5, 1.0, 0.25]"
)

_SCAN = (
    "y, out = Scan<num_scan_inputs=1, scan_input_axes=[1], scan_output_axes=[1], "
    "body=body (float[1,2] s, float[1,2] e) => (float[1,2] n, float[1,2] o) "
    "{a = Mul(s, w) b = Add(a, e) n = Tanh(b) o = Mul(n, e)}>(z, x)"
)
_LOOP = (
    "y, out = Loop<body=body (int64 t, bool on, float[1,2] s, float[1,2] r) => "
    "(bool still, float[1,2] n, float[1,2] m) {still = Identity(on) f = Cast<to=1>(t) a = Mul(r, w) b = Add(a, f) "
    "n = Tanh(b) c = Sub(r, s) m = Sigmoid(c)}>(count, , x, z)"
)

CASES: dict[str, OperatorCase] = {
    # One table
    **_all(
        "y = {}(x)",
        "Abs Asinh Atan Ceil Celu Cos Cosh Elu Erf Exp Floor HardSigmoid HardSwish LeakyRelu Mish Relu Round Selu "
        "Shrink Sigmoid Sign Sin Sinh Softplus Softsign Tanh ThresholdedRelu",
    ),
    "Acosh": _case("h = Add(p, k)\ny = Acosh(h)", {"p": (5,)}, {"k": np.float32(1)}),
    **_all("y = {}(p)", "Log Reciprocal Sqrt", {"p": (5,)}),
    "Clip": _case("y = Clip(x, lo, hi)", weights={"lo": np.float32(-1.5), "hi": np.float32(2)}),
    "Gelu": _case("y = Gelu(x)", opset=20),
    "Mod": _case("y = Mod<fmod=1>(x, m)", weights={"m": np.float32(1.5)}),
    "Pow": _case("y = Pow(p, e)", {"p": (5,)}, {"e": np.float32(1.5)}),
    "Pow: exponents": _case("y = Pow(p, e)", {"p": (2,)}, {"e": _reals([1.5, -1])}),
    "Pow: computed": _case("y = Pow(p, x)", {"p": (2,), "x": (2,)}),
    "Pow: exponent": _case("y = Pow(base, x)", weights={"base": np.float32(1.5)}),
    "PRelu": _case("y = PRelu(x, s)", weights={"s": _reals([0.25, 0.5, -1, 0, 2])}),
    "Swish": _case("y = Swish(x)", opset=24),
    "IsInf": _case("t = IsInf(x)\ny = Where(t, f, x)", weights={"f": np.float32(1)}, opset=20),
    "IsNaN": _case("t = IsNaN(x)\ny = Where(t, f, x)", weights={"f": np.float32(1)}),
    # Arithmetic of two
    **_all("y = {}(x, z)", "Add Max Mean Min Mul Sub Sum", _PAIR),
    "Div": _case("y = Div(x, p)", {"x": (4,), "p": (4,)}),
    "Div: integers": _case("y = Div(i, k)", {"i": (4,)}, {"k": np.array(3)}, y=INT64),
    "Max: constants": _case("y = Max(x, k)", weights={"k": _w(5)}),
    "Max: one number": _case("y = Max(x, k)", weights={"k": np.float32(0.5)}),
    "Min: integers": _case("y = Min(i, j)", {"i": (4,), "j": (4,)}, y=INT64),
    # Truth values
    **_all("y = {}(x, z)", "Greater GreaterOrEqual Less LessOrEqual", _PAIR, y=BOOL),
    **_all("y = {}(b, c)", "And Or Xor", _TRUTHS, y=BOOL),
    "Equal": _case("y = Equal(i, j)", {"i": (4,), "j": (4,)}, y=BOOL),
    "Not": _case("y = Not(b)", {"b": (4,)}, y=BOOL),
    "Where": _case("y = Where(b, x, z)", {"b": (4,), **_PAIR}),
    "Where: constants": _case("y = Where(b, h, k)", {"b": (4,)}, {"h": _w(4), "k": _w(4, seed=1)}),
    # Structure
    **_all("y = {}(x)", "Dropout Flatten Identity Neg", {"x": (2, 2)}),
    "AffineGrid": _case("y = AffineGrid(x, s)", {"x": (2, 3)}, {"s": np.array([1, 1, 1, 2])}, opset=20),
    "Cast": _case("y = Cast<to=6>(x)", y=INT32),
    "CastLike": _case("y = CastLike(x, t)", weights={"t": np.zeros(1, np.int32)}, opset=19, y=INT32),
    "CenterCropPad": _case("y = CenterCropPad(x, s)", {"x": (5, 2)}, {"s": np.array([1, 3, 4])}),
    "Col2Im": _case("y = Col2Im(x, s, k)", {"x": (4, 2)}, {"s": np.array([2, 3]), "k": np.array([2, 2])}),
    "Concat": _case("y = Concat<axis=1>(x, z)", _PAIR),
    "CumSum": _case("y = CumSum(x, a)", weights={"a": np.array(1)}),
    "DepthToSpace": _case("y = DepthToSpace<blocksize=2>(x)", {"x": (4, 1, 2)}),
    "Expand": _case("y = Expand(x, s)", {"x": (1, 2)}, {"s": np.array([1, 3, 2])}),
    "GatherND": _case("y = GatherND(x, k)", {"x": (3, 2)}, {"k": np.array([[0, 2, 1], [0, 0, 0]])}),
    "GridSample": _case(
        "y = GridSample(x, k)", {"x": (1, 2, 2)}, {"k": _reals([-0.25, 0.5, 1.5, -0.75]).reshape(1, 1, 2, 2)}, opset=20
    ),
    "GridSample: nearest": _case(
        'y = GridSample<mode="nearest", padding_mode="reflection">(x, k)',
        {"x": (1, 2, 2)},
        {"k": _reals([-0.25, 0.5, 2.5, -0.75]).reshape(1, 1, 2, 2)},
        opset=20,
    ),
    "GridSample: cubic": _case(
        'y = GridSample<mode="cubic", padding_mode="border">(x, k)',
        {"x": (1, 2, 2)},
        {"k": _reals([-0.25, 0.5, 1.5, -0.75]).reshape(1, 1, 2, 2)},
        opset=20,
    ),
    "GridSample: computed": _case(
        "s = Mul(z, k)\ny = GridSample(x, s)", {"x": (1, 2, 2), "z": (1, 1, 2)}, {"k": np.float32(0.25)}, opset=20
    ),
    "Pad": _case("y = Pad(x, p)", weights={"p": np.array([0, 1, 0, 2])}),
    "Reshape": _case("y = Reshape(x, s)", {"x": (2, 3)}, {"s": np.array([1, 3, 2])}),
    "Resize": _case('y = Resize<mode="linear">(x, , s)', {"x": (1, 2, 3)}, {"s": _reals([1, 1, 2, 2])}, opset=19),
    "ReverseSequence": _case(
        "t = Transpose<perm=[1, 0]>(x)\nr = ReverseSequence(t, n)\ny = Transpose<perm=[1, 0]>(r)",
        {"x": (4,)},
        {"n": np.array([3])},
    ),
    "ScatterElements": _case("y = ScatterElements<axis=1>(x, k, z)", {"x": (4,), "z": (2,)}, {"k": np.array([[2, 0]])}),
    "ScatterND": _case("y = ScatterND(x, k, z)", {"x": (4,), "z": ()}, {"k": np.array([[0, 2]])}),
    "Slice": _case("y = Slice(x, f, t)", weights={"f": np.array([0, 1]), "t": np.array([1, 4])}),
    "SpaceToDepth": _case("y = SpaceToDepth<blocksize=2>(x)", {"x": (1, 2, 4)}),
    "Split": _case("y, v = Split<axis=1>(x, s)", {"x": (5,)}, {"s": np.array([2, 3])}, ("y", "v")),
    "Split: equal": _case("y, v = Split<axis=1>(x)", {"x": (4,)}, outputs=("y", "v"), opset=17),
    "Squeeze": _case("y = Squeeze(x, a)", {"x": (1, 3)}, {"a": np.array([1])}),
    "Tile": _case("y = Tile(x, n)", {"x": (3,)}, {"n": np.array([1, 2])}),
    "Transpose": _case("y = Transpose<perm=[0, 2, 1]>(x)", {"x": (2, 3)}),
    "Trilu": _case("y = Trilu(x)", {"x": (3, 3)}),
    "Unsqueeze": _case("y = Unsqueeze(x, a)", weights={"a": np.array([1])}),
    # Choices
    "ArgMax": _case("y = ArgMax<axis=1>(x)", y=INT64),
    "ArgMax: rounded": _case("h = MatMul(x, w)\ny = ArgMax<axis=1>(h)", weights={"w": _w(5, 4)}, y=INT64),
    "ArgMin": _case("y = ArgMin<axis=1, select_last_index=1>(x)", y=INT64),
    "Gather": _case("y = Gather(w, i)", {"i": (3,)}, {"w": _w(4, 2)}),
    "Gather: digits": _case("y = Gather(w, i)", {"i": (1,)}, {"w": _w(300, 1)}),
    "Gather: computed": _case("y = Gather<axis=1>(x, i)", {"x": (4,), "i": (2,)}),
    "GatherElements": _case("y = GatherElements<axis=1>(x, i)", {"x": (4,), "i": (2,)}),
    "Hardmax": _case("y = Hardmax(x)"),
    "OneHot": _case("y = OneHot(i, d, v)", {"i": (2,)}, {"d": np.array(4), "v": _reals([-0.5, 2])}),
    "OneHot: digits": _case("y = OneHot(i, d, v)", {"i": (1,)}, {"d": np.array(300), "v": _reals([0, 1])}),
    "TopK": _case("y, k = TopK(x, n)", {"x": (4,)}, {"n": np.array([2])}, ("y", "k"), k=INT64),
    "TopK: smallest": _case("y, k = TopK<largest=0>(x, n)", {"x": (4,)}, {"n": np.array([3])}, ("y", "k"), k=INT64),
    # Sums of products
    "BatchNormalization": _case(
        "y = BatchNormalization(x, s, o, m, v)", {"x": (2, 3)}, {**_SCALES, "m": _w(2, seed=1), "v": _w(2) + 2}
    ),
    "Conv": _case("y = Conv<pads=[1, 1, 1, 1]>(x, w, k)", _IMAGE, {"w": _w(2, 2, 3, 3), "k": _w(2)}),
    "ConvTranspose": _case("y = ConvTranspose(x, w)", {"x": (2, 3)}, {"w": _w(2, 1, 2)}),
    "Einsum": _case('y = Einsum<equation="bij,jk->bik">(x, w)', {"x": (2, 3)}, {"w": _w(3, 2)}),
    "Gemm": _case("y = Gemm(x, w, k)", weights={"w": _w(5, 3), "k": _w(3)}),
    "Gemm: rounded": _case("h = Gemm(x, w, k)\ny = Relu(h)", weights={"w": _w(5, 3), "k": _w(3)}),
    "MatMul": _case("y = MatMul(x, z)", {"x": (2, 3), "z": (3, 2)}),
    "DFT": _case("y = DFT(x)", {"x": (4, 1)}),
    "STFT": _case("y = STFT(x, s, w)", {"x": (6, 1)}, {"s": np.array(2), "w": _w(4)}),
    # Pooling and reductions
    "LpPool": _case("y = LpPool<kernel_shape=[2], p=2>(x)", {"x": (1, 4)}),
    "LRN": _case("y = LRN<size=3>(x)", {"x": (3, 2, 1)}),
    "ReduceProd": _case("y = ReduceProd(x, a)", {"x": (3,)}, {"a": np.array([1])}),
    "CumProd": _case("y = CumProd(x, a)", {"x": (3,)}, {"a": np.array(1)}, opset=26),
    "AveragePool": _case("y = AveragePool<kernel_shape=[2, 2]>(x)", _IMAGE),
    **_all("y = {}(x)", "GlobalAveragePool GlobalMaxPool", {"x": (2, 3, 3)}),
    "MaxPool": _case("y = MaxPool<kernel_shape=[2, 2], strides=[2, 2], pads=[1, 1, 1, 1]>(x)", _IMAGE),
    **_all(
        "y = {}(x, a)",
        "ReduceL1 ReduceL2 ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceSumSquare",
        {"x": (2, 3)},
        {"a": np.array([2])},
    ),
    "ReduceLogSum": _case("y = ReduceLogSum(p, a)", {"p": (2, 3)}, {"a": np.array([2])}),
    "ReduceMax: many": _case("y = ReduceMax(x, a)", {"x": (24,)}, {"a": np.array([1])}),
    "ReduceMax: rounded": _case("h = MatMul(x, w)\ny = ReduceMax(h, a)", weights={"w": _w(5, 4), "a": np.array([1])}),
    "ReduceSum": _case("y = ReduceSum(x, a)", {"x": (2, 3)}, {"a": np.array([2])}),
    "Softmax": _case("y = Softmax(x)"),
    "Softmax: masked": _case("s = Where(b, x, low)\ny = Softmax(s)", {"b": (4,), "x": (4,)}, {"low": np.float32(-1e9)}),
    "Softmax: computed mask": _case(
        "f = Cast<to=1>(b)\nm = Mul(f, low)\ns = Add(x, m)\ny = Softmax(s)",
        {"b": (4,), "x": (4,)},
        {"low": np.float32(-1e9)},
    ),
    "Softmax: short range": _case("s = Mul(x, k)\ny = Softmax(s)", weights={"k": np.float32(0.125)}),
    "LogSoftmax": _case("y = LogSoftmax(x)"),
    "Softmax: long": _case("y = Softmax(x)", {"x": (72,)}),
    # Of numbers of all sizes
    "Log: sum of squares": _case("q = Mul(x, x)\nk = ReduceSum(q, a)\ny = Log(k)", weights={"a": np.array([1])}),
    "Sqrt: sum of squares": _case("y = ReduceL2(x, a)", {"x": (2, 5)}, {"a": np.array([2])}),
    "Div: any numbers": _case(
        "q = Mul(x, x)\nk = ReduceSum(q, a)\ny = Div(z, k)", {"x": (6,), "z": (1,)}, {"a": np.array([1])}
    ),
    "Div: own length": _case("k = ReduceL2(x, a)\ny = Div(x, k)", {"x": (2, 5)}, {"a": np.array([2])}),
    "Div: own sum": _case("q = Exp(x)\nk = ReduceSum(q, a)\ny = Div(q, k)", {"x": (40,)}, {"a": np.array([1])}),
    "Sub: square of the mean": _case(
        """m = ReduceMean(x, a)
        q = Mul(x, x)
        k = ReduceMean(q, a)
        j = Mul(m, m)
        v = Sub(k, j)
        y = Sqrt(v)""",
        weights={"a": np.array([1])},
    ),
    # Layers that are taken apart
    "Attention": _case(
        "y = Attention<is_causal=1>(x, xk, xv)", {"x": (1, 2, 2), "xk": (1, 2, 2), "xv": (1, 2, 2)}, opset=24
    ),
    "GroupNormalization": _case("y = GroupNormalization<num_groups=1>(x, s, o)", {"x": (2, 3)}, _SCALES, opset=21),
    "InstanceNormalization": _case("y = InstanceNormalization(x, s, o)", {"x": (2, 3)}, _SCALES),
    "LayerNormalization": _case("y = LayerNormalization<epsilon=2.0>(x, s, o)", {"x": (3, 2)}, _SCALES),
    "LayerNormalization: small epsilon": _case(
        "y = LayerNormalization<epsilon=0.000000000001>(x, s, o)", {"x": (2, 5)}, {"s": _w(5) + 2, "o": _w(5, seed=1)}
    ),
    "LpNormalization": _case("y = LpNormalization<axis=1>(x)"),
    "MeanVarianceNormalization": _case("y = MeanVarianceNormalization<axes=[2]>(x)", {"x": (2, 3)}),
    "RMSNormalization": _case("y = RMSNormalization(x, s)", {"x": (4, 2)}, {"s": _w(2) + 2}, opset=23),
    "RotaryEmbedding": _case(
        "y = RotaryEmbedding(x, k, s)", {"x": (1, 2, 4)}, {"k": _w(1, 2, 2), "s": _w(1, 2, 2, seed=1)}, opset=23
    ),
    **{
        op: _case(
            f"""t = Transpose<perm=[1, 0, 2]>(x)
            h, v = {op}<hidden_size=2>(t, w, r, bias)
            y = Transpose<perm=[1, 0, 2]>(v)""",
            {"x": (2, 2)},
            _gates(gates),
        )
        for op, gates in {"GRU": 3, "LSTM": 4, "RNN": 1}.items()
    },
    "Scan": _case(_SCAN, {"x": (3, 2), "z": (2,)}, {"w": _w(2)}, outputs=("y", "out")),
    "Scan: of a Loop": _case(_LOOP, _TWO, {"w": _w(2), "count": np.array(3)}, ("y", "out")),
    "TreeEnsembleClassifier": _case(
        f"y, v = {ML}.TreeEnsembleClassifier<{_STUMPS.format('class', '0, 1, 1, 2')}, classlabels_int64s=[3, 7, 5]>(x)",
        {"x": (2,)},
        outputs=("y", "v"),
        y=INT64,
    ),
    "TreeEnsembleClassifier: two classes": _case(
        f"y, v = {ML}.TreeEnsembleClassifier<{_STUMPS.format('class', '0, 0, 0, 0')}, classlabels_int64s=[0, 1], "
        'post_transform="LOGISTIC">(x)',
        {"x": (2,)},
        outputs=("y", "v"),
        y=INT64,
    ),
    "TreeEnsemble": _case(
        f"y = {ML}.TreeEnsemble<tree_roots=[0, 1], n_targets=1, nodes_featureids=[0, 1], "
        "nodes_modes = uint8[2] {0, 0}, nodes_splits = float[2] {0.5, -1.0}, nodes_truenodeids=[0, 2], "
        "nodes_trueleafs=[1, 1], nodes_falsenodeids=[1, 3], nodes_falseleafs=[1, 1], leaf_targetids=[0, 0, 0, 0], "
        "leaf_weights = float[4] {0.75, -0.5, 1.0, 0.25}>(x)",
        {"x": (2,)},
        ml=5,
    ),
    "TreeEnsembleRegressor": _case(
        f"y = {ML}.TreeEnsembleRegressor<{_STUMPS.format('target', '0, 0, 0, 0')}, n_targets=1>(x)", {"x": (2,)}
    ),
    # Linear models, support vector machines and preprocessing
    "ArrayFeatureExtractor": _case(f"y = {ML}.ArrayFeatureExtractor(x, k)", {"x": (3,)}, {"k": np.array([2, 0])}),
    "Imputer": _case(
        f"y = {ML}.Imputer<imputed_value_floats=[1.0, 2.0, 3.0], replaced_value_float=nan>(x)", {"x": (3,)}
    ),
    "LinearClassifier": _case(
        f"y, v = {ML}.LinearClassifier<coefficients=[0.5, -1.0, 0.25, 1.0], intercepts=[0.1, -0.1], "
        'classlabels_ints=[3, 7], post_transform="LOGISTIC">(x)',
        {"x": (2,)},
        outputs=("y", "v"),
        y=INT64,
    ),
    "LinearClassifier: one score": _case(
        f"y, v = {ML}.LinearClassifier<coefficients=[0.5, -1.0], intercepts=[0.1], classlabels_ints=[3, 7]>(x)",
        {"x": (2,)},
        outputs=("y", "v"),
        y=INT64,
    ),
    "LinearRegressor": _case(
        f"y = {ML}.LinearRegressor<coefficients=[0.5, -1.0], intercepts=[0.1], targets=1>(x)", {"x": (2,)}
    ),
    "Normalizer": _case(f'y = {ML}.Normalizer<norm="L1">(p)', {"p": (3,)}),
    "Scaler": _case(f"y = {ML}.Scaler<offset=[0.5, 1.0], scale=[2.0, 0.5]>(x)", {"x": (2,)}),
    "SVMClassifier": _case(
        f"""y, v = {ML}.SVMClassifier<{_SUPPORTS}, kernel_type="RBF", coefficients=[1.0, -0.5, -0.5], rho=[0.1],
        vectors_per_class=[1, 2], classlabels_ints=[0, 1]>(x)""".replace("\n", " "),
        {"x": (2,)},
        outputs=("y", "v"),
        y=INT64,
    ),
    "SVMClassifier: three classes": _case(
        f"""y, v = {ML}.SVMClassifier<{_SUPPORTS}, kernel_type="LINEAR", coefficients=[1.0, -0.5, -0.5, 0.5, 1.0, -1.0],
        rho=[0.1, 0.0, -0.1], vectors_per_class=[1, 1, 1], classlabels_ints=[0, 1, 2]>(x)""".replace("\n", " "),
        {"x": (2,)},
        outputs=("y", "v"),
        y=INT64,
    ),
    "SVMRegressor": _case(
        f"""y = {ML}.SVMRegressor<{_SUPPORTS}, kernel_type="SIGMOID", coefficients=[1.0, -0.5, -0.5], rho=[0.1],
        n_supports=3>(x)""".replace("\n", " "),
        {"x": (2,)},
    ),
    # Operators of onnxruntime
    **_all(f"y = {MICROSOFT}.{{}}(x)", "FastGelu QuickGelu"),
    "BiasGelu": _case(f"y = {MICROSOFT}.BiasGelu(x, k)", weights={"k": _w(5)}),
    "FusedMatMul": _case(f"y = {MICROSOFT}.FusedMatMul<transB=1, alpha=0.5>(x, w)", weights={"w": _w(3, 5)}),
    "SkipLayerNormalization": _case(
        f"y = {MICROSOFT}.SkipLayerNormalization<epsilon=2.0>(x, z, s, o)", {"x": (3, 2), "z": (3, 2)}, _SCALES
    ),
    "SkipSimplifiedLayerNormalization": _case(
        f"y = {MICROSOFT}.SkipSimplifiedLayerNormalization<epsilon=2.0>(x, z, s)",
        {"x": (3, 2), "z": (3, 2)},
        {"s": _SCALES["s"]},
    ),
    "DynamicQuantizeMatMul": _case(
        f"y = {MICROSOFT}.DynamicQuantizeMatMul(x, w, sw, zw)",
        {"x": (3,)},
        {"w": _int8([[1, -2], [3, 4], [-5, 6]]), "sw": _QUANTIZED["sw"], "zw": _QUANTIZED["zw"]},
    ),
    "DynamicQuantizeLSTM": _case(
        f"""t = Transpose<perm=[1, 0, 2]>(x)
        h, v = {MICROSOFT}.DynamicQuantizeLSTM<hidden_size=2>(t, w, r, bias, , , , , ws, wz, rs, rz)
        y = Transpose<perm=[1, 0, 2]>(v)""",
        {"x": (2, 2)},
        {
            "w": _int8(100 * _w(1, 2, 8)),
            "r": _int8(100 * _w(1, 2, 8, seed=1)),
            "bias": _w(1, 16, seed=2),
            "ws": _reals([0.01]),
            "wz": _int8([0]),
            "rs": _reals([0.01]),
            "rz": _int8([0]),
        },
    ),
    **_all(
        f"y = {MICROSOFT}.{{}}(u, sx, zx, v, sw, zx, sy, zy)",
        "QLinearAdd QLinearMul",
        {"u": (4,)},
        {**_QUANTIZED, "v": np.array([[3, 90, 160, 255]], np.uint8)},
        y=UINT8,
    ),
    **_all(
        f"y = {MICROSOFT}.{{}}(u, sx, zx, sy, zy)", "QLinearLeakyRelu QLinearSigmoid", {"u": (4,)}, _QUANTIZED, y=UINT8
    ),
    "QLinearGlobalAveragePool": _case(
        f"y = {MICROSOFT}.QLinearGlobalAveragePool(u, sx, zx, sy, zy)", {"u": (2, 2, 2)}, _QUANTIZED, y=UINT8
    ),
    "QLinearConcat": _case(
        f"y = {MICROSOFT}.QLinearConcat<axis=1>(sy, zy, u, sx, zx, u, sy, zy)", {"u": (3,)}, _QUANTIZED, y=UINT8
    ),
    # Quantized
    "QLinearConv": _case(
        "y = QLinearConv(u, sx, zx, w, sw, zw, sy, zy)",
        {"u": (1, 3, 3)},
        {**_QUANTIZED, "w": _int8([[[[1, -2], [3, 4]]]])},
        y=UINT8,
    ),
    "QLinearMatMul": _case(
        "y = QLinearMatMul(u, sx, zx, w, sw, zw, sy, zy)",
        {"u": (1, 3)},
        {**_QUANTIZED, "w": _int8([[1, -2], [3, 4], [-5, 6]])},
        y=UINT8,
    ),
    "ConvInteger": _case(
        "y = ConvInteger(u, w, o)", {"u": (1, 3, 3)}, {"w": np.ones((1, 1, 2, 2), np.uint8), "o": np.uint8(3)}, y=INT32
    ),
    "DequantizeLinear": _case("y = DequantizeLinear(u, s, o)", {"u": (4,)}, {"s": np.float32(0.07), "o": np.uint8(9)}),
    "MatMulInteger": _case("y = MatMulInteger(u, w)", {"u": (3,)}, {"w": _int8([[1, -2], [3, 4], [-5, 6]])}, y=INT32),
    "QuantizeLinear": _case("y = QuantizeLinear(x, s, o)", weights={"s": np.float32(0.25), "o": np.int8(3)}, y=INT8),
    "QuantizeLinear: channels": _case(
        "y = QuantizeLinear<axis=1>(x, s, o)",
        {"x": (2, 2)},
        {"s": _reals([0.25, 0.125]), "o": _int8([3, -5])},
        y=INT8,
    ),
}
"""By operator."""
