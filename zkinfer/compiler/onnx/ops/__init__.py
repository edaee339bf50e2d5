"""The ONNX operators, one small function each; importing this package registers them all."""

from zkinfer.compiler.onnx.ops import elementwise as elementwise
from zkinfer.compiler.onnx.ops import grid_sample as grid_sample
from zkinfer.compiler.onnx.ops import linear as linear
from zkinfer.compiler.onnx.ops import logic as logic
from zkinfer.compiler.onnx.ops import normalization as normalization
from zkinfer.compiler.onnx.ops import pooling as pooling
from zkinfer.compiler.onnx.ops import quantized as quantized
from zkinfer.compiler.onnx.ops import reduction as reduction
from zkinfer.compiler.onnx.ops import resize as resize
from zkinfer.compiler.onnx.ops import selection as selection
from zkinfer.compiler.onnx.ops import structure as structure
