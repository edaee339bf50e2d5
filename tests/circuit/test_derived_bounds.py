"""Intervals that follow from what is public, whatever a program says of its nodes."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.random_programs import random_program

from zkinfer.circuit.bounds import check_bounds
from zkinfer.circuit.derived_bounds import derived_bounds, table_domain
from zkinfer.circuit.program import Einsum, Lookup, Node, Program, Tensor, Term, View
from zkinfer.circuit.steps import Pad
from zkinfer.circuit.table import Table
from zkinfer.compiler.lowering.builder import Builder, Summand
from zkinfer.errors import BoundsError

X = Tensor("x", (1, 4), 0, -15, 15)
W = Tensor("w", (3, 4), 0, -7, 7)
RELU = Table("relu", -105, tuple(max(0, i) for i in range(-105, 106)))


def out(*shape: int) -> Tensor:
    """The tensor of a node that claims to be zero everywhere: nobody believes it."""
    return Tensor("node", shape, 0, 0, 0)


def derived(*nodes: Node, tables: tuple[Table, ...] = (RELU,), limit: int = 10**6) -> tuple[int, int]:
    """The interval of the last node."""
    return derived_bounds(Program(1, (X,), (W,), tables, nodes, (2,)), limit)[-1]


PRODUCT = Einsum(out(1, 3), "bi,oi->bo", (0, 1))


def test_a_contraction_reaches_as_far_as_the_published_bounds_of_weights_allow() -> None:
    assert derived(PRODUCT) == (-420, 420)


def test_a_contraction_of_one_operand_adds_up() -> None:
    assert derived(Einsum(out(1), "bi->b", (0,))) == (-60, 60)


def test_coefficients_and_offsets_of_views_count() -> None:
    assert derived(View(out(1, 4), (Term(0, -3, ()), Term(0, 1, ())), 100)) == (40, 160)


def test_the_parts_of_a_concatenation_are_not_added() -> None:
    parts = Term(0, 1, (Pad((0, 0), (0, 4)),)), Term(0, -2, (Pad((0, 4), (0, 0)),))
    assert derived(View(out(1, 8), parts)) == (-30, 30)


def test_a_lookup_reaches_as_far_as_its_table() -> None:
    assert derived(PRODUCT, Lookup(out(1, 3), 2, 0, 0)) == (0, 105)


def test_what_is_looked_up_is_within_the_table_wherever_it_is_read() -> None:
    """Also where it is read before: all lookups of a program are shown."""
    doubled = View(out(1, 3), (Term(2, 2, ()),))
    assert derived(PRODUCT, Lookup(out(1, 3), 2, 0, 1), doubled) == (-422, 420)
    assert derived(PRODUCT, doubled, Lookup(out(1, 3), 2, 0, 0), View(out(1, 3), (Term(3, 1, ()),))) == (-210, 210)


def test_where_unused_lookups_are_not_shown_other_readers_know_nothing_of_them() -> None:
    """ezkl leaves out what no output depends on: an element may be read elsewhere and never be looked up."""
    doubled = View(out(1, 3), (Term(2, 2, ()),))
    nodes = (PRODUCT, Lookup(out(1, 3), 2, 0, 1), doubled)
    one = Program(1, (X,), (W,), (RELU,), nodes, (4,))
    assert derived_bounds(one, 10**6, all_shown=False)[2:] == [(-420, 420), (0, 105), (-840, 840)]
    assert derived_bounds(one, 10**6)[2:] == [(-211, 210), (0, 105), (-422, 420)]


@pytest.mark.parametrize("most", [20, 30])
@pytest.mark.parametrize("all_shown", [True, False])
def test_a_maximum_is_no_more_than_the_larger_of_both(most: int, all_shown: bool) -> None:
    """b + relu(a - b), where the difference is known no better than its table."""
    relu = Table("relu", -most, tuple(max(0, i) for i in range(-most, most + 1)))
    nodes = (
        View(out(1, 4), (Term(0, 1, ()), Term(0, -1, ()))),
        Lookup(out(1, 4), 1, 0, 0),
        View(out(1, 4), (Term(0, 1, ()), Term(2, 1, ()))),
    )
    one = Program(1, (X,), (), (relu,), nodes, (3,))
    assert derived_bounds(one, 10**6, all_shown=all_shown)[-1] == (-15, 15)


@pytest.mark.parametrize(
    "node",
    [
        PRODUCT,
        View(out(1, 4), (Term(0, 28, ()),)),
        View(out(1, 4), (Term(0, 1, ()),), 405),
        View(out(1, 4), (Term(0, 1, ()),), -405),
        View(out(1, 4), (Term(0, 14, ()), Term(0, -14, (Pad((0, 0), (0, 0)),)))),
    ],
)
def test_the_limit_is_the_largest_that_is_allowed(node: Node) -> None:
    derived(node, limit=420)
    with pytest.raises(BoundsError, match=r"node: .* 9 bits"):
        derived(node, limit=419)


def test_inputs_and_weights_keep_the_limit() -> None:
    nodes = (View(out(1, 4), (Term(0, 1, ()),)),)
    assert derived(*nodes, limit=15) == (-15, 15)
    with pytest.raises(BoundsError, match=r"^x: "):
        derived(*nodes, limit=14)
    with pytest.raises(BoundsError, match=r"^w: "):
        derived_bounds(Program(1, (X,), (Tensor("w", (1,), 0, -16, 0),), (), nodes, (2,)), 15)


def test_what_a_table_takes_keeps_the_limit() -> None:
    node = Lookup(out(1, 4), 0, 0, 3)
    assert table_domain(RELU, 3) == (-844, 843)
    derived(node, limit=844)
    with pytest.raises(BoundsError, match="node: a shift by 3 bits"):
        derived(node, limit=843)


def test_a_value_that_is_never_in_its_table_is_refused() -> None:
    with pytest.raises(BoundsError, match=r"x: .* looked up"):
        derived(Lookup(out(1, 4), 0, 0, 0), tables=(Table("far", 16, (1, 2)),))


def test_a_chain_of_nodes_that_stays_small_by_its_own_account_is_refused() -> None:
    """Each node squares the one before, and says that it is zero."""
    nodes = tuple(Einsum(out(1, 4), "bi,bi->bi", (v, v)) for v in (0, *range(2, 12)))
    with pytest.raises(BoundsError):
        derived(*nodes, limit=1 << 252)


@pytest.mark.parametrize("size", [1 << 12, 1 << 20])
def test_rules_that_take_too_much_work_are_left_out(size: int) -> None:
    """A thousand maxima over a large table: bounded, if no longer tight, for a program that nobody needs."""
    big = Tensor("x", (1, 4), 0, 0, size - 1)
    table = Table("t", 0, tuple(range(size)))
    nodes: list[Node] = [Lookup(out(1, 4), 0, 0, 0)]
    nodes += [View(out(1, 4), (Term(0, -1, ()), Term(1, 1, ()))) for _ in range(1000)]
    bounds = derived_bounds(Program(1, (big,), (), (table,), tuple(nodes), (1,)), 1 << 40)
    assert bounds[2] == (0, 0)
    assert (bounds[-1] == (0, 0)) == (size == 1 << 12)


@given(st.integers(0, 2**32 - 1))
def test_what_is_derived_contains_what_contents_of_weights_prove(seed: int) -> None:
    built = random_program(np.random.default_rng(seed))
    proven = check_bounds(built.program, built.weights)
    for (lo, hi), (a, b) in zip(derived_bounds(built.program, 1 << 200), proven, strict=True):
        assert lo <= a
        assert b <= hi


def test_the_builder_derives_the_same() -> None:
    """It knows in advance whether a verifier will accept a value."""
    builder = Builder()
    x = builder.input("x", (1, 4), 0, -15, 15)
    w = builder.weight("w", np.array([[7, 0, 0, 0]]), 0)
    y = builder.einsum("y", "bi,oi->bo", x, w)
    assert builder.slack(y) == 2, "one weight of four is not zero, which the public does not know"
    scaled = builder.combine("z", [Summand(y, Fraction(1)), Summand(x, Fraction(1 << 39))])
    assert builder.is_provable(scaled)
    assert not builder.is_provable(builder.combine("z", [Summand(y, Fraction(1 << 41)), Summand(x)]))
    builder.lookup("r", y, Table("t", -111, (0,) * 223), 0, 0)
    assert builder.is_provable(builder.combine("z", [Summand(y, Fraction(1 << 41)), Summand(x, Fraction(2))])), (
        "now it is looked up"
    )
