"""Bounds of a View: never less than what inputs can reach, and exactly that for maxima, remainders and joined parts."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkinfer.circuit.bounds import check_bounds
from zkinfer.circuit.evaluate import evaluate
from zkinfer.circuit.program import PROGRAM_VERSION, Lookup, Node, Program, Tensor, Term, View
from zkinfer.circuit.steps import Pad, Slice
from zkinfer.circuit.table import Table
from zkinfer.errors import BoundsError

WIDE = 1 << 61


def tensor(shape: tuple[int, ...] = (), lo: int = -WIDE, hi: int = WIDE) -> Tensor:
    return Tensor("t", shape, 0, lo, hi)


def program(inputs: list[Tensor], tables: list[Table], nodes: list[Node]) -> Program:
    return Program(PROGRAM_VERSION, tuple(inputs), (), tuple(tables), tuple(nodes), (len(inputs) + len(nodes) - 1,))


def reached(circuit: Program) -> tuple[int, int]:
    """The smallest and largest output over all inputs, tried one by one."""
    ranges = [range(t.lo, t.hi + 1) for t in circuit.inputs for _ in range(t.size)]
    every = np.array(list(itertools.product(*ranges)), dtype=np.int64)
    pieces = np.split(every, np.cumsum([t.size for t in circuit.inputs])[:-1], axis=1)
    arrays = [piece.reshape(-1, *t.shape) for piece, t in zip(pieces, circuit.inputs, strict=True)]
    output = evaluate(circuit, [], arrays)[-1]
    return int(output.min()), int(output.max())


def identity(lo: int, hi: int) -> Table:
    return Table("same", lo, tuple(range(lo, hi + 1)))


def relu(lo: int, hi: int) -> Table:
    return Table("relu", lo, tuple(max(i, 0) for i in range(lo, hi + 1)))


@given(st.integers(-5, 5), st.integers(0, 6), st.integers(-5, 5), st.integers(0, 6))
def test_a_maximum_reaches_no_further_than_the_larger_of_both(a: int, width_a: int, b: int, width_b: int) -> None:
    inputs = [tensor(lo=a, hi=a + width_a), tensor(lo=b, hi=b + width_b)]
    nodes: list[Node] = [
        View(tensor(), (Term(0, 1, ()), Term(1, -1, ()))),
        Lookup(tensor(), 2, 0, 0),
        View(tensor(), (Term(1, 1, ()), Term(3, 1, ()))),
    ]
    circuit = program(inputs, [relu(-30, 30)], nodes)
    assert check_bounds(circuit, [])[-1] == reached(circuit) == (max(a, b), max(a + width_a, b + width_b))


@given(st.integers(0, 300), st.integers(1, 5))
def test_a_remainder_is_less_than_the_divisor(most: int, shift: int) -> None:
    half = 1 << (shift - 1)
    nodes: list[Node] = [
        View(tensor(), (Term(0, 1, ()),), -half),
        Lookup(tensor(), 1, 0, shift),
        View(tensor(), (Term(0, 1, ()), Term(2, -(1 << shift), ()))),
    ]
    circuit = program([tensor(lo=0, hi=most)], [identity(-1, 400)], nodes)
    assert check_bounds(circuit, [])[-1] == reached(circuit) == (0, min(most, (1 << shift) - 1))


@given(
    coefficients=st.tuples(*[st.integers(-3, 3).filter(bool)] * 5),
    offsets=st.tuples(st.integers(-9, 9), st.integers(-9, 9)),
    table=st.lists(st.integers(-40, 40), min_size=101, max_size=101),
    shift=st.integers(0, 3),
)
def test_no_sum_with_a_lookup_leaves_its_bounds(
    coefficients: tuple[int, ...], offsets: tuple[int, int], table: list[int], shift: int
) -> None:
    a, b, k, c, d = coefficients
    nodes: list[Node] = [
        View(tensor(), (Term(0, a, ()), Term(1, b, ())), offsets[0]),
        Lookup(tensor(), 2, 0, shift),
        View(tensor(), (Term(0, c, ()), Term(1, d, ()), Term(3, k, ())), offsets[1]),
    ]
    circuit = program([tensor(lo=-3, hi=4), tensor(lo=-2, hi=5)], [Table("any", -50, tuple(table))], nodes)
    lo, hi = check_bounds(circuit, [])[-1]
    least, most = reached(circuit)
    assert lo <= least
    assert most <= hi
    # And never further than the sum of the terms alone.
    assert hi <= offsets[1] + max(-3 * c, 4 * c) + max(-2 * d, 5 * d) + max(k * min(table), k * max(table))


def test_a_lookup_of_one_tensor_bounds_a_sum_with_that_tensor() -> None:
    nodes: list[Node] = [Lookup(tensor(), 0, 0, 0), View(tensor(), (Term(0, 1, ()), Term(1, -1, ())))]
    circuit = program([tensor(lo=-7, hi=9)], [relu(-7, 9)], nodes)
    assert check_bounds(circuit, [])[-1] == (-7, 0)


def test_other_elements_of_the_same_tensor_are_not_taken_for_the_same() -> None:
    """y = x[1] + relu(x[0] - x[2]): the lookup knows nothing of x[1]."""
    at = [(Slice(0, i, 1, 1),) for i in range(3)]
    nodes: list[Node] = [
        View(tensor((1,)), (Term(0, 1, at[0]), Term(0, -1, at[2]))),
        Lookup(tensor((1,)), 1, 0, 0),
        View(tensor((1,)), (Term(0, 1, at[1]), Term(2, 1, ()))),
    ]
    circuit = program([tensor((3,), -2, 3)], [relu(-5, 5)], nodes)
    assert check_bounds(circuit, [])[-1] == reached(circuit) == (-2, 8)


class TestJoinedParts:
    def concat(self, *pads: tuple[int, int]) -> Program:
        inputs = [tensor((2,), 1, 3), tensor((2,), -9, -8)]
        terms = tuple(Term(i, 1, (Pad((before,), (after,)),)) for i, (before, after) in enumerate(pads))
        return program(inputs, [], [View(tensor((sum(pads[0]) + 2,)), terms)])

    def test_reach_no_further_than_the_parts(self) -> None:
        circuit = self.concat((0, 2), (2, 0))
        assert check_bounds(circuit, [])[-1] == (-9, 3)

    def test_that_overlap_are_added(self) -> None:
        part = tensor((2,), 1, 3)
        terms = tuple(Term(0, 1, (Pad((i,), (1 - i,)),)) for i in range(2))
        circuit = program([part], [], [View(tensor((3,)), terms)])
        assert check_bounds(circuit, [])[-1][1] == reached(circuit)[1] == 6


def test_a_sum_beyond_exact_arithmetic_is_refused_even_where_parts_cancel() -> None:
    big = tensor(lo=-(1 << 60), hi=1 << 60)
    nodes: list[Node] = [View(tensor(), (Term(0, 3, ()), Term(0, -3, ())))]
    with pytest.raises(BoundsError, match="fewer bits"):
        check_bounds(program([big], [], nodes), [])
