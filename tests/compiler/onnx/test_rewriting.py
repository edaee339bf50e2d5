"""What normalizing changes by mistake is found; what rounding changes is not taken for a mistake."""

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir
import pytest
from onnx import helper
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from support.model_comparison import build

from zkinfer.compiler.compile import compile as compile_model
from zkinfer.compiler.onnx import load
from zkinfer.compiler.onnx.folding import fold_scales
from zkinfer.compiler.onnx.load import load_model
from zkinfer.compiler.onnx.rewriting import RUNS, require_same_function
from zkinfer.errors import AccuracyWarning, CompileError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(RUNS, 1, 6)).astype(np.float32)
W = RNG.normal(size=(6, 5)).astype(np.float32)
PLACES = np.arange(RUNS, dtype=np.float32).reshape(RUNS, 1, 1)


def dense(bias: float) -> onnx.ModelProto:
    return build(
        "m = MatMul(x, w)\ns = Add(m, b)\ny = Tanh(s)", {"x": [1, 6]}, {"w": W, "b": np.full(5, bias, W.dtype)}
    )


def step(at: float) -> onnx.ModelProto:
    return build("g = Greater(x, t)\ny = Cast<to=1>(g)", {"x": [1, 1]}, {"t": np.float32(at)})


def as_it_is(model: onnx.ModelProto) -> onnx_ir.Model:
    return onnx_ir.serde.deserialize_model(model)


def test_a_normalized_model_computes_the_same() -> None:
    require_same_function(dense(1), load_model(dense(1), batch=1), [X])


def test_another_function_is_refused_and_its_output_named() -> None:
    with pytest.raises(CompileError, match=r"changed output 'y': 7\d of 80 numbers differ.*please report"):
        require_same_function(dense(1), as_it_is(dense(0.5)), [X])


def test_flips_of_rounding_are_few() -> None:
    """Of sixteen numbers, two may be others, and not three."""
    require_same_function(step(7.5), as_it_is(step(9.5)), [PLACES])
    with pytest.raises(CompileError, match="3 of 16 numbers differ"):
        require_same_function(step(7.5), as_it_is(step(10.5)), [PLACES])


