"""Resize: an interpolation along one axis after the other, each by a constant matrix.

The columns of the matrix are onnxruntime's results for unit vectors. If each of its rows chooses one element, the
interpolation is a View.
"""

import string
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

from zkinfer.circuit.steps import Take
from zkinfer.compiler.lowering import arithmetic
from zkinfer.compiler.lowering.activation import Activation, Constant
from zkinfer.compiler.lowering.emitter import Emitter
from zkinfer.compiler.lowering.precision import weight_frac_bits
from zkinfer.compiler.onnx.ops.arguments import axis_of
from zkinfer.compiler.onnx.registry import add_hint, operator
from zkinfer.counts import counted
from zkinfer.errors import UnsupportedOperatorError
from zkinfer.typing import FloatArray

add_hint("Upsample", "use Resize")

_OPSET, _IR_VERSION = 19, 10

_ELEMENTS = 1 << 22
"""How many elements are interpolated at a time."""

_SLACK = 1e-3
"""How far a scaled size may lie above a whole number and count as one: scales are float32."""


@operator(13, 18, 19)
def Resize(
    g: Emitter,
    X: Activation,
    roi: Constant | None = None,
    scales: Constant | None = None,
    sizes: Constant | None = None,
    *,
    antialias: int = 0,
    axes: Sequence[int] | None = None,
    coordinate_transformation_mode: str = "half_pixel",
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch",
    mode: str = "nearest",
    nearest_mode: str = "round_prefer_floor",
) -> Activation:
    along = [axis_of(axis, len(X.shape)) for axis in axes] if axes is not None else list(range(len(X.shape)))
    attributes = {
        "antialias": antialias,
        "coordinate_transformation_mode": coordinate_transformation_mode,
        "cubic_coeff_a": cubic_coeff_a,
        "exclude_outside": exclude_outside,
        "keep_aspect_ratio_policy": keep_aspect_ratio_policy,
        "mode": mode,
        "nearest_mode": nearest_mode,
    }
    y = X
    for i, axis in enumerate(along):
        n, given = X.shape[axis], AxisScale()
        if sizes is not None and sizes.array.size:
            pairs = sorted(zip((X.shape[a] for a in along), sizes.integers, strict=True), key=lambda p: p[1] / p[0])
            decisive = {"not_larger": pairs[0], "not_smaller": pairs[-1]}
            given = AxisScale(size=sizes.integers[i], beside=decisive.get(keep_aspect_ratio_policy, (1, 1)))
        elif scales is not None:
            scale = float(scales.reals.ravel()[i])
            given = AxisScale(scale=scale)
            if coordinate_transformation_mode == "align_corners" and scale * n % 1 > _SLACK:
                raise UnsupportedOperatorError(
                    f"align_corners with a scale of {scale:g} for {counted(n, 'element')} leaves open where the last "
                    "one lies; state sizes in place of scales"
                )
        if coordinate_transformation_mode == "tf_crop_and_resize" and roi is not None:
            starts, ends = np.split(roi.reals.ravel(), 2)
            given = given._replace(start=float(starts[i]), end=float(ends[i]))
        y = _interpolated(g, y, axis, interpolation(n, attributes, given))
        if extrapolation_value and coordinate_transformation_mode == "tf_crop_and_resize":
            # Elements outside the input are zero so far.
            outside = interpolation(n, attributes | {"extrapolation_value": 1.0}, given, np.zeros((1, n)))
            shape = [-1 if j == axis else 1 for j in range(len(y.shape))]
            filled = Constant(f"{g.label}/outside{axis}", extrapolation_value * outside.reshape(shape))
            y = arithmetic.require_activation(arithmetic.add(g, y, filled))
    return y


class AxisScale(NamedTuple):
    """How a Resize scales one axis.

    Attributes:
        scale, size: the factor, or the size afterwards.
        beside: the size before and after of the axis whose factor scales all axes, where the aspect ratio is kept.
        start, end: the part of the axis that is resized, from 0 to 1.
    """

    scale: float | None = None
    size: int | None = None
    beside: tuple[int, int] = (1, 1)
    start: float = 0.0
    end: float = 1.0


def interpolation(
    n: int, attributes: Mapping[str, object], given: AxisScale, rows: FloatArray | None = None
) -> FloatArray:
    """The result of a Resize of rows along one axis, as columns: (size after, rows).

    Args:
        n: size before.
        attributes: of the operator.
        given: how the axis is scaled.
        rows: (rows, n); by default the unit vectors, for which the result is the matrix of the Resize.
    """
    rows = np.eye(n) if rows is None else rows
    before, after = given.beside if given.size is not None else (1, 1)
    feeds = {"roi": np.array([0, given.start, 1, given.end], np.float32)}
    if given.size is not None:
        feeds["sizes"] = np.array([after, given.size])
    else:
        feeds["scales"] = np.array([1, given.scale], np.float32)
    names = ["x", *(name if name in feeds else "" for name in ("roi", "scales", "sizes"))]
    node = helper.make_node("Resize", names, ["y"], axes=[2, 3], **attributes)
    graph = helper.make_graph(
        [node],
        "resize",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, None),
            *(
                helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(v.dtype), None)
                for k, v in feeds.items()
            ),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    # Images of equal rows, a few at a time.
    images = np.broadcast_to(rows.astype(np.float32)[:, None, None, :], (len(rows), 1, before, n))
    parts = np.array_split(images, -(-images.size // _ELEMENTS))
    resized = np.concatenate([session.run(None, feeds | {"x": part})[0][:, 0, 0] for part in parts])
    return resized.astype(np.float64).T


def _interpolated(g: Emitter, x: Activation, axis: int, matrix: FloatArray) -> Activation:
    if np.array_equal(matrix, np.eye(x.shape[axis])):
        return x
    if ((matrix == 0) | (matrix == 1)).all() and (matrix.sum(axis=1) == 1).all():
        return g.reindex(x, Take(axis, tuple(int(i) for i in matrix.argmax(axis=1))))
    letters = string.ascii_lowercase[: len(x.shape)]
    subscripts = f"{letters},z{letters[axis]}->{letters.replace(letters[axis], 'z')}"
    return weighted(g, subscripts, x, f"{g.label}/interpolation{axis}", matrix)


def weighted(g: Emitter, subscripts: str, x: Activation, name: str, weights: FloatArray) -> Activation:
    """Sums of elements with weights that are public numbers of the operator's formula."""
    bits = weight_frac_bits(float(np.abs(weights).max()), g.precision.weight_bits)
    # Multiples of a quarter, for example, need only two fraction bits.
    exact = (f for f in range(bits) if (np.ldexp(weights, f) == np.rint(np.ldexp(weights, f))).all())
    weight = g.weight_at(Constant(name, weights), weights, next(exact, bits))
    # The next axis or a lookup follows: a wide value needs no narrow form as long as both can take it.
    width = max(g.operand_bits, g.accumulator_bits - g.precision.weight_bits)
    return g.einsum(subscripts, x, weight, width=width)
