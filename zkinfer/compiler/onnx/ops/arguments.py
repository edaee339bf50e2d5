"""Constant inputs and attributes of operators: axes, shapes and other integers."""

from zkinfer.compiler.lowering.activation import Constant
from zkinfer.errors import UnsupportedOperatorError


def integers(constant: Constant | None) -> tuple[int, ...] | None:
    """The integers of a constant input; None if it is absent."""
    return None if constant is None else constant.integers


def axis_of(axis: int, rank: int) -> int:
    """An axis counted from the front.

    Raises:
        UnsupportedOperatorError: there is no such axis.
    """
    if not -rank <= axis < rank:
        raise UnsupportedOperatorError(f"axis {axis} does not exist in a tensor with {rank} axes")
    return axis % rank
