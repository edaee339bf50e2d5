"""Bounds of products with lookups of what is multiplied, by brute force; and no bound where the rule does not hold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkinfer.circuit.bounds import check_bounds
from zkinfer.circuit.derived_bounds import derived_bounds
from zkinfer.circuit.evaluate import evaluate
from zkinfer.circuit.program import Einsum, Lookup, Node, Program, Tensor, Term, View
from zkinfer.circuit.table import Table
from zkinfer.errors import BoundsError, MalformedCommitmentError
from zkinfer.protocol.field.params import P
from zkinfer.typing import IntArray
from zkinfer.verifier.reference.intervals import Intervals

seeds = st.integers(0, 2**32 - 1)


def out(*shape: int) -> Tensor:
    return Tensor("node", shape, 0, 0, 0)


def source(lo: int, hi: int, *shape: int) -> Tensor:
    return Tensor("x", shape, 0, lo, hi)


def bounds(inputs: list[Tensor], nodes: list[Node], *tables: Table) -> tuple[int, int]:
    """Of the last node; the same from all who derive it."""
    program = Program(1, tuple(inputs), (), tables, tuple(nodes), (len(inputs) + len(nodes) - 1,))
    derived = derived_bounds(program, P // 2)
    assert derived == Intervals(program).found
    return derived[-1]


def random_table(rng: np.random.Generator, lo: int, hi: int, shift: int, least: int = -9) -> Table:
    half = (1 << shift) // 2
    first, last = (lo + half) >> shift, (hi + half) >> shift
    return Table("t", first, tuple(int(v) for v in rng.integers(least, 10, last - first + 1)))


def looked_up(table: Table, x: IntArray, shift: int) -> IntArray:
    return np.asarray(table.array[((x + (1 << shift) // 2) >> shift) - table.lo])


@given(seeds, st.integers(-60, 60), st.integers(0, 90), st.integers(0, 4), st.integers(1, 3))
def test_a_number_times_lookups_of_itself_reaches_its_bounds(
    seed: int, lo: int, width: int, shift: int, times: int
) -> None:
    """Every integer of the interval, by brute force."""
    rng, hi = np.random.default_rng(seed), lo + width
    table = random_table(rng, lo, hi, shift)
    nodes: list[Node] = [Lookup(out(3), 0, 0, shift)]
    nodes += [Einsum(out(3), "a,a->a", (k if k > 1 else 0, 1)) for k in range(1, times + 1)]
    x = np.arange(lo, hi + 1)
    y = x * looked_up(table, x, shift) ** times
    assert bounds([source(lo, hi, 3)], nodes, table) == (y.min(), y.max())


@given(seeds)
def test_a_power_that_was_multiplied_first_counts_as_often(seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = random_table(rng, -20, 50, 2)
    nodes: list[Node] = [
        Lookup(out(3), 0, 0, 2), Einsum(out(3), "a,a->a", (1, 1)), Einsum(out(3), "a,a->a", (2, 0))
    ]  # fmt: skip
    x = np.arange(-20, 51)
    y = x * looked_up(table, x, 2) ** 2
    assert bounds([source(-20, 50, 3)], nodes, table) == (y.min(), y.max())


def normalization(
    rng: np.random.Generator, *, squares: bool, steps: int, lo: int = -30, factor: int = 1, offset: int = 0
) -> tuple[list[Tensor], list[Node], list[Table]]:
    """A row times powers of two that bring its sum of squares, or its sum, to a common size; a lookup of that at last.

    The powers are multiplied row by row first, and the row last.
    """
    x, hi = source(lo, 30, 2, 5), 30
    summed = 5 * 30 * 30 if squares else 5 * hi
    nodes: list[Node] = [Einsum(out(2), "ab,ab->a", (0, 0)) if squares else Einsum(out(2), "ab->a", (0,))]
    w, top = 1, factor * summed + offset
    if factor > 1 or offset:
        nodes.append(View(out(2), (Term(1, factor, ()),), offset))
        w = 2
    shift = max(top.bit_length() - 4, 0)
    half, limit = (1 << shift) // 2, top
    ends = [min((i << shift) - half + (1 << shift) - 1, limit) for i in range(((limit + half) >> shift) + 1)]
    tables = [
        Table("power", 0, tuple(1 << max((limit // max(end, 1)).bit_length() - 1, 0) // 2 for end in ends)),
        Table("last", 0, tuple(int(v) for v in rng.integers(-9, 10, len(ends)))),
    ]
    factors = []
    for _ in range(steps):
        looked = 1 + len(nodes)
        nodes += [
            Lookup(out(2), w, 0, shift),
            Einsum(out(2), "a,a->a", (looked, looked)),
            Einsum(out(2), "a,a->a", (looked + 1, w)),
        ]
        factors.append(looked if squares else looked + 1)
        w = looked + 2
    nodes.append(Lookup(out(2), w, 1, shift))
    row = len(nodes)
    for other in factors:
        nodes.append(Einsum(out(2), "a,a->a", (other, row)))
        row = len(nodes)
    nodes.append(Einsum(out(2, 5), "ab,a->ab", (0, row)))
    return [x], nodes, tables


@given(seeds, st.booleans(), st.integers(0, 3), st.sampled_from([(1, 0), (1, 7), (4, 0), (3, 11)]))
def test_a_row_is_bounded_by_its_sum(seed: int, squares: bool, steps: int, affine: tuple[int, int]) -> None:
    """No row that was tried leaves the bounds, which are inside those of the factors."""
    rng = np.random.default_rng(seed)
    lo = -30 if squares else 0
    inputs, nodes, tables = normalization(rng, squares=squares, steps=steps, lo=lo, factor=affine[0], offset=affine[1])
    low, high = bounds(inputs, nodes, *tables)
    program = Program(1, tuple(inputs), (), tuple(tables), tuple(nodes), (len(nodes),))
    size = 30.0 ** -rng.random((300, 2, 1))
    rows = np.rint(rng.uniform(lo, 30, (300, 2, 5)) * size).astype(np.int64)
    rows[:40] *= rng.random((40, 2, 5)) < 0.2
    values = evaluate(program, [], [rows])
    assert low <= values[-1].min()
    assert values[-1].max() <= high
    intervals = derived_bounds(program, P // 2)
    if steps > 1:
        assert max(-low, high) < 30 * max(map(abs, intervals[-2]))


def is_unbounded(inputs: list[Tensor], nodes: list[Node], *tables: Table) -> bool:
    """Whether the last node's bounds are the products of its operands' bounds, and no less."""
    program = Program(1, tuple(inputs), (), tables, tuple(nodes), (len(inputs) + len(nodes) - 1,))
    found = derived_bounds(program, P // 2)
    assert found == Intervals(program).found
    (last,) = nodes[-1:]
    assert isinstance(last, Einsum)
    (a, b), (c, d) = (found[v] for v in last.operands)
    corners = [a * c, a * d, b * c, b * d]
    return found[-1] == (min(corners), max(corners))


POWERS = Table("power", 0, (16, 4, 2, 2, 1, 1, 1, 1, 1))


def test_a_lookup_of_another_number_says_nothing() -> None:
    x, y = source(0, 63, 3), source(0, 63, 3)
    lookup, product = Lookup(out(3), 1, 0, 3), Einsum(out(3), "a,a->a", (0, 2))
    assert is_unbounded([x, y], [lookup, product], POWERS)
    own = Einsum(out(3), "a,a->a", (1, 2))
    assert not is_unbounded([x, y], [lookup, own], POWERS)


def test_a_lookup_of_the_same_number_at_another_place_says_nothing() -> None:
    x = source(0, 63, 3, 3)
    lookup = Lookup(out(3, 3), 0, 0, 3)
    assert is_unbounded([x], [lookup, Einsum(out(3, 3), "ab,ba->ab", (0, 1))], POWERS)
    assert is_unbounded([x], [lookup, Einsum(out(3, 3, 3), "ab,bc->abc", (0, 1))], POWERS)
    assert not is_unbounded([x], [lookup, Einsum(out(3, 3), "ab,ab->ba", (0, 1))], POWERS)


def sum_and_product(total: Einsum, product: str, *, lo: int = -3, offset: int = 0, coefficient: int = 1) -> bool:
    """Whether an element times a lookup of that total is unbounded."""
    nodes: list[Node] = [
        total,
        View(out(3), (Term(1, coefficient, ()),), offset),
        Lookup(out(3), 2, 0, 3),
        Einsum(out(3, 3), product, (0, 3)),
    ]
    table = Table("power", -40, (40,) * 40 + (16, *(1,) * 40))
    return is_unbounded([source(lo, 7, 3, 3)], nodes, table)


SQUARES, SUM = Einsum(out(3), "ab,ab->a", (0, 0)), Einsum(out(3), "ab->a", (0,))


def test_an_element_that_the_sum_holds_is_bounded() -> None:
    assert not sum_and_product(SQUARES, "ab,a->ab")
    assert not sum_and_product(SQUARES, "ab,a->ab", offset=3, coefficient=2)
    assert not sum_and_product(SUM, "ab,a->ab", lo=0)


def test_an_element_that_the_sum_does_not_hold_is_not() -> None:
    # Another row, a sum of numbers that cancel, a sum of products of different elements.
    assert sum_and_product(SQUARES, "ab,b->ab")
    assert sum_and_product(SUM, "ab,a->ab", lo=-1)
    assert sum_and_product(Einsum(out(3), "ab,ac->a", (0, 0)), "ab,a->ab")
    assert sum_and_product(Einsum(out(3), "ab,ba->a", (0, 0)), "ab,a->ab")
    # Less than the sum, or its opposite.
    assert sum_and_product(SQUARES, "ab,a->ab", offset=-1)
    assert sum_and_product(SQUARES, "ab,a->ab", coefficient=-1)


def test_a_sum_of_squares_is_not_negative() -> None:
    x = source(-30, 10, 2, 5)
    assert bounds([x], [Einsum(out(2), "ab,ab->a", (0, 0))]) == (0, 5 * 900)
    assert bounds([x], [Einsum(out(2, 2), "ab,cb->ac", (0, 0))]) == (5 * -300, 5 * 900)
    assert bounds([x, x], [Einsum(out(2), "ab,ab->a", (0, 1))]) == (5 * -300, 5 * 900)


def test_products_of_products_take_no_longer_than_they_may() -> None:
    """Of a number squared forty times, and of one multiplied thousands of times, nothing more is derived."""
    ones = Table("one", 0, (1, 1))
    squared: list[Node] = [Lookup(out(1), 0, 0, 0)]
    squared += [Einsum(out(1), "a,a->a", (k, k)) for k in range(1, 41)]
    assert bounds([source(0, 1, 1)], squared, ones) == (1, 1)
    chain: list[Node] = [Lookup(out(1), 0, 0, 0)]
    chain += [Einsum(out(1), "a,a->a", (k, 1)) for k in range(1, 3000)]
    assert bounds([source(0, 1, 1)], chain, ones) == (1, 1)


def test_numbers_beyond_the_field_are_refused_by_both() -> None:
    wide = source(0, 1 << 40, 1)
    table = Table("t", 0, (1 << 20,) * 5)
    nodes = (Lookup(out(1), 0, 0, 38), Einsum(out(1), "a,a->a", (0, 1)))
    program = Program(1, (wide,), (), (table,), nodes, (2,))
    with pytest.raises(BoundsError):
        derived_bounds(program, P // 2)
    with pytest.raises(MalformedCommitmentError):
        Intervals(program)
    with pytest.raises(BoundsError):
        check_bounds(program, [])


def test_a_number_brought_to_a_common_size_fits_though_its_factors_do_not() -> None:
    """Forty bits times up to forty more, by powers of two that are the larger the smaller the number is."""
    wide = source(0, (1 << 40) - 1, 1)
    powers = tuple(1 << max(40 - (39 if i else 34) - i.bit_length() + 1, 0) for i in range(33))
    table = Table("power", 0, powers)
    nodes: list[Node] = [Lookup(out(1), 0, 0, 35), Einsum(out(1), "a,a->a", (0, 1))]
    lo, hi = bounds([wide], nodes, table)
    assert lo == 0
    assert hi < 1 << 42
