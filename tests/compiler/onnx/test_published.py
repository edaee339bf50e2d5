"""Stored parameters are committed to: nothing public depends on them but formats."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper, parser

from zkinfer.circuit.encoding import encode_program
from zkinfer.circuit.program import Program
from zkinfer.compiler.calibration.calibrate import calibrate
from zkinfer.compiler.calibration.float_model import FloatModel
from zkinfer.compiler.compile import compile as compile_model
from zkinfer.compiler.lowering.precision import NATIVE
from zkinfer.compiler.model import Circuit
from zkinfer.compiler.onnx.importer import import_model
from zkinfer.compiler.onnx.load import load
from zkinfer.compiler.onnx.published import is_known, public_constants, public_names
from zkinfer.errors import InvalidInputError, UnsupportedOperatorError
from zkinfer.typing import Array

X = np.random.default_rng(0).uniform(-2, 2, (64, 4)).astype(np.float32)
W = np.random.default_rng(1).normal(size=(4, 4)).astype(np.float32)
SECRETS = (0.7310584, 0.7331219)
"""Two numbers within one format, whose decimal digits are long enough to be found."""


def stored(body: str, weights: Mapping[str, Any], opset: int = 17) -> onnx.ModelProto:
    """A model whose numbers are initializers, as exporters store parameters."""
    tensors = [numpy_helper.from_array(np.asarray(a, dtype=np.float32), name) for name, a in weights.items()]
    graph = helper.make_graph(
        [parser.parse_node(line.strip()) for line in body.strip().splitlines()],
        "test",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def programs(body: str, shape: Sequence[int], **weights: Array) -> list[Program]:
    """The public programs for both secrets; formats come from the calibration of the first."""
    models = [load(stored(body, {"s": np.full(shape, secret), **weights}), batch=1).model for secret in SECRETS]
    statistics = calibrate(models[0], X)
    return [import_model(model, statistics, NATIVE).program for model in models]


FORMS = [
    "h = MatMul(x, w)\ny = Mul(h, s)",
    "h = MatMul(x, w)\ny = Mul(s, h)",
    "h = MatMul(x, w)\ny = Div(h, s)",
    "h = MatMul(x, w)\ny = Add(h, s)",
    "h = MatMul(x, w)\ny = Sub(h, s)",
    "h = MatMul(x, w)\ny = Sub(s, h)",
    "h = Sigmoid(x)\ny = Div(s, h)",
    "h = MatMul(x, w)\ny = PRelu(h, s)",
    "h = MatMul(x, w)\na = Relu(h)\nb = Mul(a, s)\ny = Sigmoid(b)",
    "h = MatMul(x, w)\na = Div(h, s)\ny = Softmax(a)",
    "h = Sigmoid(x)\na = Add(h, s)\ny = Tanh(a)",
    "h = MatMul(x, w)\ny = Max(h, s)",
    "h = MatMul(x, w)\ny = Min(h, s)",
    "h = MatMul(x, w)\nc = Greater(h, s)\ny = Cast<to=1>(c)",
    "h = MatMul(x, w)\nc = Greater(h, w0)\ny = Where(c, h, s)",
    "h = MatMul(x, w)\nt = Sigmoid(s)\ny = Mul(h, t)",
    "h = MatMul(x, w)\nt = Exp(s)\nu = Relu(h)\ny = Add(u, t)",
    "h = MatMul(x, w)\ny = Clip(h, n, s)",
]


@pytest.mark.parametrize("shape", [(), (1,), (4,)])
@pytest.mark.parametrize("body", FORMS)
def test_the_program_is_the_same_for_two_values_of_a_parameter(body: str, shape: tuple[int, ...]) -> None:
    if "Clip" in body and shape:
        pytest.skip("bounds of a Clip have no axes")
    first, second = programs(body, shape, **known(body))
    assert encode_program(first) == encode_program(second)
    assert not any(digit.isdigit() for table in first.tables for digit in table.name)


def known(body: str) -> dict[str, Array]:
    """The other constants that a model's nodes name."""
    constants: dict[str, Array] = {"w": W, "w0": np.zeros(()), "n": np.array(-SECRETS[0])}
    return {name: a for name, a in constants.items() if f"{name})" in body or f"{name}," in body}


@pytest.mark.parametrize("body", FORMS)
def test_the_circuit_computes_the_model(body: str) -> None:
    model = stored(body, {"s": np.array(SECRETS[0]), **known(body)})
    fixed = np.asarray(compile_model(model, X).run(X))
    floats = FloatModel(load(model, batch=1).model).answer([X])[0]
    off = np.abs(fixed - floats) > 0.002 * (np.ptp(floats) + 1)
    # A comparison may be decided by the last digit.
    assert off.mean() <= (0.01 if "Greater" in body else 0)


def test_what_the_model_writes_down_is_public_and_listed() -> None:
    body = """c = Constant<value = float {0.7310584}>()
    h = MatMul(x, w)
    y = Mul(h, c)"""
    model = load(stored(body, {"w": W}), batch=1).model
    (found,) = public_constants(model)
    assert (found.name, np.float32(found.value)) == ("c", np.float32(SECRETS[0]))
    assert found.where.endswith("(Mul)")


