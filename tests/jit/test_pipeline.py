"""What kernels and their parts are compiled to."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

import zkinfer.protocol
from zkinfer.jit.compiling import device, kernel, routine
from zkinfer.jit.pipeline import PartLibrary


@device
def both(x: Any, y: Any) -> Any:
    return x + y, x - y


@device
def product(x: Any, y: Any) -> Any:
    total, difference = both(x, y)
    return total * difference


@routine
def add_products(values: Any, start: Any, out: Any) -> None:
    for i in range(start, len(values)):
        out[i] += product(values[i], 1.0)


@kernel
def twice(values: Any, out: Any) -> None:
    add_products(values, 0, out)
    add_products(values, 2, out)


@kernel
def sum_of_products(values: Any, limit: int) -> float:
    """With a part within a part, a branch, and a call of another kernel."""
    out = np.zeros(values.size)
    twice(values, out)
    total = 0.0
    for i in range(values.size):
        if i < limit:
            total += out[i] + product(values[i], 0.0)
    return total


def has_entries(function: Any) -> list[bool]:
    """For each version of a function, whether there is machine code of it that Python may call."""
    versions = function.overloads.values()
    assert {isinstance(version.library, PartLibrary) for version in versions} == {function is not twice}
    return [callable(version.entry_point) for version in versions]


def test_kernels_are_made_of_parts_and_parts_alone_are_no_machine_code() -> None:
    values = np.arange(5.0)
    products = values**2 - 1
    out = np.zeros(5)
    twice(values, out)
    assert np.array_equal(out, products * [1, 1, 2, 2, 2])
    assert sum_of_products(values, 4) == (out + values**2)[:4].sum()
    kernels: list[Any] = [twice, sum_of_products]
    for it in kernels:
        it.recompile()  # they may have been kept on disk, and their parts not be compiled in this process
    assert has_entries(product) == [False]
    assert has_entries(both) == [False]
    assert has_entries(add_products) == [False]
    assert has_entries(twice) == [True]


def test_a_routine_is_a_part_of_kernels_too() -> None:
    with pytest.raises(TypeError, match="add_products is a part of kernels"):
        add_products(np.zeros(1), 0, np.zeros(1))


def numpy_memory_in_kernels() -> Iterator[str]:
    """Where a kernel of the protocol calls numpy for memory."""
    for path in Path(next(iter(zkinfer.protocol.__path__))).rglob("*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            if not isinstance(function, ast.FunctionDef):
                continue
            if "kernel" in (getattr(decorator, "id", None) for decorator in function.decorator_list):
                names = {ast.unparse(it.func) for it in ast.walk(function) if isinstance(it, ast.Call)}
                yield from (f"{path.name}: {function.name}" for name in names & {"np.empty", "np.zeros", "np.ones"})


def test_numpy_is_not_compiled_once_for_each_constant_count_of_memory() -> None:
    assert list(numpy_memory_in_kernels()) == []
