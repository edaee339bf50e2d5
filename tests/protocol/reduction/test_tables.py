"""A program's tables as the lookup argument sees them."""

from collections.abc import Iterable
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.channels import prove_on_channel, verify_on_channel
from support.plain_lookup import PlainWitness

from zkinfer.circuit.table import Table
from zkinfer.errors import BoundsError, InvalidProofError
from zkinfer.protocol.field.params import P
from zkinfer.protocol.lookup.params import Block, LookupInstance
from zkinfer.protocol.lookup.protocol import SUM_CHECK, run_lookup
from zkinfer.protocol.lookup.tables import ExplicitTable, PiecewiseTable, RangeTable
from zkinfer.protocol.reduction.tables import MAX_PIECES, lookup_table


def table(lo: int, values: Iterable[int]) -> Table:
    return Table("a table", lo, tuple(values))


def graph(source: Table) -> set[tuple[int, ...]]:
    """The rows that the argument must accept, and no others."""
    return {(i % P, v % P) for i, v in enumerate(source.values, source.lo)}


def rows(source: Table) -> set[tuple[int, ...]]:
    """The rows that the argument accepts; the one column of an identity is read as index and output."""
    built, identity = lookup_table(source)
    columns = [column.tolist() for column in built.column_values()]
    return set(zip(*(columns * 2 if identity else columns), strict=True))


RESCALE = table(-3, range(-3, 4))
RELU = table(-3, [max(i, 0) for i in range(-3, 4)])
STEP = table(-3, [int(i >= 1) for i in range(-3, 3)])
CONSTANT = table(5, [7] * 3)
SQUARE = table(-9, [i * i for i in range(-9, 10)])
ONE_ROW = table(-4, [2])
LOWEST = -(2**45)


@pytest.mark.parametrize(
    ("source", "kind", "identity"),
    [
        (RESCALE, RangeTable, True),
        (table(7, [7]), RangeTable, True),
        (table(0, [1, 2, 3]), PiecewiseTable, False),
        (RELU, PiecewiseTable, False),
        (STEP, PiecewiseTable, False),
        (CONSTANT, PiecewiseTable, False),
        (ONE_ROW, PiecewiseTable, False),
        (SQUARE, ExplicitTable, False),
    ],
)
def test_the_kind_of_table(
    source: Table, kind: type[RangeTable | PiecewiseTable | ExplicitTable], identity: bool
) -> None:
    built, one_column = lookup_table(source)
    assert isinstance(built, kind)
    assert built.rows == len(source.values)
    assert one_column is identity
    assert rows(source) == graph(source)


def test_every_small_table_has_the_rows_of_its_function_and_no_others() -> None:
    for size in range(1, 5):
        for values in product(range(-1, 3), repeat=size):
            for lo in (-2, -1, 0):
                source = table(lo, values)
                assert rows(source) == graph(source)
                assert lookup_table(source)[1] == (values == tuple(range(lo, lo + size)))


@given(lo=st.integers(-(2**40), 2**40), values=st.lists(st.integers(-(P // 2), P // 2), min_size=1, max_size=40))
def test_any_table_has_the_rows_of_its_function_and_no_others(lo: int, values: list[int]) -> None:
    source = table(lo, values)
    assert rows(source) == graph(source)


@given(
    pieces=st.lists(
        st.tuples(st.integers(1, 5), st.integers(-(2**40), 2**40), st.integers(-9, 9)), min_size=1, max_size=12
    )
)
def test_as_many_pieces_as_made_the_table_are_enough(pieces: list[tuple[int, int, int]]) -> None:
    values = [offset + slope * i for length, offset, slope in pieces for i in range(length)]
    built, identity = lookup_table(table(LOWEST, values))
    assert not identity
    if len(pieces) <= MAX_PIECES:
        assert isinstance(built, PiecewiseTable)
        assert len(built.pieces) <= len(pieces)
    assert rows(table(LOWEST, values)) == {(i % P, v % P) for i, v in enumerate(values, LOWEST)}


def test_at_most_eight_pieces() -> None:
    def stairs(count: int) -> Table:
        return table(0, np.repeat(np.arange(count), 3).tolist())

    assert isinstance(lookup_table(stairs(MAX_PIECES))[0], PiecewiseTable)
    assert isinstance(lookup_table(stairs(MAX_PIECES + 1))[0], ExplicitTable)


def test_the_name_of_a_table_says_nothing() -> None:
    assert lookup_table(Table("a", 0, (1, 4, 9))) == lookup_table(Table("b", 0, (1, 4, 9)))


@pytest.mark.parametrize(
    ("lo", "values"),
    [
        (0, (0, P // 2 + 1)),
        (0, (-(P // 2) - 1, 0)),
        (P // 2, (1, 2)),
        (-(P // 2) - 1, (1, 2)),
        (0, (-(2**63), 2**63 - 1)),
    ],
)
def test_integers_that_are_no_elements_of_their_own_are_refused(lo: int, values: tuple[int, int]) -> None:
    """Beyond half of the modulus two integers may be one element; in int64, differences may wrap around."""
    with pytest.raises(BoundsError, match="half"):
        lookup_table(table(lo, values))


def test_the_largest_elements_are_taken() -> None:
    source = table(0, (-(P // 2), P // 2, 0))
    assert rows(source) == graph(source)


def check(source: Table, index: int, output: int, place: int) -> None:
    """A proof by a prover who counts the entry at a place of its choice, and the verifier's answer."""
    built, identity = lookup_table(source)
    entry = [[index % P]] if identity else [[index % P], [output % P]]
    instance = LookupInstance((built,), (Block(0, 0),))
    witness = PlainWitness(instance, [entry], [[int(i == place) for i in range(1 << built.variables)]])
    message, _ = prove_on_channel(lambda channel: run_lookup(instance, channel, witness))
    verify_on_channel(lambda channel: run_lookup(instance, channel), message)


def refused(source: Table, index: int, output: int, place: int) -> None:
    with pytest.raises(InvalidProofError, match=SUM_CHECK):
        check(source, index, output, place)


WITH_OUTPUTS = {"relu": RELU, "step": STEP, "constant": CONSTANT, "one row": ONE_ROW, "explicit": SQUARE}
KINDS = {"identity": RESCALE, **WITH_OUTPUTS}
EVERY_KIND = pytest.mark.parametrize("source", KINDS.values(), ids=KINDS.keys())


@EVERY_KIND
def test_every_index_of_the_table_is_accepted_with_its_output(source: Table) -> None:
    for place, output in enumerate(source.values):
        check(source, source.lo + place, output, place)


@EVERY_KIND
def test_an_index_outside_the_table_is_refused(source: Table) -> None:
    """Before the first and after the last, up to the power of two and beyond, whatever its output and place."""
    stored = 1 << lookup_table(source)[0].variables
    places = {0, len(source.values) - 1, stored - 1}
    outside = [source.lo - 2, source.lo - 1, *range(source.hi + 1, source.lo + stored + 2)]
    for index, place in product(outside, places):
        for output in {index, 0, source.values[0], source.values[-1]}:
            refused(source, index, output, place)


@pytest.mark.parametrize("source", WITH_OUTPUTS.values(), ids=WITH_OUTPUTS.keys())
def test_an_output_that_is_not_the_tables_is_refused(source: Table) -> None:
    for i, output in enumerate(source.values):
        refused(source, source.lo + i, output + 1, i)
