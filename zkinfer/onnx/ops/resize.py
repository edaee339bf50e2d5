"""Resize: an interpolation along one axis after the other, each a constant matrix.

The matrix is what onnxruntime makes of unit vectors. Where each of its rows chooses one element, it is a View.
"""

import string
from collections.abc import Sequence

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

from zkinfer.circuit.steps import Take
from zkinfer.errors import UnsupportedOperatorError
from zkinfer.onnx.ops.arguments import axis_of
from zkinfer.onnx.registry import operator
from zkinfer.quantize.lazy import Activation, Constant, Emitter, FloatArray
from zkinfer.quantize.precision import weight_frac_bits

_OPSET, _IR_VERSION = 19, 10

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
    if coordinate_transformation_mode == "tf_crop_and_resize" or keep_aspect_ratio_policy != "stretch":
        raise UnsupportedOperatorError(
            "tf_crop_and_resize and policies that keep the aspect ratio are not supported; use Slice, and state sizes"
        )
    along = [axis_of(axis, len(X.shape)) for axis in axes] if axes is not None else list(range(len(X.shape)))
    attributes = {
        "antialias": antialias,
        "coordinate_transformation_mode": coordinate_transformation_mode,
        "cubic_coeff_a": cubic_coeff_a,
        "exclude_outside": exclude_outside,
        "mode": mode,
        "nearest_mode": nearest_mode,
    }
    y = X
    for i, axis in enumerate(along):
        given: dict[str, float] = {}
        if sizes is not None and sizes.array.size:
            given["sizes"] = sizes.integers[i]
        elif scales is not None:
            given["scales"] = scale = float(scales.reals.ravel()[i])
            if coordinate_transformation_mode == "align_corners" and scale * X.shape[axis] % 1 > _SLACK:
                raise UnsupportedOperatorError(
                    f"align_corners with a scale of {scale:g} for {X.shape[axis]} elements leaves open where the last "
                    "one lies; state sizes in place of scales"
                )
        y = _interpolated(g, y, axis, interpolation(X.shape[axis], attributes, **given))
    return y


def interpolation(n: int, attributes: dict[str, object], **given: object) -> FloatArray:
    """The matrix, (size after, n), of a Resize along one axis.

    Args:
        n: size before.
        attributes: of the operator.
        given: the entry of its input `scales` or `sizes`.
    """
    names = ["x", "", *(name if name in given else "" for name in ("scales", "sizes"))]
    types = {"x": TensorProto.FLOAT, "scales": TensorProto.FLOAT, "sizes": TensorProto.INT64}
    node = helper.make_node("Resize", names, ["y"], **attributes)
    graph = helper.make_graph(
        [node],
        "resize",
        [helper.make_tensor_value_info(name, types[name], None) for name in names if name],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    # Images of one row, as many as it has elements.
    leading = {"scales": [1, 1, 1], "sizes": [n, 1, 1]}
    feeds = {
        name: np.array([*leading[name], value], dtype=helper.tensor_dtype_to_np_dtype(types[name]))
        for name, value in given.items()
    }
    feeds["x"] = np.eye(n, dtype=np.float32).reshape(n, 1, 1, n)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    rows: FloatArray = session.run(None, feeds)[0].reshape(n, -1).astype(np.float64)
    return rows.T


def _interpolated(g: Emitter, x: Activation, axis: int, matrix: FloatArray) -> Activation:
    if np.array_equal(matrix, np.eye(x.shape[axis])):
        return x
    if ((matrix == 0) | (matrix == 1)).all() and (matrix.sum(axis=1) == 1).all():
        return g.reindex(x, Take(axis, tuple(int(i) for i in matrix.argmax(axis=1))))
    letters = string.ascii_lowercase[: len(x.shape)]
    matrix_bits = weight_frac_bits(float(np.abs(matrix).max()), g.precision.weight_bits)
    # Quarters and the like need no more digits than they have.
    exact = (f for f in range(matrix_bits) if (np.ldexp(matrix, f) == np.rint(np.ldexp(matrix, f))).all())
    weight = g.weight_at(Constant(f"{g.label}/interpolation{axis}", matrix), matrix, next(exact, matrix_bits))
    # The next axis follows, or a lookup: a wide value may stay wide as long as either can take it.
    width = max(g.operand_bits, g.accumulator_bits - g.precision.weight_bits)
    return g.einsum(f"{letters},z{letters[axis]}->{letters.replace(letters[axis], 'z')}", x, weight, width=width)
