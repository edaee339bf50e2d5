"""The benchmark of shapes: its arithmetic, and its samples. What it measures takes minutes."""

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from support.benchmarks import loaded


@pytest.fixture(scope="module")
def shapes() -> Iterator[ModuleType]:
    yield from loaded("shapes")


def cost(shapes: ModuleType, **changes: Any) -> Any:
    figures = {"nodes": 3, "elements": 1000, "entries": 2000, "compile": 1.0, "setup": 1.0, "prove": 2.0, "verify": 0.5}
    estimated = {"expected": (3.0, 10**8, 10**6), "estimating": 0.1, "counts": {}}
    return shapes.Cost(**(figures | {"peak": 2 * 10**8, "bytes": 10**6} | estimated | changes))


def test_ratios_are_those_of_an_element(shapes: ModuleType) -> None:
    found = {"even": cost(shapes), "odd": cost(shapes, elements=500, prove=2.0, verify=0.25)}
    assert shapes.ratios(found) == ["odd to even, for each element: prove 2.00, verify 1.00"]
    assert shapes.ratios({"odd": cost(shapes)}) == []


def test_every_pair_is_of_networks_that_are_measured_in_one_run(shapes: ModuleType) -> None:
    assert all(shapes.CASES[a].always == shapes.CASES[b].always for a, b in shapes.PAIRS)


def test_estimates_are_shown_over_what_was_measured(shapes: ModuleType) -> None:
    row = cost(shapes).row("x")
    assert len(row) == len(shapes.HEADER)
    assert row[-3:] == ["1.50", "0.50", "1.00"]


@pytest.mark.parametrize("name", ["even", "MLP 1,000", "GRU, 100 steps", "GPT-2 small, 32 positions"])
def test_more_samples_begin_with_fewer(shapes: ModuleType, name: str) -> None:
    """What is proven is among what calibrates."""
    case = shapes.CASES[name]
    few, many = case.inputs(2), case.inputs(5)
    assert few.shape == (2, *case.sample)
    assert np.array_equal(few, many[:2])
