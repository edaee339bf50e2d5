"""Boxes: powers of two, disjoint, together the whole tensor, and the same for everybody."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkinfer.errors import InvalidInputError, ShapeError
from zkinfer.protocol.reduction.boxes import DEFAULT_LIMIT, AlignedPiece, Box, cut, pieces

Shape = tuple[int, ...]

shapes = st.lists(st.integers(1, 9), max_size=4).map(tuple)
limits = st.sampled_from([1, 2, 5, DEFAULT_LIMIT])


def test_eleven_places_are_eight_and_two_and_one() -> None:
    assert pieces(11) == (AlignedPiece(0, 3), AlignedPiece(8, 1), AlignedPiece(10, 0))


@given(st.integers(1, 10**6))
def test_pieces_lie_end_to_end_aligned_the_largest_first(size: int) -> None:
    cuts = pieces(size)
    assert len(cuts) == size.bit_count()
    assert [p.start for p in cuts] == [sum(1 << p.variables for p in cuts[:i]) for i in range(len(cuts))]
    assert sum(1 << p.variables for p in cuts) == size
    assert all(p.start % (1 << p.variables) == 0 for p in cuts)
    assert all(a.variables > b.variables for a, b in pairwise(cuts))


@pytest.mark.parametrize("size", [0, -1])
def test_an_axis_without_places_has_no_pieces(size: int) -> None:
    with pytest.raises(InvalidInputError):
        pieces(size)


@given(shapes, limits)
def test_boxes_hold_each_element_once(shape: Shape, limit: int) -> None:
    cutting = cut(shape, limit)
    numbers = np.arange(math.prod(shape)).reshape(shape)
    taken = [cutting.take(numbers, box) for box in cutting.boxes]
    assert sorted(np.concatenate(taken).tolist()) == list(range(math.prod(shape)))
    assert [t.shape for t in taken] == [(1 << box.total,) for box in cutting.boxes]


@given(shapes, limits)
def test_the_elements_of_a_box_are_in_row_major_order(shape: Shape, limit: int) -> None:
    cutting = cut(shape, limit)
    numbers = np.arange(math.prod(shape)).reshape(shape)
    for box in cutting.boxes:
        assert (np.diff(cutting.take(numbers, box)) > 0).all()


@given(shapes, limits)
def test_what_is_taken_can_be_put_back(shape: Shape, limit: int) -> None:
    cutting = cut(shape, limit)
    array = np.random.default_rng(1).integers(-99, 99, shape)
    copy = np.full(shape, 1000)
    for box in cutting.boxes:
        cutting.put(cutting.take(array, box), box, copy)
    assert copy.tolist() == array.tolist()


def test_a_box_of_whole_rows_is_a_view() -> None:
    array = np.zeros((3, 8), dtype=np.int8)
    cutting = cut((3, 8))
    for box in cutting.boxes:
        taken = cutting.take(array, box)
        assert taken.dtype == np.int8
        assert np.shares_memory(taken, array)


@given(shapes, limits)
def test_boxes_come_in_order_of_size_then_of_place(shape: Shape, limit: int) -> None:
    boxes = cut(shape, limit).boxes
    assert all((-a.total, a.starts) < (-b.total, b.starts) for a, b in pairwise(boxes))


@given(shapes, limits)
def test_groups_cover_all_axes_in_order(shape: Shape, limit: int) -> None:
    cutting = cut(shape, limit)
    assert [axis for group in cutting.groups for axis in range(*group)] == list(range(len(shape)))
    assert math.prod(cutting.sizes) == math.prod(shape)


@given(shapes, limits)
def test_no_more_boxes_than_the_limit_unless_all_axes_but_that_of_runs_are_one_group(shape: Shape, limit: int) -> None:
    cutting = cut(shape, limit)
    assert len(cutting.boxes) <= limit or len(cutting.groups) <= 2
    assert cutting.groups[:1] in ((), ((0, 1),))


@given(shapes, st.integers(1, 31))
def test_a_lower_limit_never_gives_more_boxes(shape: Shape, limit: int) -> None:
    assert len(cut(shape, limit).boxes) <= len(cut(shape, limit + 1).boxes)


@pytest.mark.parametrize(
    ("shape", "limit", "groups"),
    [
        ((), 32, ()),
        ((7, 7, 3), 18, ((0, 1), (1, 2), (2, 3))),
        ((7, 7, 3), 17, ((0, 1), (1, 3))),
        ((7, 7, 7, 64), 9, ((0, 1), (1, 3), (3, 4))),
        ((7, 7, 7, 1, 64), 9, ((0, 1), (1, 3), (3, 4), (4, 5))),
        ((7, 5, 1, 5), 9, ((0, 1), (1, 4))),
        ((7, 7, 3), 6, ((0, 1), (1, 3))),
        ((7,), 2, ((0, 1),)),
        ((1000, 3, 224, 224), 32, ((0, 1), (1, 4))),
    ],
    ids=str,
)
def test_the_rule_for_groups(shape: Shape, limit: int, groups: tuple[tuple[int, int], ...]) -> None:
    """Of two neighbours that lower the number of boxes, the last; never axis 0."""
    assert cut(shape, limit).groups == groups


def test_a_scalar_is_one_box_of_no_variables() -> None:
    assert cut(()).boxes == (Box((), ()),)
    assert cut(()).take(np.array(5), cut(()).boxes[0]).tolist() == [5]


def test_axes_of_size_one_cost_nothing() -> None:
    assert [box.total for box in cut((1, 4, 1, 8, 1)).boxes] == [5]


@pytest.mark.parametrize("shape", [(0,), (3, 0, 2)])
def test_a_tensor_without_elements_is_refused(shape: Shape) -> None:
    with pytest.raises(InvalidInputError):
        cut(shape)


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(InvalidInputError):
        cut((2,), 0)


def test_arrays_of_other_shapes_are_refused() -> None:
    cutting = cut((2, 3))
    large = cutting.boxes[0]
    flat = np.zeros(4)
    with pytest.raises(ShapeError):
        cutting.take(np.zeros((3, 2)), large)
    with pytest.raises(ShapeError):
        cutting.put(flat, large, np.zeros((3, 2)))
    with pytest.raises(ShapeError):
        cutting.put(np.zeros(1), large, np.zeros((2, 3)))
    with pytest.raises(ShapeError, match="row-major"):
        cutting.put(flat, large, np.zeros((3, 2)).T)
