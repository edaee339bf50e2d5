"""Exporting torch modules: both exporters give ONNX that computes what the module computes, for any batch."""

import builtins
import logging
import sys
from typing import Any

import numpy as np
import onnxruntime
import pytest

from zkinfer.compiler.compile import compile  # noqa: A004
from zkinfer.compiler.lowering.precision import Precision
from zkinfer.compiler.onnx.export import Exporter, export, is_module
from zkinfer.compiler.onnx.load import load_model
from zkinfer.errors import CompileError, InvalidInputError, MissingDependencyError

torch = pytest.importorskip("torch")
nn = torch.nn

FINE = Precision(activation_bits=12, weight_bits=12, max_table_entries=1 << 16)
EXPORTERS: tuple[Exporter, ...] = ("dynamo", "torchscript")


class Returning(nn.Module):  # type: ignore[name-defined, misc]
    """A module that gives what a function gives."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self._function = function

    def forward(self, x: Any) -> Any:
        return self._function(x)


def _modules() -> dict[str, tuple[Any, tuple[int, ...]]]:
    """Small modules and the shape of one sample each takes."""
    return {
        "mlp": (nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)), (6,)),
        "cnn with batch norm": (
            nn.Sequential(
                nn.Conv2d(1, 3, 3, padding=1, bias=False),
                nn.BatchNorm2d(3),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Conv2d(3, 4, 3),
                nn.BatchNorm2d(4),
                nn.Flatten(),
                nn.Linear(16, 3),
                nn.BatchNorm1d(3),
            ),
            (1, 8, 8),
        ),
        "gelu": (nn.Sequential(nn.Linear(6, 5), nn.GELU(), nn.Linear(5, 3)), (6,)),
        "gelu tanh": (nn.Sequential(nn.Linear(6, 5), nn.GELU(approximate="tanh")), (6,)),
        "silu": (nn.Sequential(nn.Linear(6, 5), nn.SiLU()), (6,)),
        "softmax": (nn.Sequential(nn.Linear(6, 5), nn.Softmax(dim=-1)), (6,)),
        "max pool": (nn.Sequential(nn.MaxPool2d(3, stride=2, padding=1), nn.Flatten(), nn.Linear(16, 2)), (1, 8, 8)),
    }


def _prepare(name: str) -> tuple[Any, np.ndarray]:
    """The module, its batch norms with statistics of their own, and five samples."""
    torch.manual_seed(7)
    module, sample = _modules()[name]
    module.train()
    with torch.no_grad():
        module(torch.randn(32, *sample))
    return module, torch.randn(5, *sample).numpy()


@pytest.fixture(params=EXPORTERS)
def exporter(request: pytest.FixtureRequest) -> Exporter:
    name: Exporter = request.param
    return name


@pytest.mark.parametrize("name", _modules())
def test_both_exports_compute_what_the_module_does_and_compile_to_the_same_answers(name: str) -> None:
    module, x = _prepare(name)
    with torch.no_grad():
        expected = module.eval()(torch.from_numpy(x)).numpy()
    answers = []
    for exporter in EXPORTERS:
        proto = export(module, x[:1], exporter=exporter)
        session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
        in_float = session.run(None, {session.get_inputs()[0].name: x})[0]
        np.testing.assert_allclose(in_float, expected, atol=1e-5)
        assert "BatchNormalization" not in {node.op_type for node in load_model(proto, batch=3).graph}
        answers.append(compile(proto, x, precision=FINE).run(x))
    np.testing.assert_allclose(answers[0], expected, atol=0.01 * np.ptp(expected))
    np.testing.assert_array_equal(answers[0], answers[1])


def test_training_flags_are_restored(exporter: Exporter) -> None:
    module = nn.Sequential(nn.Linear(6, 5), nn.Dropout(), nn.BatchNorm1d(5))
    module.train()
    module[2].eval()
    export(module, torch.randn(2, 6), exporter=exporter)
    assert [m.training for m in module.modules()] == [True, True, True, False]


def test_training_flags_are_restored_after_a_failure(exporter: Exporter) -> None:
    class Fails(nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x: Any) -> Any:
            raise ValueError("no such thing")

    module = Fails().train()
    with pytest.raises(InvalidInputError, match="no such thing"):
        export(module, torch.randn(2, 6), exporter=exporter)
    assert module.training


def test_dropout_is_exported_as_in_evaluation(exporter: Exporter) -> None:
    module = nn.Sequential(nn.Linear(6, 5), nn.Dropout(0.9)).train()
    model = load_model(export(module, torch.randn(2, 6), exporter=exporter), batch=1)
    assert [node.op_type for node in model.graph] == ["Gemm"]


class _Two(nn.Module):  # type: ignore[misc, name-defined]
    def forward(self, left: Any, right: Any) -> tuple[Any, Any]:
        return left + right, left * right


@pytest.mark.parametrize(
    "examples",
    [
        (torch.ones(2, 3), np.ones((2, 3), dtype=np.float32)),
        {"right": torch.ones(1, 3), "left": torch.ones(1, 3)},
    ],
    ids=["tuple", "mapping"],
)
def test_inputs_and_outputs_are_named(examples: object, exporter: Exporter) -> None:
    proto = export(_Two(), examples, exporter=exporter)
    assert [value.name for value in proto.graph.input] == ["left", "right"]
    assert [value.name for value in proto.graph.output] == ["output_0", "output_1"]


def test_nothing_is_printed(
    exporter: Exporter,
    capfd: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        export(nn.Linear(6, 5), torch.randn(2, 6), exporter=exporter)
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
    assert not recwarn.list
    assert not caplog.records


def test_a_failure_is_one_error_and_nothing_is_printed(exporter: Exporter, capfd: pytest.CaptureFixture[str]) -> None:
    """The exporters print the graph of a module that they fail on, and one of them not by Python."""

    class Unknown(nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x: Any) -> Any:
            return torch.special.bessel_j0(x)

    class Branching(nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x: Any) -> Any:
            return x * 2 if x.sum() > 0 else x

    for module, message in (
        (Unknown(), f'exporter "{exporter}" fails on this module: .*bessel'),
        (Branching(), "line"),
    ):
        with pytest.raises(CompileError, match=message):
            export(module, torch.randn(2, 4), exporter=exporter)
    assert capfd.readouterr() == ("", "")


def test_a_module_that_fixes_its_batch_is_refused_with_advice() -> None:
    class FixedBatch(nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x: Any) -> Any:
            return x.reshape(4, 3) * 2

    with pytest.raises(CompileError, match=r"a batch of 4\s+alone"):
        export(FixedBatch(), torch.randn(4, 3), exporter="dynamo")


@pytest.mark.parametrize(
    ("module", "examples", "message"),
    [
        ("model.onnx", torch.ones(1, 2), "only a torch.nn.Module"),
        (nn.Linear(2, 2), torch.tensor(1.0), "first axis is the batch"),
        (nn.Linear(2, 2), torch.ones(0, 2), "first axis is the batch"),
        (nn.Linear(2, 2), (), "needs an example"),
        (nn.Linear(2, 2), {"y": torch.ones(1, 2)}, "forward takes"),
        (_Two(), {"right": torch.ones(1, 2)}, "fails on the example.*'left'"),
        (nn.Linear(2, 2), torch.ones(1, 3), r"fails on the example.* shape input \(3,\) .*counts samples"),
        (Returning(lambda x: {"x": None}), torch.ones(1, 2), "dict, something in which there is no tensor"),
    ],
)
def test_bad_arguments_are_named(module: object, examples: object, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        export(module, examples)


def test_an_unknown_exporter_is_named() -> None:
    with pytest.raises(InvalidInputError, match="'tf'"):
        export(nn.Linear(2, 2), torch.ones(1, 2), exporter="tf")  # type: ignore[arg-type]


def test_without_torch_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without_torch(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.split(".")[0] == "torch":
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr(builtins, "__import__", without_torch)
    with pytest.raises(MissingDependencyError, match=r"zkinfer\[torch\]"):
        export(object(), np.ones((1, 2)))


def test_modules_are_recognized() -> None:
    assert is_module(nn.Sequential())
    assert is_module(_Two())
    assert not is_module("model.onnx")
    assert not is_module(torch.ones(1))


class TestParameters:
    @pytest.mark.parametrize("named", [0, 1, 2])
    def test_any_number_of_inputs(self, exporter: Exporter, named: int) -> None:
        """`forward(self, *x)`, alone or after parameters with names."""

        class Zero(nn.Module):  # type: ignore[name-defined, misc]
            def forward(self, *x: Any) -> Any:
                return x[0] - 2 * x[1] + x[2]

        class One(nn.Module):  # type: ignore[name-defined, misc]
            def forward(self, a: Any, *x: Any) -> Any:
                return a - 2 * x[0] + x[1]

        class Two(nn.Module):  # type: ignore[name-defined, misc]
            def forward(self, a: Any, b: Any, *x: Any) -> Any:
                return a - 2 * b + x[0]

        module = (Zero(), One(), Two())[named]
        x = [torch.rand(6, 4).numpy() - 0.5 for _ in range(3)]
        names = [value.name for value in export(module, x, exporter=exporter).graph.input]
        assert names == [["x_0", "x_1", "x_2"], ["a", "x_0", "x_1"], ["a", "b", "x_0"]][named]
        circuit = compile(module, x, exporter=exporter)
        np.testing.assert_allclose(circuit.run(x), x[0] - 2 * x[1] + x[2], atol=1e-3)

    @pytest.mark.parametrize("exporter", EXPORTERS)
    def test_inputs_are_given_by_name_where_their_place_is_another(self, exporter: Exporter) -> None:
        class Named(nn.Module):  # type: ignore[name-defined, misc]
            def __init__(self) -> None:
                super().__init__()
                self.weight = nn.Parameter(torch.tensor([2.0, 3.0]))

            def forward(self, a: Any, cache: Any = None, *, b: Any) -> Any:
                assert cache is None
                return a - self.weight * b

        x = np.random.default_rng(0).normal(size=(2, 16, 2)).astype(np.float32)
        circuit = compile(Named(), {"b": x[1], "a": x[0]}, exporter=exporter)
        assert [tensor.label for tensor in circuit.program.inputs] == ["a", "b"]
        assert "weight" in [tensor.label for tensor in circuit.program.weights]
        np.testing.assert_allclose(circuit.run({"a": x[0], "b": x[1]}), x[0] - [2, 3] * x[1], atol=1e-3)


class TestOutputs:
    """Modules that give more than tensors: a mapping, as those of Hugging Face do, or tuples within tuples."""

    X = np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32)

    def mapping(self) -> Any:
        return Returning(lambda x: {"loss": None, "logits": x * 2, "pooled": x - 1, "past": (x, x)})

    @pytest.mark.parametrize("exporter", EXPORTERS)
    def test_the_tensors_of_a_mapping_keep_their_names(self, exporter: Exporter) -> None:
        circuit = compile(self.mapping(), self.X, exporter=exporter)
        assert [tensor.label for tensor in circuit.program.output_tensors] == ["logits", "pooled"]
        np.testing.assert_allclose(circuit.run(self.X), (self.X * 2, self.X - 1), atol=1e-3)

    def test_one_is_chosen_by_name(self) -> None:
        circuit = compile(self.mapping(), self.X, outputs=["pooled"])
        np.testing.assert_allclose(circuit.run(self.X), self.X - 1, atol=1e-3)

    def test_another_name_is_refused(self) -> None:
        with pytest.raises(InvalidInputError, match=r"'hidden'; it gives \['logits', 'pooled'\]"):
            compile(self.mapping(), self.X, outputs=["hidden"])

    def test_tuples_within_tuples_are_one(self) -> None:
        circuit = compile(Returning(lambda x: (x, (x * 2, None, [x * 3]))), self.X)
        assert [tensor.label for tensor in circuit.program.output_tensors] == ["output_0", "output_1", "output_2"]

    def test_a_recurrent_layer_is_one(self) -> None:
        torch.manual_seed(0)
        module, x = nn.LSTM(3, 2, batch_first=True), np.random.default_rng(0).normal(size=(16, 4, 3))
        circuit = compile(module, x.astype(np.float32), outputs=["output_0"])
        with torch.no_grad():
            right, _ = module(torch.tensor(x, dtype=torch.float32))
        np.testing.assert_allclose(circuit.run(x), right.numpy(), atol=1e-3)

    def test_an_onnx_models_outputs_are_chosen_too(self) -> None:
        proto = export(self.mapping(), self.X)
        assert [tensor.label for tensor in compile(proto, self.X, outputs=["pooled"]).program.output_tensors] == [
            "pooled"
        ]
        for wrong in (["hidden"], []):
            with pytest.raises(InvalidInputError, match=r"gives \['logits', 'pooled'\]"):
                compile(proto, self.X, outputs=wrong)


class TestBfloat16:
    @pytest.mark.parametrize("of_torch", [True, False])
    def test_a_module_is_the_one_of_float32_with_the_same_weights(self, exporter: Exporter, of_torch: bool) -> None:
        torch.manual_seed(1)
        module = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)).bfloat16()
        x = (torch.rand(32, 6) - 0.5).bfloat16()
        circuit = compile(module, x if of_torch else x.float().numpy(), exporter=exporter)
        with torch.no_grad():
            expected = module.float()(x.float()).numpy()
        np.testing.assert_allclose(circuit.run(x.float().numpy()), expected, atol=1e-3)
        np.testing.assert_allclose(circuit.run(x if of_torch else x.float().numpy()), expected, atol=1e-3)


class TestBranches:
    """What depends on the examples is not an export of the module."""

    class Branch(nn.Module):  # type: ignore[name-defined,misc]
        def forward(self, x: Any) -> Any:
            if x.sum() > 0:  # the line
                return x * 2
            return x - 1

    class Number(nn.Module):  # type: ignore[name-defined,misc]
        def forward(self, x: Any) -> Any:
            return x * float(x.max())  # the line

    class Shape(nn.Module):  # type: ignore[name-defined,misc]
        def forward(self, x: Any) -> Any:
            return x * 2 if x.shape[1] > 3 else x

    def test_on_data_are_refused_with_their_line(self, exporter: Exporter) -> None:
        with pytest.raises(CompileError, match=r"line \d+ of .*test_export\.py \(if x\.sum\(\) > 0:  # the line\)"):
            export(self.Branch(), np.ones((2, 4), dtype=np.float32), exporter=exporter)

    def test_numbers_that_the_tracer_takes_from_the_example_are_refused(self) -> None:
        with pytest.raises(CompileError, match=r"\(return x \* float\(x\.max\(\)\)  # the line\) makes a Python value"):
            export(self.Number(), np.ones((2, 4), dtype=np.float32), exporter="torchscript")

    def test_on_shapes_are_followed(self) -> None:
        x = np.arange(8, dtype=np.float32).reshape(2, 4)
        np.testing.assert_allclose(compile(self.Shape(), x, precision=FINE).run(x), 2 * x, atol=0.01)
