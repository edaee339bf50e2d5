"""The ONNX operators, one small function each; importing this package registers them all."""

from zkinfer.onnx.ops import elementwise, linear, logic, normalization, pooling, reduction, selection, structure

__all__ = ["elementwise", "linear", "logic", "normalization", "pooling", "reduction", "selection", "structure"]
