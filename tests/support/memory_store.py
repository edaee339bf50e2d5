"""A folder in a store that is the memory of this process."""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager

import fsspec

_numbers = itertools.count()


@contextmanager
def memory_folder() -> Iterator[str]:
    """The URL of a folder of its own, which is removed at the end."""
    name = f"/tests-of-stores-{os.getpid()}-{next(_numbers)}"
    yield f"memory:/{name}"
    store = fsspec.filesystem("memory")
    if store.exists(name):
        store.rm(name, recursive=True)


def names_in(folder: str) -> list[str]:
    """The names of all files in a folder of a store."""
    store, path = fsspec.core.url_to_fs(folder)
    return sorted(name.rpartition("/")[2] for name in store.find(path))
