"""Re-indexing without copies; `circuit/steps` compares execution with evaluation for every step."""

import itertools

import numpy as np
import pytest

from zkinfer.circuit.steps import Embed, Gather, IndexMap, Listed, Permute, Regroup, Strided, evaluate
from zkinfer.execution.views import execute


def test_every_part_of_an_axis_with_every_stride() -> None:
    array = np.arange(14).reshape(2, 7)
    for start, count, stride in itertools.product(range(-1, 8), range(9), range(-4, 5)):
        index_map = Gather({0: Strided(start, (count,), (stride,))})
        if index_map.shape_after((7,)) is not None:
            np.testing.assert_array_equal(execute(index_map, array), evaluate(index_map, array))


@pytest.mark.parametrize(
    ("index_map", "shared"),
    [
        (Regroup((4, 3)), True),
        (Permute((1, 0)), True),
        (Embed((0, 1), (0, 0)), False),
        (Gather({0: Strided(2, (2,), (-1,))}), True),
        (Gather({1: Strided(0, (3, 2), (1, 1))}), True),
        (Gather({0: Strided(1, (5,), (0,)), 1: Strided(3, (2,), (-3,))}), True),
        (Gather({0: Listed((0, 1))}), False),
    ],
)
def test_memory_is_shared_where_strides_allow(index_map: IndexMap, shared: bool) -> None:
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    executed = execute(index_map, array)
    assert np.shares_memory(executed, array) == shared
    np.testing.assert_array_equal(executed, evaluate(index_map, array))


def test_what_is_put_around_keeps_the_order_in_memory() -> None:
    array = np.arange(24).reshape(4, 3, 2).transpose(1, 2, 0)
    padded = execute(Embed((0, 1), (1, 0)), array)
    assert padded.transpose(2, 0, 1).flags.c_contiguous
