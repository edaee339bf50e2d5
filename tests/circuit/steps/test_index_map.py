"""Index maps on their own: whether they fit, and where they lead; the steps' tests compare them with definitions."""

import numpy as np
import pytest

from zkinfer.circuit.steps import Embed, Gather, Listed, Permute, Regroup, Shape, Strided, evaluate


@pytest.mark.parametrize(
    ("along", "size", "fits"),
    [
        (Strided(0, (5,), (1,)), 5, True),
        (Strided(0, (5,), (1,)), 4, False),
        (Strided(4, (5,), (-1,)), 5, True),
        (Strided(3, (5,), (-1,)), 5, False),
        (Strided(0, (3, 2), (2, 1)), 6, True),
        (Strided(0, (3, 2), (2, 1)), 5, False),
        (Strided(2, (3, 2), (-1, 2)), 5, True),
        (Strided(9, (0,), (1,)), 1, True),
        (Strided(0, (-1,), (1,)), 5, False),
        (Strided(0, (2, 2), (1,)), 5, False),
        (Strided(0, (), ()), 5, False),
        (Listed((0, 4)), 5, True),
        (Listed((0, 5)), 5, False),
        (Listed((-1, 4)), 5, False),
        (Listed(()), 0, True),
    ],
)
def test_places_must_be_within_the_axis(along: Strided | Listed, size: int, fits: bool) -> None:
    assert along.fits(size) == fits
    assert (Gather({0: along}).shape_after((size,)) is not None) == fits


def test_places_go_through_the_new_axes() -> None:
    assert Strided(5, (2, 3), (-3, 1)).places().tolist() == [[5, 6, 7], [2, 3, 4]]
    assert Listed((4, 0)).places().tolist() == [4, 0]


def test_start_and_strides_without_effect_may_be_anything() -> None:
    assert Strided(3, (1, 2), (2**70, 1)).places().tolist() == [[3, 4]]
    assert Strided(2**70, (0, 2), (2**70, 1)).places().shape == (0, 2)


def test_several_axes_are_replaced_each_in_its_position() -> None:
    array = np.arange(24).reshape(1, 4, 2, 3)
    index_map = Gather({0: Strided(0, (3, 2), (1, 1)), 2: Listed((2, 2, 0, 1))})
    assert index_map.shape_after((4, 2, 3)) == (3, 2, 2, 4)
    expected = [[[[array[0, i + j, k, c] for c in (2, 2, 0, 1)] for k in range(2)] for j in range(2)] for i in range(3)]
    assert evaluate(index_map, array)[0].tolist() == expected


@pytest.mark.parametrize(
    ("index_map", "shape"),
    [
        (Regroup((4,)), (2, 3)),
        (Permute((1, 2)), (2, 3)),
        (Embed((1,), (0,)), (2, 3)),
        (Gather({2: Listed((0,))}), (2, 3)),
        (Gather({-1: Listed((0,))}), (2, 3)),
    ],
)
def test_misfits(index_map: Regroup | Permute | Embed | Gather, shape: Shape) -> None:
    assert index_map.shape_after(shape) is None
