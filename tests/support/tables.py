"""A table with named columns: what pandas and polars have in common, as far as the package uses it."""

from collections.abc import Mapping

import numpy as np

from zkinfer.typing import Array


class Columns:
    """Columns by name, in order; as a DataFrame, it has no rows by number."""

    def __init__(self, columns: Mapping[str, Array]) -> None:
        self._columns = dict(columns)

    @property
    def columns(self) -> list[str]:
        return list(self._columns)

    def to_numpy(self) -> Array:
        return np.column_stack(list(self._columns.values()))

    def __getitem__(self, name: str) -> Array:
        return self._columns[name]

    def __array__(self, dtype: object = None, copy: object = None) -> Array:
        return self.to_numpy()


def table(array: Array, *names: str) -> Columns:
    """The columns of an array of shape (rows, columns), under these names."""
    return Columns(dict(zip(names, array.T, strict=True)))
