"""Samples in the forms in which callers have them: batches from a loader, and tables with named columns.

A table is any object with `columns` and `to_numpy`, such as a DataFrame of pandas or polars; neither is imported.
"""

import inspect
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np

from zkinfer.circuit.qformat import NamedColumns, as_array, as_arrays, is_table
from zkinfer.counts import counted
from zkinfer.errors import InvalidInputError, ShapeError
from zkinfer.typing import Array

MAX_LOADED_BYTES = 1 << 32
"""How much a loader may give, because some never end."""


def is_loader(data: Any) -> TypeGuard[Iterable[Any]]:
    """Whether this gives batches one after another: an iterator, or a loader such as torch's DataLoader."""
    if isinstance(data, (list, tuple, Mapping, str, bytes, range, set)) or is_table(data):
        return False
    return hasattr(data, "__iter__") and not hasattr(data, "__array__") and not hasattr(data, "detach")


def loaded(loader: Iterable[Any], inputs: int | None, shapes: Sequence[Sequence[int | str | None]] = ()) -> Any:
    """All batches of a loader in one: an array, a list of one array an input, or a mapping from names to arrays.

    Args:
        loader: gives arrays, lists or tuples of one array an input, or mappings, samples along each first axis.
        inputs: how many inputs the model takes, where that is known: what follows them in a list, such as labels, is
            left out. Otherwise everything is taken.
        shapes: of the inputs, where they are known: single samples without a first axis are taken too then. Sizes that
            are not numbers are open.

    Raises:
        InvalidInputError: nothing, no arrays of numbers, batches of different forms, or more than `MAX_LOADED_BYTES`.
        ShapeError: batches that do not fit together.
    """
    batches: list[dict[Any, Array]] = []
    size = 0
    for item in loader:
        if isinstance(item, Mapping):
            batch = {name: as_array(array) for name, array in item.items()}
        elif isinstance(item, (list, tuple)):
            batch = {place: _batched(as_array(array), shapes[place:]) for place, array in enumerate(item[:inputs])}
        else:
            batch = {0: _batched(as_array(item), shapes)}
        if batches and batch.keys() != batches[0].keys():
            raise InvalidInputError(f"the batches have different parts: {list(batches[0])}, and then {list(batch)}")
        batches.append(batch)
        size += sum(array.nbytes for array in batch.values())
        if size > MAX_LOADED_BYTES:
            raise InvalidInputError(
                f"the batches hold more than {counted(MAX_LOADED_BYTES, 'byte')}; hand in some of them: a few "
                "hundred samples do"
            )
    if not batches:
        raise InvalidInputError("there are no batches: an iterator gives them once; hand in a new one")
    parts = {name: _joined([batch[name] for batch in batches]) for name in batches[0]}
    if all(isinstance(name, int) for name in parts):
        arrays = list(parts.values())
        return arrays[0] if len(arrays) == 1 else arrays
    return parts


def _batched(array: Array, shapes: Sequence[Sequence[int | str | None]]) -> Array:
    """The array, with a first axis where it is one sample of the first of these shapes."""
    if not shapes or array.ndim != len(shapes[0]) - 1:
        return array
    fits = all(not isinstance(n, int) or n == m for n, m in zip(shapes[0][1:], array.shape, strict=True))
    return array[None] if fits else array


def _joined(batches: Sequence[Array]) -> Array:
    if not batches[0].ndim:
        raise ShapeError("a loader gives batches, samples along their first axis; it gave single numbers")
    try:
        return np.concatenate(batches)
    except ValueError:
        shapes = list(dict.fromkeys(array.shape for array in batches))
        raise ShapeError(f"the batches have different shapes: {shapes[0]} and {shapes[1]}") from None


def named_samples(
    data: Any, inputs: Mapping[str, Sequence[int | str | None]], constants: Collection[str], states: Collection[str]
) -> tuple[dict[str, Array], tuple[str, ...]]:
    """Samples in any form as one array for each input, and the columns if they are those of a table.

    Args:
        data: see `zkinfer.compile`; numbers in the place of arrays are taken as they are.
        inputs: the sizes of each, in the model's order; those that are not numbers are open.
        constants: inputs that need no data, and are left out.
        states: inputs that may be left out.

    Raises:
        InvalidInputError, ShapeError: the data does not have one of these forms.
    """
    named = {name: shape for name, shape in inputs.items() if name not in constants}
    columns: tuple[str, ...] = ()
    if is_loader(data):
        data = loaded(data, len(named), list(named.values()))
    elif is_table(data):
        sizes = {name: [n if isinstance(n, int) else 0 for n in shape] for name, shape in named.items()}
        by_name = arrays_by_name(data, sizes)
        columns = column_names(data) if by_name is None else ()
        data = matrix(data, columns) if by_name is None else by_name
    given = list(named)
    if isinstance(data, Mapping):
        given = [name for name in named if name in data or name not in states]
    elif (len(data) if isinstance(data, (list, tuple)) else 1) != len(named):
        given = [name for name in named if name not in states]
    return dict(zip(given, as_arrays(data, given), strict=True)), columns


def inputs_of_module(module: Any) -> int | None:
    """How many inputs a module's `forward` needs; None if it takes any number."""
    parameters = inspect.signature(module.forward).parameters.values()
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return None
    return sum(p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


def column_names(table: NamedColumns) -> tuple[str, ...]:
    """The names of a table's columns, in its order."""
    return tuple(str(name) for name in table.columns)


def matrix(table: NamedColumns, columns: Sequence[str]) -> Array:
    """The columns of these names, in this order, as an array of shape (rows, columns); others are left out.

    Raises:
        InvalidInputError: a column is missing, or does not hold numbers.
    """
    _require_columns(table, columns)
    return np.column_stack([_column(table, name) for name in columns])


def arrays_by_name(table: NamedColumns, shapes: Mapping[str, Sequence[int]]) -> dict[str, Array] | None:
    """One column for each input of that name; None if some input has no column, or is not a single number a sample."""
    present = set(column_names(table))
    if any(name not in present or any(n != 1 for n in shape[1:]) for name, shape in shapes.items()):
        return None
    return {name: _column(table, name).reshape(-1, *shape[1:]) for name, shape in shapes.items()}


def _column(table: NamedColumns, name: str) -> Array:
    try:
        return as_array(table[name])
    except InvalidInputError as error:
        raise InvalidInputError(f"column {name!r}: {error}") from None


def _require_columns(table: NamedColumns, columns: Sequence[str]) -> None:
    missing = [name for name in columns if name not in set(column_names(table))]
    if missing:
        shown = ", ".join(repr(name) for name in missing[:5])
        raise InvalidInputError(f"the table lacks {len(missing)} of {counted(len(columns), 'column')}: {shown}")
