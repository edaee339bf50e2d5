"""Sliding windows: sums of powers over windows, and images from blocks."""

import math

import numpy as np
from onnx_ir import Value

from zkinfer.compiler.calibration.float_model import numpy_type, static_shape
from zkinfer.compiler.onnx.decomposition import decomposition
from zkinfer.compiler.onnx.subgraph import Subgraph, content_of


@decomposition("LpPool", 11, hint="supported are p of 1 and 2, without ceil_mode")
def lp_pool(s: Subgraph, x: Value) -> list[Value] | None:
    """An LpPool: sums of absolute values over windows, or roots of sums of squares; None for other powers."""
    a, p, channels = s.node.attributes, s.integer("p", 2), static_shape(x)[1]
    if s.integer("ceil_mode", 0) or p not in (1, 2):
        return None
    powers = s.op("absolute", "Abs", x) if p == 1 else s.op("squares", "Mul", x, x)
    ones = s.constant("ones", np.ones((channels, 1, *a["kernel_shape"].as_ints()), dtype=numpy_type(x)))
    attributes = {name: a[name].value for name in ("auto_pad", "dilations", "pads", "strides") if name in a}
    sums = s.op("sums", "Conv", powers, ones, group=channels, **attributes)
    return [sums if p == 1 else s.op("root", "Sqrt", sums)]


@decomposition("Col2Im", 18)
def column_to_image(s: Subgraph, x: Value, image: Value, block: Value) -> list[Value] | None:
    """A Col2Im: a transposed convolution in which each element of a block has a kernel of its own."""
    sizes, kernel = content_of(image), content_of(block)
    if sizes is None or kernel is None:
        return None
    batch, rows, _ = static_shape(x)
    size, rank = math.prod(kernel.tolist()), len(kernel)
    channels = rows // size
    listed = {"dilations": [1] * rank, "pads": [0] * (2 * rank), "strides": [1] * rank}
    given = {
        name: list(s.node.attributes[name].as_ints()) if name in s.node.attributes else d for name, d in listed.items()
    }
    reach = np.array(given["dilations"]) * (kernel - 1) + 1
    padded = sizes + np.array(given["pads"]).reshape(2, rank).sum(axis=0)
    counts, left = np.divmod(padded - reach, given["strides"])
    unit = np.tile(np.eye(size).reshape(size, 1, *kernel.tolist()), (channels, *(1 for _ in range(rank + 1))))
    blocks = s.reshape("blocks", x, (batch, rows, *(counts + 1).tolist()))
    spread = s.constant("places", unit.astype(numpy_type(x)))
    return [s.op("image", "ConvTranspose", blocks, spread, group=channels, output_padding=left.tolist(), **given)]
