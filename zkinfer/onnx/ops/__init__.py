"""The ONNX operators, one small function each; importing this package registers them all."""

from zkinfer.onnx.ops import elementwise as elementwise
from zkinfer.onnx.ops import linear as linear
from zkinfer.onnx.ops import logic as logic
from zkinfer.onnx.ops import normalization as normalization
from zkinfer.onnx.ops import pooling as pooling
from zkinfer.onnx.ops import quantized as quantized
from zkinfer.onnx.ops import reduction as reduction
from zkinfer.onnx.ops import resize as resize
from zkinfer.onnx.ops import selection as selection
from zkinfer.onnx.ops import structure as structure
