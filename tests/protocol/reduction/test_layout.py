"""Where the elements of committed tensors lie, each once and aligned."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkinfer.circuit.program import Program, Tensor
from zkinfer.protocol.reduction.boxes import cover
from zkinfer.protocol.reduction.layout import Layout, block_of, weight_layout, weight_matrix, weight_rows

shapes = st.lists(st.lists(st.integers(1, 7), max_size=3).map(tuple), min_size=1, max_size=4)
log_columns = st.integers(0, 5)


def layout_of(tensors: list[tuple[int, ...]]) -> Layout:
    return Layout(tuple(cover(shape) for shape in tensors))


def places(layout: Layout) -> list[tuple[int, int]]:
    """The half-open range of cells of every box, in order."""
    return sorted(
        (offset, offset + (1 << box.total))
        for part, offsets in zip(layout.cuts, layout.offsets, strict=True)
        for box, offset in zip(part.boxes, offsets, strict=True)
    )


@given(shapes)
def test_boxes_follow_each_other_without_gaps_the_largest_first(tensors: list[tuple[int, ...]]) -> None:
    layout = layout_of(tensors)
    found = places(layout)
    assert [start for start, _ in found] == [0, *(end for _, end in found[:-1])]
    assert found[-1][1] == layout.cells
    assert layout.cells == sum(1 << box.total for part in layout.cuts for box in part.boxes)
    sizes = [end - start for start, end in found]
    assert sizes == sorted(sizes, reverse=True)
    assert all(start % (end - start) == 0 for start, end in found)


@given(shapes, log_columns)
def test_a_box_of_a_row_begins_at_a_row_and_the_others_come_behind(tensors: list[tuple[int, ...]], log: int) -> None:
    layout, columns = layout_of(tensors), 1 << log
    assert (layout.rows(log) - 1) * columns < layout.cells <= layout.rows(log) * columns
    for start, end in places(layout):
        if end - start >= columns:
            assert start % columns == 0
            assert end <= layout.tail(log)
        else:
            assert start >= layout.tail(log)
    assert layout.tail(log) % columns == 0


@given(shapes, log_columns)
def test_every_box_has_a_block_of_whole_rows_and_units_do_not_overlap(tensors: list[tuple[int, ...]], log: int) -> None:
    layout = layout_of(tensors)
    units = set()
    for part, offsets in zip(layout.cuts, layout.offsets, strict=True):
        for box, offset in zip(part.boxes, offsets, strict=True):
            unit = block_of(layout, box, offset, log)
            units.add(unit)
            end = offset + (1 << box.total)
            assert unit.cells.start <= offset < end <= unit.cells.stop
            assert (offset - unit.start) % (1 << box.total) == 0
    covered = sorted((unit.cells.start, unit.cells.stop) for unit in units)
    assert all(start % (1 << log) == 0 for start, _ in covered)
    assert all(end <= start for (_, end), (start, _) in pairwise(covered))
    assert covered[-1][1] <= layout.rows(log) << log


@given(shapes, st.integers(0, 2**32 - 1))
def test_filling_writes_every_element_once(tensors: list[tuple[int, ...]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    layout = layout_of(tensors)
    arrays = [rng.permutation(1000)[: int(np.prod(shape))].reshape(shape) for shape in tensors]
    stack = np.full(layout.cells + 3, -1, dtype=np.int64)
    layout.fill(arrays, stack)
    assert stack[layout.cells :].tolist() == [-1] * 3
    for part, offsets, array in zip(layout.cuts, layout.offsets, arrays, strict=True):
        back = np.zeros_like(array)
        for box, offset in zip(part.boxes, offsets, strict=True):
            part.put(stack[offset : offset + (1 << box.total)], box, back)
        assert np.array_equal(back, array)


def test_tensors_must_be_as_many_as_the_layout_has() -> None:
    layout = layout_of([(2,), (3,)])
    with pytest.raises(ValueError, match="shorter"):
        layout.fill([np.zeros(2)], np.zeros(6))


def test_an_empty_layout_has_no_rows() -> None:
    layout = Layout(())
    assert (layout.cells, layout.rows(3), layout.tail(3)) == (0, 0, 0)


def program(*tensors: tuple[int, ...]) -> Program:
    weights = tuple(Tensor(f"w{i}", shape, 0, -(1 << 40), 1 << 40) for i, shape in enumerate(tensors))
    return Program(1, (), weights, (), (), ())


@pytest.mark.parametrize(
    ("largest", "dtype"),
    [
        (127, np.int8),
        (-127, np.int8),
        (-128, np.int16),
        (128, np.int16),
        (32767, np.int16),
        (-32768, np.int64),
        (32768, np.int64),
        (1 << 40, np.int64),
    ],
)
def test_the_matrix_of_weights_has_the_least_type_that_holds_them(largest: int, dtype: type) -> None:
    weights = [np.array([1, 2, largest]), np.array([[3], [-4]])]
    matrix = weight_matrix(program((3,), (2, 1)), weights, 2)
    assert matrix.dtype == dtype
    assert matrix.shape == (weight_rows(program((3,), (2, 1)), 2), 4) == (2, 4)
    assert sorted(matrix.ravel().tolist()) == sorted([1, 2, largest, 3, -4, 0, 0, 0])


def test_weights_of_zero_are_still_a_matrix() -> None:
    assert weight_matrix(program((3,)), [np.zeros(3, dtype=np.int64)], 0).tolist() == [[0]] * 4
    assert weight_layout(program((3,), ())).cells == 5


@given(shapes, st.integers(-3, 3))
def test_behind_tensors_stands_what_is_asked_for(tensors: list[tuple[int, ...]], padding: int) -> None:
    layout = layout_of(tensors)
    stack = np.full(layout.cells, 99)
    layout.fill([np.full(shape, 7) for shape in tensors], stack, padding)
    elements = sum(int(np.prod(shape)) for shape in tensors)
    assert sorted(stack.tolist()) == sorted([7] * elements + [padding] * (layout.cells - elements))
    layout.fill([np.full(shape, 7) for shape in tensors], stack)
    assert stack.tolist() == [7] * layout.cells


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
def test_the_matrix_does_not_depend_on_how_weights_are_held(dtype: type) -> None:
    """The least integer of a type has no magnitude in it."""
    least = int(np.iinfo(dtype).min)
    for values in ([least, 0, 1], [least + 1, 5, 127]):
        wide = weight_matrix(program((3,)), [np.array(values)], 1)
        narrow = weight_matrix(program((3,)), [np.array(values, dtype=dtype)], 1)
        assert narrow.dtype == wide.dtype
        np.testing.assert_array_equal(narrow, wide)
