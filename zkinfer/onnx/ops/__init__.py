"""The ONNX operators, one small function each; importing this package registers them all."""

from zkinfer.onnx.ops import elementwise, linear, normalization, pooling, reduction, structure

__all__ = ["elementwise", "linear", "normalization", "pooling", "reduction", "structure"]