class TestParts:
    """What changes few numbers, and always the same ones, is no rounding."""

    WIDTH = 40
    PICTURES = RNG.normal(size=(RUNS, 1, 2, 6, 6)).astype(np.float32)

    def layer(self, bias: npt.ArrayLike, scale: npt.ArrayLike = 1.0) -> onnx.ModelProto:
        kernel = np.random.default_rng(1).normal(size=(self.WIDTH, 2, 3, 3)) * np.reshape(scale, (-1, 1, 1, 1))
        weights = {"w": kernel, "b": np.broadcast_to(np.asarray(bias, dtype=np.float32), self.WIDTH)}
        return build("c = Conv(x, w, b)\ny = Relu(c)", {"x": [1, 2, 6, 6]}, weights)

    @pytest.mark.parametrize("lost", [0, 17])
    def test_one_channel_without_its_shift(self, lost: int) -> None:
        biases = np.ones(self.WIDTH)
        original = self.layer(biases)
        require_same_function(original, as_it_is(original), [self.PICTURES])
        biases[lost] = 0
        with pytest.raises(
            CompileError, match=rf"changed output 'y': \d+% of the numbers at place {lost} of 40 of axis 1"
        ):
            require_same_function(original, as_it_is(self.layer(biases)), [self.PICTURES])

    def test_one_channel_of_small_numbers(self) -> None:
        """Beside the largest channel its shift is nothing."""
        scales, biases = np.ones(self.WIDTH), np.zeros(self.WIDTH)
        scales[3], biases[3] = 1e-2, 1e-2
        with pytest.raises(CompileError, match="at place 3 of 40 of axis 1"):
            require_same_function(self.layer(biases, scales), as_it_is(self.layer(0, scales)), [self.PICTURES])

    def test_one_element(self) -> None:
        def shifted(by: float) -> onnx.ModelProto:
            shift = np.zeros((1, 2, 6, 6))
            shift[0, 1, 2, 3] = by
            return build("y = Add(x, s)", {"x": [1, 2, 6, 6]}, {"s": shift})

        with pytest.raises(CompileError, match=r"in most runs the numbers at \(0, 1, 2, 3\) differ"):
            require_same_function(shifted(0), as_it_is(shifted(1)), [self.PICTURES])

    @pytest.mark.parametrize("batch", [8, RUNS])
    def test_one_channel_in_batches(self, batch: int) -> None:
        """Of two runs, or one, each sample counts as a run does."""

        def shifted(by: float) -> onnx.ModelProto:
            return build("y = Add(x, s)", {"x": [batch, self.WIDTH]}, {"s": by * np.eye(self.WIDTH)[3]})

        samples = RNG.normal(size=(RUNS // batch, batch, self.WIDTH)).astype(np.float32)
        require_same_function(shifted(1), as_it_is(shifted(1)), [samples])
        with pytest.raises(CompileError, match="at place 3 of 40 of axis 1"):
            require_same_function(shifted(0), as_it_is(shifted(1)), [samples])

    def test_flips_at_different_places(self) -> None:
        """One in sixteen numbers may flip, of each place of an axis one in another run."""
        shifted = np.stack([np.roll(PLACES[:, 0, 0], k) for k in range(20)], axis=-1)[:, None]

        def steps(at: npt.ArrayLike) -> onnx.ModelProto:
            return build("g = Greater(x, t)\ny = Cast<to=1>(g)", {"x": [1, 20]}, {"t": np.asarray(at)})

        flipping = np.where(np.arange(20) < 15, 8.5, 7.5)
        require_same_function(steps(np.full(20, 7.5)), as_it_is(steps(flipping)), [shifted])

    def test_a_fold_that_loses_a_channel(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As compiling calls it."""
        scale, shift = RNG.uniform(0.7, 1.3, (2, 6)).astype(np.float32)
        body = "n = LayerNormalization(x, s, t)\nh = MatMul(n, w)\ny = Relu(h)"
        wide = RNG.normal(size=(6, self.WIDTH)).astype(np.float32)
        model = build(body, {"x": [1, 6]}, {"s": scale, "t": shift, "w": wide})

        def folds_and_loses(normalized: onnx_ir.Model) -> None:
            fold_scales(normalized)
            value = normalized.graph.initializers["h/shift"]
            assert value.const_value is not None
            numbers = value.const_value.numpy().copy()
            numbers[7] = 0
            value.const_value = onnx_ir.tensor(numbers, name=value.name)

        compile_model(model, X[:, 0])
        monkeypatch.setattr(load, "fold_scales", folds_and_loses)
        with pytest.raises(CompileError, match="at place 7 of 40 of axis 1"):
            compile_model(model, X[:, 0])


def test_where_the_model_gives_no_number_any_may_stand() -> None:
    root = build("y = Sqrt(x)", {"x": [1, 1]})
    other = build("a = Abs(x)\ny = Sqrt(a)", {"x": [1, 1]})
    require_same_function(root, as_it_is(other), [PLACES - 8])


def test_what_is_left_of_a_cancellation_is_none() -> None:
    def scaled(factor: float) -> onnx.ModelProto:
        return build("y = Mul(x, k)", {"x": [1, 6]}, {"k": np.float32(factor)})

    require_same_function(scaled(0), as_it_is(scaled(1e-8)), [X])
    with pytest.raises(CompileError, match="numbers differ"):
        require_same_function(scaled(0), as_it_is(scaled(1e-3)), [X])


def test_a_model_that_rounds_to_16_bits_is_warned_of_where_it_differs() -> None:
    model = dense(1)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones(1, np.float16), "half"))
    require_same_function(model, as_it_is(dense(1)), [X])
    with pytest.warns(AccuracyWarning, match="rounds to few bits.* of 80 numbers of output 'y' differ"):
        require_same_function(model, as_it_is(dense(-1)), [X])


class TestSupportVectors:
    """Probabilities of two classes, which onnxruntime ends up near and the circuit computes."""

    X, Y = load_breast_cancer(return_X_y=True)
    MACHINE = make_pipeline(StandardScaler(), SVC()).fit(X[:400], Y[:400])
    SAMPLES: npt.NDArray[np.float32] = X[:RUNS, None].astype(np.float32)

    def model(self, shift: float) -> onnx.ModelProto:
        """With the slope and the shift that libsvm gives such machines, or another shift."""
        proto = to_onnx(self.MACHINE, self.X[:1].astype(np.float32), options={"zipmap": False})
        node = next(node for node in proto.graph.node if node.op_type == "SVMClassifier")
        node.attribute.extend([helper.make_attribute("prob_a", [-2.3]), helper.make_attribute("prob_b", [shift])])
        return proto

    def test_are_compiled(self) -> None:
        require_same_function(self.model(0.2), load_model(self.model(0.2), batch=1), [self.SAMPLES])

    def test_of_another_machine_are_refused(self) -> None:
        with pytest.raises(CompileError, match=r"changed output 'probabilities'"):
            require_same_function(self.model(0.2), load_model(self.model(0.9), batch=1), [self.SAMPLES])

    def test_other_outputs_of_the_model_are_compared_as_ever(self) -> None:
        """A difference of 0.004 is none for probabilities, and is one beside them."""

        def beside(shift: float) -> onnx.ModelProto:
            proto = self.model(0.2)
            (features,) = (value.name for value in proto.graph.input)
            proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array([shift], np.float32), "shift"))
            proto.graph.node.append(helper.make_node("Sin", [features], ["waves"]))
            proto.graph.node.append(helper.make_node("Add", ["waves", "shift"], ["beside"]))
            proto.graph.output.append(helper.make_tensor_value_info("beside", onnx.TensorProto.FLOAT, [None, 30]))
            return proto

        require_same_function(beside(0.0), load_model(beside(0.0), batch=1), [self.SAMPLES])
        with pytest.raises(CompileError, match="changed output 'beside'"):
            require_same_function(beside(0.0), load_model(beside(0.004), batch=1), [self.SAMPLES])


def test_compiling_compares(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgets_the_bias(model: onnx_ir.Model) -> None:
        model.graph.initializers["b"].const_value = onnx_ir.tensor(np.zeros(5, W.dtype), name="b")

    compile_model(dense(1), X[:, 0])
    monkeypatch.setattr(load, "fold_scales", forgets_the_bias)
    with pytest.raises(CompileError, match="rewriting the model"):
        compile_model(dense(1), X[:, 0])
