"""The reference verifier's intervals, against those of the fast one and against the field."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.random_programs import random_program

from zkinfer.circuit.derived_bounds import derived_bounds
from zkinfer.circuit.program import Einsum, Lookup, Program, Tensor, Term, View
from zkinfer.circuit.steps import Pad, Reshape
from zkinfer.circuit.table import Table
from zkinfer.errors import MalformedCommitmentError
from zkinfer.protocol.field.params import P
from zkinfer.verifier.reference.intervals import Intervals

X = Tensor("x", (2,), 0, -3, 5)


def out(*shape: int) -> Tensor:
    return Tensor("node", shape, 0, 0, 0)


@given(st.integers(0, 2**32 - 1))
def test_both_verifiers_derive_the_same(seed: int) -> None:
    program = random_program(np.random.default_rng(seed), nodes=8).program
    assert Intervals(program).found == derived_bounds(program, P // 2)


RELU = Table("relu", -8, tuple(max(0, i) for i in range(-8, 9)))
FLOOR = Table("floor", -1, (-1, 0, 1))
MAXIMUM = (
    View(out(2), (Term(0, 1, ()), Term(0, -1, ()))),
    Lookup(out(2), 1, 0, 0),
    View(out(2), (Term(0, 1, ()), Term(2, 1, ()))),
)
REMAINDER = (Lookup(out(2), 0, 1, 2), View(out(2), (Term(0, 1, ()), Term(1, -4, ())), 2))
REMAINDER_OF_SUM = (
    View(out(2), (Term(0, 3, ()), Term(0, 1, (Reshape((2,)),)))),
    Lookup(out(2), 1, 0, 2),
    View(out(2), (Term(1, 1, ()), Term(2, -4, ()))),
)
CONCATENATION = (View(out(4), (Term(0, 1, (Pad((0,), (2,)),)), Term(0, -2, (Pad((2,), (0,)),)))),)
OVERLAP = (View(out(3), (Term(0, 1, (Pad((0,), (1,)),)), Term(0, -2, (Pad((1,), (0,)),)))),)


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        (MAXIMUM, (-3, 5)),
        (REMAINDER, (0, 3)),
        (REMAINDER_OF_SUM, (-12, 1)),
        (CONCATENATION, (-10, 6)),
        (OVERLAP, (-13, 11)),
    ],
)
def test_sums_that_know_more_than_their_terms(nodes: tuple[View | Lookup, ...], expected: tuple[int, int]) -> None:
    program = Program(1, (X,), (), (RELU, FLOOR), nodes, (1,))
    assert Intervals(program).found[-1] == derived_bounds(program, P // 2)[-1] == expected


def test_a_square_of_a_product_with_a_lookup_of_its_factors_is_not_negative() -> None:
    """y = (a b T[a a b b])^2, where what is looked up is multiplied in an order that does not show its sign."""
    nodes = (
        Einsum(out(2), "i,i->i", (0, 0)),
        Einsum(out(2), "i,i->i", (2, 1)),
        Einsum(out(2), "i,i->i", (3, 1)),
        Lookup(out(2), 4, 0, 4),
        Einsum(out(2), "i,i->i", (0, 1)),
        Einsum(out(2), "i,i->i", (6, 5)),
        Einsum(out(2), "i,i->i", (7, 7)),
    )
    inputs = Tensor("a", (2,), 0, -3, 3), Tensor("b", (2,), 0, -2, 2)
    program = Program(1, inputs, (), (Table("t", -3, (0, 0, 0, 3, 2, 1, 1)),), nodes, (8,))
    assert Intervals(program).found[-1] == derived_bounds(program, P // 2)[-1] == (0, 92)


@pytest.mark.parametrize("offset", [P // 2 - 5, -(P // 2) + 3])
def test_half_of_the_field_is_the_limit(offset: int) -> None:
    for beyond in (0, 1):
        node = View(out(2), (Term(0, 1, ()),), offset + (beyond if offset > 0 else -beyond))
        program = Program(1, (X,), (), (), (node,), (1,))
        if beyond:
            with pytest.raises(MalformedCommitmentError):
                Intervals(program)
        else:
            Intervals(program)


def test_a_table_that_takes_too_large_values_is_refused() -> None:
    table = Table("t", -2, (0,) * 1024)
    Intervals(Program(1, (X,), (), (table,), (Lookup(out(2), 0, 0, 39),), (1,)))
    with pytest.raises(MalformedCommitmentError):
        Intervals(Program(1, (X,), (), (table,), (Lookup(out(2), 0, 0, 40),), (1,)))


def test_a_sum_of_products_counts_every_summand() -> None:
    big = Tensor("w", (2,), 0, -(P // 20), P // 20)
    dot = Einsum(out(), "i,i->", (0, 1))
    Intervals(Program(1, (X,), (big,), (), (dot,), (2,)))
    with pytest.raises(MalformedCommitmentError):
        Intervals(Program(1, (Tensor("x", (2,), 0, -3, 6),), (big,), (), (dot,), (2,)))


def test_a_value_that_is_never_in_its_table_is_refused() -> None:
    with pytest.raises(MalformedCommitmentError):
        Intervals(Program(1, (X,), (), (Table("far", 6, (1, 2)),), (Lookup(out(2), 0, 0, 0),), (1,)))
