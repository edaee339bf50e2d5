"""Which constants of a model are architecture, and may become public, and which are stored parameters.

A circuit's program is public: its tables, offsets and coefficients. Weights are committed to. A tensor of numbers that
differ is always a weight; a constant that is one number could be either. It is public

* if the model writes it down in its graph: a Constant node, an attribute, and what is computed from these alone;
* if it is a float16, float32 or float64 initializer without axes that holds a number that everybody knows (0, 1, powers
  of two and ten, square roots of integers, numbers as low as a mask), because many exporters write the constants of
  formulas as initializers. In models that zkinfer exports from torch, initializers are parameters and buffers alone,
  and there is no such exception;
* if its owner says so: `zk.compile(..., publish=[...])`.

Every other float initializer, and what is computed from one, is a stored parameter.
"""

import math
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import onnx_ir

from zkinfer.compiler.calibration.float_model import is_float
from zkinfer.errors import InvalidInputError

PARAMETERS = "zkinfer.parameters"
"""The metadata entry of a model that says that its initializers are parameters alone."""

_PUBLIC = "zkinfer.public"
"""The metadata entry of a normalized model that lists the public float constants, one a line."""

_KNOWN = (1.702, 0.044715, math.sqrt(2 / math.pi), math.pi, 2 * math.pi, math.e, math.log(2), math.log(10))
_LARGE = 1e4
_MOST = 1 << 16


class PublicConstant(NamedTuple):
    """A number of a model that its circuits publish, in a table, an offset or a coefficient.

    Attributes:
        name: of the constant in the normalized model.
        value: the number.
        where: the node that reads it.
    """

    name: str
    value: float
    where: str


def written_constants(graph: onnx_ir.Graph) -> set[str]:
    """The names of all values of Constant nodes, also within loops and branches."""
    return {node.outputs[0].name or "" for node in graph.all_nodes() if node.op_type == "Constant"}


def computed_from(graph: onnx_ir.Graph, public: Collection[str]) -> set[str]:
    """The public values, and all that a model computes from public values and whole numbers alone.

    Of the second input of a CastLike nothing is read but its type.
    """
    found = set(public)
    for node in graph.all_nodes():
        given = [value for value in node.inputs[: 1 if node.op_type == "CastLike" else None] if value is not None]
        if node.op_type in ("Shape", "Size") or (
            given and all(value.name in found or _counts(value) for value in given)
        ):
            found.update(value.name or "" for value in node.outputs)
    return found


def _counts(value: onnx_ir.Value) -> bool:
    """Whether a constant holds shapes, axes or positions: the types in which models store no weights."""
    return value.const_value is not None and value.dtype in (
        onnx_ir.DataType.INT64, onnx_ir.DataType.INT32, onnx_ir.DataType.BOOL
    )  # fmt: skip


def require_initializers(graph: onnx_ir.Graph, names: Sequence[str]) -> None:
    """Check the names of constants that their owner publishes.

    Raises:
        InvalidInputError: the model has no initializer of a name.
    """
    for name in names:
        if name not in graph.initializers:
            known = ", ".join(repr(n) for n in list(graph.initializers)[:8]) or "none"
            raise InvalidInputError(f"publish names {name!r}, which is not an initializer of the model; it has {known}")


def is_known(value: onnx_ir.Value) -> bool:
    """Whether a constant is one number without axes that everybody knows; see the module's docstring."""
    tensor = value.const_value
    if tensor is None or tensor.shape.rank() != 0 or not is_float(value):
        return False
    stored = tensor.numpy()
    x = abs(float(stored))
    if x == 0 or x >= _LARGE or x in (float(stored.dtype.type(known)) for known in _KNOWN):
        return True
    mantissa, _ = math.frexp(x)
    power, square = round(math.log10(x)), round(x * x)
    inverse = round(1 / (x * x)) if x * x * _MOST >= 1 else 0
    near = [stored.dtype.type(10.0**power), stored.dtype.type(math.sqrt(square))]
    near += [stored.dtype.type(1 / math.sqrt(inverse))] if inverse else []
    return mantissa == 0.5 or np.isin(np.abs(stored), near).item()


def store(model: onnx_ir.Model, public: Collection[str]) -> None:
    """Note in a normalized model which of its float constants are public."""
    names = [name for name, value in model.graph.initializers.items() if is_float(value) and name in public]
    model.metadata_props[_PUBLIC] = "\n".join(names)


def public_names(model: onnx_ir.Model) -> frozenset[str]:
    """The public float constants of a normalized model."""
    return frozenset(model.metadata_props.get(_PUBLIC, "").split("\n"))


def public_constants(model: onnx_ir.Model) -> Iterator[PublicConstant]:
    """Each constant of a normalized model that may be in the public program, once for each node that reads it.

    Those that are one number, or numbers that are all equal; a tensor of others is a weight.
    """
    public = public_names(model)
    for name, value in model.graph.initializers.items():
        if name not in public or value.const_value is None:
            continue
        numbers = np.unique(value.const_value.numpy().astype(np.float64))
        if len(numbers) == 1:
            for node, _ in value.uses():
                yield PublicConstant(name, float(numbers[0]), f"{node.name} ({node.op_type})")
