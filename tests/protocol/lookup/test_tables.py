"""Tables: their rows, and that the short evaluation of structured tables is that of the rows."""

from collections.abc import Callable, Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkinfer.errors import InvalidInputError
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import Ext, index_at, mle, threshold_at
from zkinfer.protocol.lookup.tables import (
    AffinePiece,
    ExplicitTable,
    LookupTable,
    PiecewiseTable,
    RangeTable,
    affine_table,
    step_table,
)

coordinates = st.integers(0, P - 1)
elements = st.tuples(coordinates, coordinates, coordinates)
integers = st.integers(-(2**40), 2**40)


def lifted(values: Iterable[int]) -> list[Ext]:
    return [(v % P, 0, 0) for v in values]


@st.composite
def piecewise_tables(draw: st.DrawFn) -> PiecewiseTable:
    rows = draw(st.integers(1, 40))
    firsts = {0} | draw(st.sets(st.integers(0, rows - 1), max_size=4))
    return PiecewiseTable(
        rows, draw(integers), tuple(AffinePiece(f, draw(integers), draw(integers)) for f in sorted(firsts))
    )


@st.composite
def explicit_tables(draw: st.DrawFn) -> ExplicitTable:
    rows = draw(st.integers(1, 20))
    columns = st.lists(integers, min_size=rows, max_size=rows).map(tuple)
    return ExplicitTable(tuple(draw(st.lists(columns, min_size=1, max_size=3))))


tables = st.one_of(
    st.builds(RangeTable, rows=st.integers(1, 70), start=integers), piecewise_tables(), explicit_tables()
)


@given(table=tables, data=st.data())
def test_evaluation_is_that_of_the_rows(table: LookupTable, data: st.DataObject) -> None:
    point = tuple(data.draw(elements) for _ in range(table.variables))
    columns = table.column_values()
    assert len(columns) == table.columns
    assert all(len(column) == 1 << table.variables for column in columns)
    assert (1 << table.variables) // 2 < table.rows <= 1 << table.variables
    assert table.evaluate(point) == [mle(lifted(column.tolist()), point) for column in columns]


@given(table=tables)
def test_beyond_the_given_rows_the_last_is_repeated(table: LookupTable) -> None:
    """So the set of rows is that of the given ones, whatever their number."""
    for column in table.column_values():
        assert set(column[table.rows - 1 :].tolist()) == {int(column[table.rows - 1])}


@given(table=piecewise_tables())
def test_a_piecewise_table_is_the_function_that_its_pieces_say(table: PiecewiseTable) -> None:
    def output(i: int) -> int:
        piece = [p for p in table.pieces if p.first <= i][-1]
        return (piece.offset + piece.slope * i) % P

    inputs, outputs = rows(table)
    assert inputs[: table.rows] == lift(table.start + i for i in range(table.rows))
    assert outputs[: table.rows] == [output(i) for i in range(table.rows)]


@given(point=st.lists(elements, max_size=5), data=st.data())
def test_thresholds_at_a_point(point: list[Ext], data: st.DataObject) -> None:
    size = 1 << len(point)
    threshold = data.draw(st.integers(0, size))
    indicator = [int(i >= threshold) for i in range(size)]
    weighted = [i * int(i >= threshold) for i in range(size)]
    assert threshold_at(threshold, point) == (mle(lifted(indicator), point), mle(lifted(weighted), point))
    assert index_at(point) == mle(lifted(range(size)), point)


def test_a_range() -> None:
    assert rows(RangeTable(4, -1)) == [[P - 1, 0, 1, 2]]


def test_a_range_whose_size_is_not_a_power_of_two() -> None:
    assert rows(RangeTable(5, -1)) == [[P - 1, 0, 1, 2, 3, 3, 3, 3]]
    assert rows(RangeTable(1, 7)) == [[7]]


def test_a_step() -> None:
    assert rows(step_table(8, -4, 1)) == [lift([-4, -3, -2, -1, 0, 1, 2, 3]), [0, 0, 0, 0, 0, 1, 1, 1]]


