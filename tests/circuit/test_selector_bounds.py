"""Selectors: a contraction with rows of a single 1 reaches as far as one element; anything else as far as its sum."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkinfer.circuit import selector_bounds
from zkinfer.circuit.bounds import check_bounds
from zkinfer.circuit.derived_bounds import derived_bounds
from zkinfer.circuit.evaluate import evaluate
from zkinfer.circuit.program import PROGRAM_VERSION, Einsum, Lookup, Node, Program, Tensor, Term, View
from zkinfer.circuit.steps import Expand, Reshape
from zkinfer.circuit.table import Table
from zkinfer.verifier.reference.intervals import Intervals

WIDE = 1 << 61
EQUAL = Table("equal", -20, tuple(int(i == 0) for i in range(-20, 21)))


def tensor(*shape: int, lo: int = -WIDE, hi: int = WIDE) -> Tensor:
    return Tensor("t", shape, 0, lo, hi)


def chosen(table: Table, places: list[int], most: int, repeat: tuple[int, ...] = (1, 1)) -> Program:
    """x[i], where i is an input from 0 to `most`, and a row holds `table[i - place]` for every place."""
    n = len(places)
    nodes: list[Node] = [
        View(
            tensor(repeat[0], n),
            (
                Term(0, 1, (Reshape(repeat), Expand((repeat[0], n)))),
                Term(2, -1, (Reshape((1, n)), Expand((repeat[0], n)))),
            ),
        ),
        Lookup(tensor(repeat[0], n), 3, 0, 0),
        Einsum(tensor(repeat[0]), "ij,j->i", (4, 1)),
    ]
    inputs = (tensor(repeat[0] * repeat[1], lo=0, hi=most), tensor(n, lo=-5, hi=9))
    return Program(PROGRAM_VERSION, inputs, (tensor(n, lo=-20, hi=20),), (table,), tuple(nodes), (5,))


@given(st.integers(1, 9), st.data())
def test_one_element_is_chosen_whatever_the_position(n: int, data: st.DataObject) -> None:
    places = data.draw(st.permutations(range(n)))
    program = chosen(EQUAL, places, n - 1)
    assert check_bounds(program, [np.array(places)])[-1] == (-5, 9)


@given(
    st.lists(st.integers(0, 3), min_size=41, max_size=41),
    st.lists(st.integers(0, 12), min_size=1, max_size=4),
    st.integers(0, 6),
)
def test_no_row_adds_up_to_more_than_is_said(values: list[int], places: list[int], most: int) -> None:
    """Any table that is not negative, and any weight: try every position, and the worst data for its row."""
    program = chosen(Table("any", -20, tuple(values)), places, most)
    lo, hi = check_bounds(program, [np.array(places)])[-1]
    every = np.arange(most + 1).reshape(-1, 1)
    for x in (-5, 9):
        data = np.full((most + 1, len(places)), x)
        reached = evaluate(program, [np.array(places)], [every, data])[-1]
        assert lo <= reached.min() <= reached.max() <= hi
    assert hi == 9 * max(sum(values[i - place + 20] for place in places) for i in range(most + 1))


def test_the_same_place_twice_counts_twice() -> None:
    assert check_bounds(chosen(EQUAL, [3, 3, 1], 4), [np.array([3, 3, 1])])[-1] == (-10, 18)


@pytest.mark.parametrize(
    "values", [tuple(-int(i == 0) for i in range(-20, 21)), tuple(i % 2 * 2 - 1 for i in range(41))]
)
def test_a_table_with_negative_entries_is_no_selector(values: tuple[int, ...]) -> None:
    program = chosen(Table("signed", -20, values), [0, 1], 1)
    lo, hi = check_bounds(program, [np.array([0, 1])])[-1]
    assert hi >= 2 * 5 or lo <= -2 * 9


def test_a_position_that_differs_along_the_row_chooses_several() -> None:
    """Row elements [i_j - j == 0] with an i of its own for each j can all be 1."""
    n = 4
    nodes: list[Node] = [
        View(tensor(1, n), (Term(0, 1, (Reshape((1, n)),)), Term(2, -1, (Reshape((1, n)),)))),
        Lookup(tensor(1, n), 3, 0, 0),
        Einsum(tensor(1), "ij,j->i", (4, 1)),
    ]
    inputs = (tensor(n, lo=0, hi=n - 1), tensor(n, lo=-5, hi=9))
    program = Program(PROGRAM_VERSION, inputs, (tensor(n, lo=-20, hi=20),), (EQUAL,), tuple(nodes), (5,))
    weights = [np.arange(n)]
    assert check_bounds(program, weights)[-1] == (-5 * n, 9 * n)
    assert evaluate(program, weights, [np.arange(n)[None], np.full((1, n), 9)])[-1].item() == 9 * n


def test_a_row_that_is_kept_and_not_summed_over_is_no_choice() -> None:
    program = chosen(EQUAL, [0, 1, 2], 2)
    kept = Einsum(tensor(3), "ij,j->j", (4, 1))
    program = Program(
        PROGRAM_VERSION, program.inputs, program.weights, program.tables, (*program.nodes[:2], kept), (5,)
    )
    assert check_bounds(program, [np.arange(3)])[-1] == (-5, 9)


def test_without_the_contents_of_weights_nothing_is_known_to_choose() -> None:
    program = chosen(EQUAL, [0, 1, 2], 2)
    program = Program(
        PROGRAM_VERSION,
        program.inputs,
        (tensor(3, lo=0, hi=2),),
        (Table("equal", -2, (0, 0, 1, 0, 0)),),
        program.nodes,
        (5,),
    )
    assert check_bounds(program, [np.arange(3)])[-1] == (-5, 9)
    assert derived_bounds(program, WIDE)[-1] == (-15, 27)
    assert Intervals(program).found == derived_bounds(program, WIDE)


def test_a_tower_of_products_is_looked_at_once_a_floor() -> None:
    """Each factor of a product is a product of two again: a walk through both would double with every floor."""
    floors, sums = 16, 4
    nodes = [Einsum(tensor(2, lo=0, hi=1), "i,i->i", (i, i)) for i in range(floors)]
    nodes += [Einsum(tensor(lo=0, hi=2), "i,i->", (floors, floors))] * sums
    program = Program(PROGRAM_VERSION, (tensor(2, lo=0, hi=1),), (), (), tuple(nodes), (floors + 1,))
    walk = selector_bounds.selector
    with mock.patch.object(selector_bounds, "selector", side_effect=walk) as walked:
        assert derived_bounds(program, WIDE)[-1] == (0, 2)
    assert walked.call_count <= 2 * sums * floors