def test_numbers_of_an_operators_own_formula_are_public() -> None:
    model = load(stored("y = LayerNormalization(x, s)", {"s": np.full(4, 0.9)}), batch=1).model
    (found,) = public_constants(model)
    assert np.float32(found.value) == np.float32(1e-5)
    assert found.where.endswith("(Add)")


class TestPublish:
    POWER = "h = Sigmoid(x)\ny = Pow(h, s)"

    def test_what_cannot_be_committed_to_is_refused(self) -> None:
        model = stored(self.POWER, {"s": np.array(2.7310584)})
        with pytest.raises(
            UnsupportedOperatorError, match=r"'s' is a stored parameter, and would become public.*publish"
        ):
            compile_model(model, X)

    def test_unless_the_owner_publishes_it(self) -> None:
        model = stored(self.POWER, {"s": np.array(2.7310584)})
        circuit = compile_model(model, X, publish=["s"])
        assert np.abs(np.asarray(circuit.run(X)) - (1 / (1 + np.exp(-X.astype(float)))) ** 2.7310584).max() <= 0.001

    def test_also_through_what_is_computed_from_it(self) -> None:
        model = stored("h = Sigmoid(x)\nt = Exp(s)\ny = Pow(h, t)", {"s": np.array(0.7310584)})
        assert isinstance(compile_model(model, X, publish=["s"]), Circuit)

    def test_a_name_that_is_no_initializer_is_refused(self) -> None:
        with pytest.raises(
            InvalidInputError, match="publish names 'p', which is not an initializer of the model; it has 's'"
        ):
            compile_model(stored(self.POWER, {"s": np.array(2.5)}), X, publish=["p"])


@pytest.mark.parametrize(
    ("x", "known"),
    [
        (3, True),
        (10, True),
        (-2, True),
        (0.5, True),
        (1e-5, True),
        (1e-12, True),
        (np.sqrt(2), True),
        (-1e9, True),
        (1 / np.sqrt(7), True),
        (0.044715, True),
        (6, True),
        (SECRETS[0], False),
        (0.3, False),
        (1.5, False),
    ],
)
def test_numbers_that_everybody_knows(x: float, known: bool) -> None:
    model = load(stored("h = MatMul(x, w)\ny = Mul(h, s)", {"w": W, "s": np.array(x)}), batch=1).model
    assert ("s" in public_names(model)) == known
    assert [is_known(model.graph.initializers[name]) for name in ("s", "w")] == [known, False]


def test_with_axes_they_are_parameters() -> None:
    model = load(stored("h = MatMul(x, w)\ny = Mul(h, s)", {"w": W, "s": np.ones(4)}), batch=1).model
    assert "s" not in public_names(model)


def test_a_type_that_a_number_takes_over_does_not_make_it_secret() -> None:
    """Exporters write the scale of attention so: the type of a parameter, and nothing else of it."""
    scale = "k = Shape(x)\ni = Cast<to=1>(k)\nn = ReduceMax<keepdims=0>(i)\nc = CastLike(n, w)\n"
    body = scale + "h = MatMul(x, w)\ny = Mul(h, c)"
    model = load(stored(body, {"w": W}), batch=1).model
    (node,) = (node for node in model.graph if node.op_type == "Mul")
    assert node.inputs[1] is not None
    assert node.inputs[1].name in public_names(model)


class TestTorch:
    @pytest.mark.parametrize("exporter", ["dynamo", "torchscript"])
    def test_parameters_and_buffers_are_secret_and_numbers_of_the_code_are_not(self, exporter: Any) -> None:
        torch = pytest.importorskip("torch")

        class Module(torch.nn.Module):  # type: ignore[name-defined,misc]
            def __init__(self, number: float) -> None:
                super().__init__()
                self.linear = torch.nn.Linear(4, 4)
                with torch.no_grad():
                    self.linear.weight.copy_(torch.from_numpy(W))
                    self.linear.bias.fill_(number)
                self.temperature = torch.nn.Parameter(torch.tensor(number))
                self.slope = torch.nn.PReLU(init=number / 2)
                self.register_buffer("offset", torch.tensor(number))

            def forward(self, x: Any) -> Any:
                h = self.slope(self.linear(x) * self.temperature / 1.5)
                return torch.sigmoid(self.temperature) * h + self.offset

        circuits = [compile_model(Module(number), X, exporter=exporter) for number in SECRETS]
        assert circuits[0].digest == circuits[1].digest


def test_a_circuit_lists_its_public_constants_also_from_a_file(tmp_path: Path) -> None:
    circuit = compile_model(stored("h = MatMul(x, w)\ny = Mul(h, s)", {"w": W, "s": np.array(3)}), X)
    circuit.save(tmp_path / "model.zkcircuit")
    for one in (circuit, Circuit.load(tmp_path / "model.zkcircuit")):
        assert [(c.name, c.value) for c in one.public_constants()] == [("s", 3.0)]
