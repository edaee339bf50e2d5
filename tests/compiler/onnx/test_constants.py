"""Nodes whose inputs are all constants."""

import numpy as np
import onnx_ir
import pytest

from zkinfer.compiler.lowering.activation import Constant
from zkinfer.compiler.onnx.constants import computed
from zkinfer.errors import CompileError


def _gathered(index: int) -> Constant:
    names = [onnx_ir.Value(name=name) for name in "wt"]
    node = onnx_ir.node("Gather", names, outputs=[onnx_ir.Value(name="e")])
    (result,) = computed(node, 18, [Constant("w", np.arange(6.0).reshape(2, 3)), Constant("t", np.array([index]))])
    return result


def test_a_node_of_constants_is_a_constant() -> None:
    assert _gathered(1).name == "e"
    assert _gathered(1).array.tolist() == [[3, 4, 5]]


def test_what_cannot_be_computed_is_named() -> None:
    with pytest.raises(CompileError, match="cannot be computed from its operands, which are constants"):
        _gathered(7)
