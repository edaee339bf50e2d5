"""A module and its export are compared on the calibration data, so that no circuit is another function."""

from typing import Any

import numpy as np
import onnx
import pytest

from zkinfer.compiler.compile import compile as compile_model
from zkinfer.compiler.onnx.export import export
from zkinfer.compiler.onnx.export_check import require_same
from zkinfer.errors import CompileError, InvalidInputError, ShapeError
from zkinfer.typing import Array

torch = pytest.importorskip("torch")
nn = torch.nn

X = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)


class Module(nn.Module):  # type: ignore[name-defined,misc]
    """A module from one function."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self._function = function

    def forward(self, x: Any) -> Any:
        return self._function(x)


DOUBLE, RELU = Module(lambda x: x * 2), Module(torch.relu)


def exported(module: Any) -> onnx.ModelProto:
    return export(module, X[:2])


def test_the_same_function_passes() -> None:
    require_same(DOUBLE, exported(DOUBLE), X, batch=1)
    require_same(DOUBLE, exported(DOUBLE), [X], batch=4)
    require_same(DOUBLE, exported(DOUBLE), {"x": X}, batch=3)


def test_one_sample_without_a_batch_axis_passes() -> None:
    require_same(DOUBLE, exported(DOUBLE), X[0], batch=1)


def test_another_function_is_refused_with_the_sample_and_the_size() -> None:
    other = X.copy()
    other[:] = np.abs(other)
    other[7, 2] = -0.5
    with pytest.raises(CompileError, match=r"output 0 differs by 0\.5 at sample 7 of the calibration data"):
        require_same(RELU, exported(Module(torch.abs)), other, batch=1)


def test_the_samples_of_a_batch_are_named_together() -> None:
    other = np.abs(X)
    other[7, 2] = -0.5
    with pytest.raises(CompileError, match="at the samples from 6 on"):
        require_same(RELU, exported(Module(torch.abs)), other, batch=3)


def test_rounding_is_no_difference() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(*(layer for _ in range(6) for layer in (nn.Linear(4, 4), nn.Tanh()))).eval()
    require_same(module, exported(module), X, batch=1)
    require_same(module.double(), export(module, X[:2].astype(np.float64)), X.astype(np.float64), batch=1)


def test_integers_may_differ_at_near_ties_alone() -> None:
    first, last = Module(lambda x: x.argmax(1)), Module(lambda x: (-x).argmax(1))
    require_same(first, exported(first), X, batch=1)
    with pytest.raises(CompileError, match="another function"):
        require_same(last, exported(first), X, batch=1)


def test_a_number_in_the_place_of_nan_is_a_difference() -> None:
    data = np.abs(X) + 1
    data[3, 0] = -1
    with pytest.raises(CompileError, match="differs by inf at sample 3"):
        require_same(Module(torch.log), exported(RELU), data, batch=1)


def test_other_shapes_are_refused() -> None:
    with pytest.raises(CompileError, match="outputs have the shapes"):
        require_same(Module(lambda x: x[:, :2]), exported(DOUBLE), X, batch=1)


@pytest.mark.parametrize("function", [lambda x: x + torch.rand(4), lambda x: nn.functional.dropout(x, 0.5)])
def test_random_numbers_are_refused(function: Any) -> None:
    module = Module(function)
    with pytest.raises(CompileError, match="draws random numbers"):
        require_same(module, exported(DOUBLE), X, batch=1)


def test_a_module_that_fails_on_a_sample_is_refused() -> None:
    def function(x: Array) -> Array:
        assert x.min() > -100
        return x * 2

    with pytest.raises(InvalidInputError, match="the module fails on sample 2"):
        require_same(Module(function), exported(DOUBLE), np.array([[0.0], [1.0], [-200.0]]) * np.ones(4), batch=1)


def test_dropout_layers_are_off_whatever_the_modules_mode() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)).train()
    require_same(module, exported(module), X, batch=1)
    assert module[1].training


class TestCompile:
    def test_compares(self, monkeypatch: pytest.MonkeyPatch) -> None:
        export_of_another = exported(Module(torch.abs))
        monkeypatch.setattr("zkinfer.compiler.compile.export_call", lambda *_, **__: export_of_another)
        with pytest.raises(CompileError, match="the export of the module is another function"):
            compile_model(RELU, X)

    def test_leaves_data_of_a_wrong_shape_to_calibration(self) -> None:
        with pytest.raises(ShapeError):
            compile_model(nn.Sequential(nn.ReLU()), np.ones((5, 4)), batch=2).run(np.ones((4, 3)))
