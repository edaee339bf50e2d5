"""Grids of positions, and GridSample at computed ones, as products with the weights of all elements of an axis.

The weight of element i for a position p is max(0, 1 - |p - i|): linear interpolation between neighbours, and zeros
beyond the ends. Of a rounded position it is 1 for the nearest element alone.
"""

import math
import string

import numpy as np
from onnx_ir import Value

from zkinfer.compiler.calibration.float_model import numpy_type, static_shape
from zkinfer.compiler.onnx.decomposition import decomposition
from zkinfer.compiler.onnx.ops.grid_sample import LINEAR, NEAREST, PADDING
from zkinfer.compiler.onnx.subgraph import Subgraph, content_of

MAX_ELEMENTS = 1 << 22
"""Elements of the largest tensor that a computed grid may need."""


@decomposition(
    "GridSample",
    16,
    hint="supported are the modes linear (bilinear) and nearest; at computed positions, products of channels, places "
    f"and elements of all axes but the last up to {MAX_ELEMENTS}",
)
def grid_sample(s: Subgraph, x: Value, grid: Value) -> list[Value] | None:
    """A GridSample at computed positions; None of other ones, and of other modes or sizes."""
    mode, padding = s.text("mode", "linear"), s.text("padding_mode", "zeros")
    batch, channels, *sizes = static_shape(x)
    places = static_shape(grid)[1:-1]
    count = math.prod(places)
    largest = batch * count * max(channels * math.prod(sizes[:-1]), *sizes)
    known = mode in LINEAR + NEAREST and padding in PADDING
    if content_of(grid) is not None or not known or largest > MAX_ELEMENTS:
        return None
    image, spatial = x, string.ascii_lowercase[: len(sizes)]
    for i in reversed(range(len(sizes))):
        weights = _weights(s, grid, i, (batch, count, sizes[i]), nearest=mode in NEAREST, padding=padding)
        before = spatial[: i + 1] + ("p" if i < len(sizes) - 1 else "")
        image = s.op(f"axis{i}", "Einsum", image, weights, equation=f"nz{before},np{spatial[i]}->nz{spatial[:i]}p")
    return [s.reshape("places", image, (batch, channels, *places))]


def _weights(s: Subgraph, grid: Value, axis: int, shape: tuple[int, int, int], *, nearest: bool, padding: str) -> Value:
    """For each place the weights of all elements of an axis: (batch, places, elements)."""
    batch, count, size = shape
    last = len(static_shape(grid)) - 1
    # Coordinates are in the order of the axes from the last one on.
    coordinate = static_shape(grid)[-1] - 1 - axis
    x = s.reshape(
        f"axis{axis}/x", s.slice(f"axis{axis}/part", grid, last, coordinate, coordinate + 1), (batch, count, 1)
    )
    aligned = bool(s.integer("align_corners", 0))

    def step(name: str, op: str, value: Value, *numbers: float, **attributes: int) -> Value:
        given = (s.number(f"axis{axis}/{name}/{k}", number, grid) for k, number in enumerate(numbers))
        return s.op(f"axis{axis}/{name}", op, value, *given, **attributes)

    scaled = step("scaled", "Mul", x, (size - 1 if aligned else size) / 2)
    at = step("position", "Add", scaled, (size - 1) / 2)
    if nearest:
        at = step("rounded", "Round", at)
    if padding == "reflection" and size > 1:
        # A triangle wave: the distance from the far end, folded at both ends.
        edge, length = (0.0, size - 1.0) if aligned else (0.5, float(size))
        way = step("way", "Abs", step("from_edge", "Add", at, edge))
        folded = step("folded", "Mod", way, 2 * length, fmod=1)
        back = step("back", "Abs", step("from_end", "Sub", folded, length))
        at = step("reflected", "Add", step("turned", "Neg", back), length - edge)
    if padding != "zeros":
        at = step("within", "Clip", at, 0.0, size - 1.0)
    elements = s.constant(f"axis{axis}/elements", np.arange(size, dtype=numpy_type(grid)))
    apart = step("apart", "Abs", s.op(f"axis{axis}/difference", "Sub", at, elements))
    return step("weights", "Relu", step("near", "Add", step("less", "Neg", apart), 1.0))


@decomposition("AffineGrid", 20, hint="supported are constant sizes")
def affine_grid(s: Subgraph, theta: Value, size: Value) -> list[Value] | None:
    """Where affine maps take the places of a regular grid; None if its size is computed."""
    sizes = content_of(size)
    if sizes is None:
        return None
    batch, _, *places = (int(n) for n in sizes)
    aligned = bool(s.integer("align_corners", 0))
    axes = []
    for n in places:
        steps = np.arange(n, dtype=np.float64)
        axes.append(2 * steps / max(n - 1, 1) - 1 if aligned else (2 * steps + 1) / n - 1)
    # Coordinates are in the order of the axes from the last one on, and a one moves them.
    found = [*reversed(np.meshgrid(*axes, indexing="ij")), np.ones(places)]
    regular = s.constant("regular", np.stack(found, axis=-1).reshape(-1, len(found)).astype(numpy_type(theta)))
    moved = s.op("moved", "MatMul", regular, s.transpose("maps", theta, (0, 2, 1)))
    return [s.reshape("grid", moved, (batch, *places, len(places)))]
