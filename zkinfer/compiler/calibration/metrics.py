"""Metrics that compare a model's outputs in fixed point with those in float, and both with labels or targets."""

import math
from typing import Any

import numpy as np

from zkinfer.circuit.qformat import as_array
from zkinfer.errors import InvalidInputError, NotFiniteError, ShapeError
from zkinfer.typing import Array, FloatArray


def cosine_similarity(product: float, square_a: float, square_b: float) -> float:
    """The cosine of the angle between two vectors, from their inner products: 1 if both are zero, 0 if one is."""
    norm = math.sqrt(square_a) * math.sqrt(square_b)
    return product / norm if norm else float(square_a == square_b == 0)


def top_classes(in_float: Array, in_fixed: Array) -> tuple[Array, Array] | None:
    """The classes that float and fixed point give, if the output is that of a classifier.

    Args:
        in_float: values of the output in float, of shape (samples, classes) or (samples, positions, classes) with two
            classes or more; or integers, one for each sample, which are classes themselves.
        in_fixed: in fixed point, of the same shape.

    Returns:
        Two arrays of integers, of shape (samples,) or (samples, positions): the first position of the largest value;
        None for an output of another kind.
    """
    if in_float.dtype.kind in "iu":
        return (in_float.ravel(), in_fixed.ravel()) if in_float.size == len(in_float) else None
    if in_float.ndim in (2, 3) and in_float.shape[-1] > 1:
        return in_float.argmax(axis=-1), in_fixed.argmax(axis=-1)
    return None


def share_equal(a: Array, b: Array) -> float:
    """The share of elements in which two arrays of one shape are equal, 0 to 1."""
    return float(np.mean(a == b))


def checked_labels(labels: Any, shape: tuple[int, ...]) -> Array:
    """Labels as an array of integers.

    Raises:
        InvalidInputError: they are not integers.
        ShapeError: there is not one label for each answer.
    """
    array = as_array(labels)
    if array.dtype.kind == "f":
        raise InvalidInputError(f"labels are whole numbers, the right classes, got dtype {array.dtype}")
    if array.shape != shape:
        raise ShapeError(f"the model gives answers of shape {shape}, and labels have shape {array.shape}; one each")
    return array


def checked_targets(targets: Any, shape: tuple[int, ...]) -> FloatArray:
    """Targets of a regression as float64 of shape (samples, columns).

    Args:
        targets: of an output's shape, or of one that differs from it by axes of size 1.
        shape: the output's, samples first.

    Raises:
        InvalidInputError: they are not real numbers, or all equal in every column, so that R^2 does not exist.
        ShapeError: they have another shape.
        NotFiniteError: NaN or infinity.
    """
    array = as_array(targets).astype(np.float64)
    if [n for n in array.shape if n != 1] != [n for n in shape if n != 1]:
        raise ShapeError(f"the first output has shape {shape}, and targets have shape {array.shape}; they agree")
    if not np.isfinite(array).all():
        raise NotFiniteError("targets hold NaN or infinity; remove or replace them")
    columns = array.reshape(shape[0], -1)
    if (columns == columns[0]).all():
        raise InvalidInputError("the targets of all samples are equal, so that R^2 does not exist; hand in others")
    return columns


def r_squared(targets: FloatArray, outputs: Array) -> float:
    """R^2 of outputs: 1 - sum((y - output)^2) / sum((y - mean(y))^2), where mean(y) is that of each column.

    Args:
        targets: y, shape (samples, columns), not constant in all columns.
        outputs: the same number of elements, in the same order.
    """
    residual = targets - outputs.reshape(targets.shape).astype(np.float64)
    spread = targets - targets.mean(axis=0)
    return 1.0 - float(np.vdot(residual, residual)) / float(np.vdot(spread, spread))
