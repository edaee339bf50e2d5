"""The decompositions of ONNX operators, one small function each; importing this package registers them all."""

from zkinfer.compiler.onnx.decompositions import arithmetic as arithmetic
from zkinfer.compiler.onnx.decompositions import attention as attention
from zkinfer.compiler.onnx.decompositions import classical as classical
from zkinfer.compiler.onnx.decompositions import contributed as contributed
from zkinfer.compiler.onnx.decompositions import loops as loops
from zkinfer.compiler.onnx.decompositions import normalization as normalization
from zkinfer.compiler.onnx.decompositions import recurrence as recurrence
from zkinfer.compiler.onnx.decompositions import reduction as reduction
from zkinfer.compiler.onnx.decompositions import sampling as sampling
from zkinfer.compiler.onnx.decompositions import transforms as transforms
from zkinfer.compiler.onnx.decompositions import trees as trees
from zkinfer.compiler.onnx.decompositions import windows as windows
