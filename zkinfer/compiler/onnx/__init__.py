"""Reading, normalizing and lowering ONNX models."""
