"""onnxruntime, which reports to its maker unless told not to before it is loaded: benchmarks take it from here."""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime
from onnxruntime.quantization import QuantType, quantize_dynamic

__all__ = ["QuantType", "onnxruntime", "quantize_dynamic"]