def test_an_affine_function() -> None:
    assert rows(affine_table(4, -2, 3, 5)) == [lift([-2, -1, 0, 1]), lift([-1, 2, 5, 8])]
    assert rows(affine_table(3, -2, 3, 5)) == [lift([-2, -1, 0, 0]), lift([-1, 2, 5, 5])]


def test_a_clamped_relu_in_three_pieces() -> None:
    table = PiecewiseTable(8, -4, (AffinePiece(0, 0, 0), AffinePiece(4, -4, 1), AffinePiece(6, 2, 0)))
    assert rows(table)[1] == [0, 0, 0, 0, 0, 1, 2, 2]


def test_an_explicit_table_repeats_its_last_row() -> None:
    table = ExplicitTable(((1, 2, 3), (4, -5, 6)))
    assert rows(table) == [[1, 2, 3, 3], [4, P - 5, 6, 6]]


def test_explicit_tables_are_made_from_arrays_too_and_are_compared_by_their_rows() -> None:
    columns = np.arange(-2, 3), np.array([4, -5, 6, 6, 0], dtype=np.int8)
    table = ExplicitTable(columns)
    same = ExplicitTable([column.tolist() for column in columns])
    assert table == same
    assert hash(table) == hash(same)
    assert table != ExplicitTable(columns[::-1])
    assert table != ExplicitTable([column[:4] for column in columns])
    assert ExplicitTable(([1, 1],)) != ExplicitTable(([1],))


def test_the_rows_of_an_explicit_table_cannot_be_changed() -> None:
    source = np.arange(4)
    table = ExplicitTable((source,))
    source[0] = 9
    assert rows(table) == [[0, 1, 2, 3]]
    assert not table.column_values()[0].flags.writeable


def rows(table: LookupTable) -> list[list[int]]:
    return [column.tolist() for column in table.column_values()]


def lift(values: Iterable[int]) -> list[int]:
    return [v % P for v in values]


def test_descriptions_tell_tables_apart() -> None:
    different: list[LookupTable] = [
        RangeTable(4),
        RangeTable(3),
        RangeTable(4, 1),
        step_table(4, 0, 1),
        step_table(4, 0, 2),
        step_table(3, 0, 2),
        affine_table(4, 0, 1, 0),
        ExplicitTable(((0, 1, 2, 3),)),
        ExplicitTable(((0, 1, 2, 4),)),
        ExplicitTable(((0, 1, 2, 3, 3),)),
        ExplicitTable(((0, 1), (2, 3))),
    ]
    assert len({table.description() for table in different}) == len(different)


@pytest.mark.parametrize(
    "build",
    [
        lambda: RangeTable(0),
        lambda: RangeTable((1 << 24) + 1),
        lambda: PiecewiseTable(0, 0, (AffinePiece(0, 0, 0),)),
        lambda: PiecewiseTable(4, 0, ()),
        lambda: PiecewiseTable(4, 0, (AffinePiece(1, 0, 0),)),
        lambda: PiecewiseTable(4, 0, (AffinePiece(0, 0, 0), AffinePiece(0, 1, 1))),
        lambda: PiecewiseTable(3, 0, (AffinePiece(0, 0, 0), AffinePiece(3, 1, 1))),
        lambda: PiecewiseTable(4, 0, (AffinePiece(0, 0, 0), AffinePiece(3, 1, 1), AffinePiece(2, 1, 1))),
        lambda: ExplicitTable(()),
        lambda: ExplicitTable(((),)),
        lambda: ExplicitTable(((1, 2), (3,))),
        lambda: ExplicitTable((1, 2)),
        lambda: ExplicitTable(((1.0, 2.0),)),
        lambda: ExplicitTable(((1, 1 << 63),)),
        lambda: ExplicitTable((((1, 2), (3, 4)),)),
    ],
)
def test_tables_that_make_no_sense_are_refused(build: Callable[[], LookupTable]) -> None:
    with pytest.raises(InvalidInputError):
        build()
