"""Boxes: powers of two, disjoint, together the whole tensor, or a little more, and the same for everybody."""

import itertools
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.both_verifiers import cheap_boxes
from support.random_contractions import random_ext

from zkinfer.errors import InvalidInputError, ShapeError
from zkinfer.protocol.field.scalar import ZERO, eq_table, ext_add
from zkinfer.protocol.reduction.boxes import BOX_PLACES, BOX_SHARE, AlignedPiece, Box, Cut, cover, pieces

Shape = tuple[int, ...]

shapes = st.lists(st.integers(1, 9), max_size=4).map(tuple)
long_shapes = st.lists(st.integers(1, 100), min_size=1, max_size=4).map(tuple)
prices = st.sampled_from([0, 1, 10, BOX_PLACES])


def covered(shape: Shape, price: int) -> Cut:
    """The cover of a tensor if a box costs so many places."""
    with cheap_boxes(price):
        return cover(shape)


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


@given(shapes, prices)
def test_the_elements_of_a_box_are_in_row_major_order(shape: Shape, price: int) -> None:
    cutting = covered(shape, price)
    numbers = np.arange(math.prod(shape)).reshape(shape)
    for box in cutting.boxes:
        taken = cutting.take(numbers, box, -1)
        assert (np.diff(taken[taken >= 0]) > 0).all()


def test_a_box_of_whole_rows_is_a_view() -> None:
    array = np.zeros((3, 8), dtype=np.int8)
    cutting = covered((3, 8), 0)
    for box in cutting.boxes:
        taken = cutting.take(array, box)
        assert taken.dtype == np.int8
        assert np.shares_memory(taken, array)


@given(shapes, prices)
def test_boxes_come_in_order_of_size_then_of_place(shape: Shape, price: int) -> None:
    boxes = covered(shape, price).boxes
    assert all((-a.total, a.starts) < (-b.total, b.starts) for a, b in pairwise(boxes))


@given(shapes, prices)
def test_each_piece_begins_in_the_tensor(shape: Shape, price: int) -> None:
    cutting = covered(shape, price)
    behind = 0
    for box in cutting.boxes:
        inside = cutting.inside(box)
        assert all(1 <= n <= 1 << k for n, k in zip(inside, box.variables, strict=True))
        behind += (1 << box.total) - math.prod(inside)
    assert cutting.lengthened == (behind > 0)


def test_a_scalar_is_one_box_of_no_variables() -> None:
    assert cover(()).boxes == (Box((), ()),)
    assert cover(()).take(np.array(5), cover(()).boxes[0]).tolist() == [5]


def test_axes_of_size_one_cost_nothing() -> None:
    assert [box.total for box in cover((1, 4, 1, 8, 1)).boxes] == [5]


def test_arrays_of_other_shapes_are_refused() -> None:
    cutting = covered((2, 3), 0)
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


@given(shapes, prices)
def test_covering_boxes_hold_each_element_once_and_padding_behind(shape: Shape, price: int) -> None:
    cutting = covered(shape, price)
    numbers = 1 + np.arange(math.prod(shape)).reshape(shape)
    taken = [cutting.take(numbers, box, -7) for box in cutting.boxes]
    assert [t.shape for t in taken] == [(1 << box.total,) for box in cutting.boxes]
    assert sorted(x for t in taken for x in t.tolist() if x != -7) == list(range(1, 1 + math.prod(shape)))
    assert all((t != -7).any() for t in taken), "no box is behind the tensor as a whole"
    copy = np.zeros(shape, dtype=np.int64)
    for box, elements in zip(cutting.boxes, taken, strict=True):
        cutting.put(elements, box, copy)
    assert np.array_equal(copy, numbers)


@given(shapes, prices, st.integers(0, 2**32 - 1))
def test_the_weight_of_the_places_behind_a_tensor(shape: Shape, price: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    cutting = covered(shape, price)
    for box in cutting.boxes:
        point = tuple(random_ext(rng) for _ in range(box.total))
        expected = ZERO
        for inside, weight in zip(cutting.take(np.ones(shape), box), eq_table(point), strict=True):
            expected = expected if inside else ext_add(expected, weight)
        assert cutting.padding_at(box, point) == expected


@given(long_shapes, prices)
def test_a_cover_is_the_cheapest(shape: Shape, price: int) -> None:
    """Of all that lengthen axes to multiples of powers of two; of equally cheap ones that with the fewest boxes."""
    cost = max(price, math.prod(shape) // BOX_SHARE)
    ways = itertools.product(*({-(-n // (1 << k)) << k for k in range((n - 1).bit_length() + 1)} for n in shape))
    costs = []
    for sizes in ways:
        boxes = math.prod(size.bit_count() for size in sizes)
        costs.append((math.prod(sizes) + cost * boxes, boxes, sizes))
    _, boxes, sizes = min(costs)
    cutting = covered(shape, price)
    assert len(cutting.boxes) == boxes
    ends = [max(box.starts[i] + (1 << box.variables[i]) for box in cutting.boxes) for i in range(len(shape))]
    assert tuple(ends) == sizes


@given(long_shapes)
def test_a_cover_has_few_boxes_and_few_places(shape: Shape) -> None:
    cutting = cover(shape)
    elements = math.prod(shape)
    places = sum(1 << box.total for box in cutting.boxes)
    exact = math.prod(n.bit_count() for n in shape)
    price = max(BOX_PLACES, elements // BOX_SHARE)
    assert places + price * len(cutting.boxes) <= elements + exact * price


@pytest.mark.parametrize(
    ("shape", "boxes", "places"),
    [
        ((1, 16, 64, 64), 1, 1 << 16),
        ((1, 10), 1, 16),
        ((1, 10, 62, 62), 2, 10 << 12),
        ((1, 16, 29, 29), 1, 16 << 10),
        ((1, 64, 56, 56), 3, 64 * 56 * 64),
        ((32, 768), 2, 32 * 768),
        ((1024, 768), 2, 1024 * 768),
        ((1024, 1000), 1, 1 << 20),
        ((4000, 4000), 1, 1 << 24),
        ((1, (1 << 17) + 1), 2, (1 << 17) + 1),
        ((3, 3, 3, 3, 3), 1, 1024),
        ((), 1, 1),
    ],
    ids=str,
)
def test_covers_of_common_shapes(shape: Shape, boxes: int, places: int) -> None:
    cutting = cover(shape)
    assert (len(cutting.boxes), sum(1 << box.total for box in cutting.boxes)) == (boxes, places)


@pytest.mark.parametrize("shape", [(0,), (3, 0, 2)])
def test_a_tensor_without_elements_has_no_cover(shape: Shape) -> None:
    with pytest.raises(InvalidInputError):
        cover(shape)


def test_covering_many_axes_takes_no_time() -> None:
    """A program says what shapes there are: the ways to cover one are not tried one by one."""
    assert len(cover((7,) * 20).boxes) >= 1
