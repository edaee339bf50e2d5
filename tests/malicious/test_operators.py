"""Cheating provers, operator by operator: from inputs and weights there is one acceptable witness, whatever is lowered.

A lowering is a program of Einsums, Views, Delays and Lookups. Only the last commit to anything, so all that a prover
could choose are outputs of Lookups, limbs of their remainders, and multiplicities of tables, which are counts of these.
Of a tiny model of every operator and every layer it is shown that

* each output and limb has one value that the constraints accept, given the cells before it: every row of its table is
  tried with every remainder;
* whoever changes one of them and computes honestly from there, or states another output, is refused. Here cells are
  judged in the open, by `support.witness_judge`, which is held against the real prover on random programs;
* lies about every Lookup of every operator, and every kind of lie about every form of Lookup, told by a prover that
  makes all else consistent with them, are refused by the real verifier.

That the verifier's messages come down to these constraints is for the other tests of this folder to show.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from msgspec.structs import replace
from support.native_prover import HONEST, Case, Lie, lying_witness, prove, verify
from support.operator_cases import CASES, proving_case
from support.random_statements import random_case
from support.witness_judge import ENTRIES, RESULTS, SOURCES, WitnessJudge

from zkinfer.circuit.evaluate import evaluate
from zkinfer.circuit.program import Delay, Einsum, Lookup, Program, View, rounding_half
from zkinfer.circuit.regions import find_regions
from zkinfer.circuit.table import Table
from zkinfer.compiler.onnx import decomposition
from zkinfer.compiler.onnx.registry import operators
from zkinfer.errors import BoundsError, InvalidProofError
from zkinfer.native.prove import public_values
from zkinfer.native.witness import Witness
from zkinfer.protocol.field.params import P
from zkinfer.protocol.lookup.tables import ExplicitTable, PiecewiseTable, RangeTable
from zkinfer.protocol.pads.protocol import CONSTRAINT_CHECK
from zkinfer.protocol.reduction.layout import Layout
from zkinfer.protocol.reduction.plan import INPUTS, OUTPUTS, WITNESS, LookupSite
from zkinfer.protocol.reduction.plan import Plan as FastPlan
from zkinfer.typing import IntArray
from zkinfer.verifier.reference.plan import Plan

Values = dict[int, IntArray]
Place = tuple[int, ...]

ELEMENTS = 3
"""Of each Lookup's result, and of each output, so many elements are lied about."""

every_operator = pytest.mark.parametrize("name", CASES)


def test_every_operator_and_layer_has_a_case() -> None:
    known = {operator.name for operator in operators()} | {known.name for known in decomposition.decompositions()}
    assert {name.split(":")[0] for name in CASES} == known


# What is committed


@every_operator
def test_a_prover_commits_to_nothing_but_lookups(name: str) -> None:
    plan = proving_case(name).plan
    assert {type(node) for node in plan.program.nodes} <= {Einsum, View, Lookup, Delay}
    cells = sum((1 << box.total) * (1 + len(site.limbs)) for site in plan.sites for box in site.cut.boxes)
    cells += sum(1 << table.variables for table in plan.instance.tables) if plan.instance else 0
    assert plan.layouts[WITNESS].cells == cells


@every_operator
def test_every_committed_cell_has_one_value(name: str) -> None:
    """One row with one remainder makes up the source, and one choice of limbs the remainder."""
    case = proving_case(name)
    for node, site in sites(case.plan):
        table = case.plan.program.tables[node.table]
        indices, remainders = decompositions(case.values[node.source], table, node.shift)
        assert (table.array[indices - table.lo] == case.values[site.value]).all()
        choices = itertools.product(*(range(1 << bits) for bits in site.limb_bits))
        made = [sum(w * limb for w, limb in zip(site.limb_weights, limbs, strict=True)) for limbs in choices]
        assert sorted(made) == list(range(1 << node.shift))
        assert set(remainders.ravel().tolist()) <= set(made)


def decompositions(source: IntArray, table: Table, shift: int) -> tuple[IntArray, IntArray]:
    """The row's index and the remainder that make up each element of a Lookup's source, modulo P: the only ones."""
    rows = np.arange(table.lo, table.hi + 1, dtype=object)
    left = (source.astype(object)[..., None] + rounding_half(shift) - rows * 2**shift) % P
    fitting = left < 2**shift
    assert (fitting.sum(axis=-1) == 1).all()
    chosen = fitting.argmax(axis=-1)
    return rows[chosen].astype(np.int64), np.take_along_axis(left, chosen[..., None], axis=-1)[..., 0].astype(np.int64)


def sites(plan: FastPlan) -> list[tuple[Lookup, LookupSite]]:
    """The Lookups of a program, and how they are committed."""
    leaves = len(plan.program.inputs) + len(plan.program.weights)
    nodes = [(plan.program.nodes[site.value - leaves], site) for site in plan.sites]
    return [(node, site) for node, site in nodes if isinstance(node, Lookup)]


# Lies


@dataclass(frozen=True)
class CellLie:
    """One element of a Lookup's result, or its remainder, is not what it should be; all that follows from it is true.

    Attributes:
        site: of the Lookup.
        place: of the element, the axis of runs included.
        output, index: what the element is said to be, and the row that it is said to come from.
        limbs: what is added to the limbs of its remainder.
    """

    site: LookupSite
    place: Place
    output: int
    index: int
    limbs: tuple[int, ...]

    def told(self, case: Case) -> Lie | None:
        """As a prover tells it; None if what follows from it is in no table: then there is nothing honest to go on."""
        changed = execution_with(case, self.site.value, self.place, self.output)
        return None if changed is None else Lie(execution=lambda values: values.update(changed), witness=self._edit)

    def _edit(self, witness: Witness) -> None:
        cut = self.site.cut
        numbers = np.arange(1, math.prod(cut.shape) + 1).reshape(cut.shape)
        for box, (number, *rest) in zip(cut.boxes, self.site.blocks, strict=True):
            for at in np.flatnonzero(cut.take(numbers, box) == numbers[self.place]):
                witness.blocks[number][0][at] = self.index
                witness.blocks[number][-1][at] = self.output
                for block, change in zip(rest, self.limbs, strict=True):
                    witness.blocks[block][0][at] += change


def execution_with(case: Case, value: int, place: Place, cell: int) -> Values | None:
    """Every value of a program of which one element is another, computed honestly after it; None if that cannot be."""
    program, leaves = case.plan.program, len(case.plan.program.inputs) + len(case.plan.program.weights)
    # What is made of weights alone has one run, which serves all.
    values = [np.broadcast_to(array, (case.plan.runs, *array.shape[1:])) for _, array in sorted(case.values.items())]
    region = next((region for region in find_regions(program) if value in region.values), None)
    delays = {v: program.nodes[v - leaves] for v in (region.values if region else ()) if is_delay(program, v)}
    first = max(delays, default=value - 1) + 1
    try:
        # A state that is another one reaches one step further each time.
        for _ in range(region.steps if region else 1):
            for v, node in delays.items():
                assert isinstance(node, Delay)
                values[v] = np.concatenate([values[node.initial], values[node.source][:, :-1]], axis=1)
            values = evaluated(program, values[:first])[: value + 1]
            values[value] = values[value].copy()
            values[value][place] = cell
            values = evaluated(program, values)
    except BoundsError:
        return None
    return {v: array[: len(case.values[v])] for v, array in enumerate(values)}


def evaluated(program: Program, given: list[IntArray]) -> list[IntArray]:
    """Every value of a program, given the first of them."""
    wide = [replace(program.tensor(v), lo=int(array.min()), hi=int(array.max())) for v, array in enumerate(given)]
    rest = program.nodes[len(given) - len(program.inputs) - len(program.weights) :]
    return evaluate(replace(program, inputs=tuple(wide), weights=(), nodes=rest), [], given)


def is_delay(program: Program, value: int) -> bool:
    return isinstance(program.nodes[value - len(program.inputs) - len(program.weights)], Delay)


def lies_about(case: Case, node: Lookup, site: LookupSite, place: Place, rng: np.random.Generator) -> Iterator[CellLie]:
    """Ways to lie about one element: to its neighbours, and to a random one in its range."""
    table = case.plan.program.tables[node.table]
    true, still = int(case.values[site.value][place]), (0,) * len(site.limbs)
    index = (int(case.values[node.source][place]) + rounding_half(node.shift)) >> node.shift
    # Another output, of the same row.
    for output in {true - 1, true + 1, int(rng.choice(table.array))} - {true}:
        yield CellLie(site, place, output, output if site.identity else index, still)
    for row in {index - 1, index + 1, int(rng.integers(table.lo, table.hi + 1))} - {index}:
        if table.lo <= row <= table.hi:
            output = int(table.array[row - table.lo])
            # Another row and its output, which do not make up the source.
            if output != true:
                yield CellLie(site, place, output, row, still)
            # They do, with a remainder that is out of range.
            if site.limbs:
                yield CellLie(site, place, output, row, (*still[1:], (index - row) << site.limb_bits[-1]))
    # Another remainder.
    for changed, change in itertools.product(range(len(site.limbs)), (-1, 1)):
        yield CellLie(site, place, true, index, tuple(change * (i == changed) for i in range(len(site.limbs))))


def lies(case: Case, node: Lookup, site: LookupSite) -> list[Lie]:
    """About some elements of a Lookup's result."""
    rng = np.random.default_rng(site.value)
    told = [lie.told(case) for place in places(site.cut.shape, rng) for lie in lies_about(case, node, site, place, rng)]
    return [lie for lie in told if lie is not None]


def places(shape: tuple[int, ...], rng: np.random.Generator) -> list[Place]:
    """Of a tensor of this shape."""
    every = list(np.ndindex(shape))
    return [every[i] for i in rng.permutation(len(every))[:ELEMENTS]]


def other_outputs(case: Case) -> list[Lie]:
    """Some outputs are stated one unit too small or too large."""

    def stated(number: int, place: Place, change: int) -> Lie:
        def publics(publics: Values) -> None:
            publics[number][place] += change

        return Lie(publics=publics)

    rng, program = np.random.default_rng(0), case.plan.program
    return [
        stated(program.num_values + i, place, change)
        for i, value in enumerate(program.outputs)
        for place in places(case.values[value].shape, rng)
        for change in (-1, 1)
    ]


# Judged in the open


@cache
def judge(case: Case) -> WitnessJudge:
    plan = case.plan
    return WitnessJudge(Plan(plan.program, plan.runs, plan.private_inputs, plan.private_outputs))


def objections(case: Case, lie: Lie = HONEST) -> set[str]:
    """What is wrong with what a prover commits to and states."""
    values = dict(case.values)
    lie.execution(values)
    publics = {number: array.copy() for number, array in public_values(case.plan, values).items()}
    lie.publics(publics)
    witness = lying_witness(case.plan, values, case.sizes.header.log_columns, lie)
    return judge(case).objections([case.matrix.data.reshape(-1), *witness.stacks], publics)


@every_operator
def test_no_cell_can_be_another(name: str) -> None:
    case = proving_case(name)
    assert not objections(case)
    for node, site in sites(case.plan):
        told = lies(case, node, site)
        assert told
        for lie in told:
            assert objections(case, lie) & {ENTRIES, SOURCES}


@every_operator
def test_no_output_can_be_another(name: str) -> None:
    case = proving_case(name)
    for lie in other_outputs(case):
        assert objections(case, lie) == {RESULTS}


@pytest.mark.parametrize("seed", range(40))
def test_the_judge_and_the_real_prover_agree(seed: int) -> None:
    """On random programs with private inputs and outputs, of a cell of each matrix, or one behind its last vector."""
    case, rng = random_case(seed), np.random.default_rng(seed)
    assert not objections(case)
    for number, stack in enumerate(case.plan.layouts[INPUTS:]):
        rows = stack.rows(case.sizes.header.log_columns) << case.sizes.header.log_columns
        for cell in {int(rng.integers(rows)), rows - 1} if rows else ():
            lie = moved(number, cell, int(rng.choice([-1, 1])))
            binding = cell < stack.cells and not (number == OUTPUTS - INPUTS and is_behind(stack, cell))
            assert bool(prove(case, lie).failing) == bool(objections(case, lie)) == binding


def is_behind(stack: Layout, cell: int) -> bool:
    """Whether a cell stands behind its tensor; of private outputs, which nothing looks up, such cells mean nothing."""
    for part, offsets in zip(stack.cuts, stack.offsets, strict=True):
        for box, offset in zip(part.boxes, offsets, strict=True):
            if 0 <= cell - offset < 1 << box.total:
                return not part.take(np.ones(part.shape, bool), box)[cell - offset]
    raise AssertionError("no vector has this cell")


def moved(stack: int, cell: int, change: int) -> Lie:
    """A cell is changed after everything was counted."""

    def counts(witness: Witness) -> None:
        witness.stacks[stack][cell] += change

    return Lie(counts=counts)


def test_where_a_repeated_row_is_counted_makes_no_difference() -> None:
    """Seven rows fill eight places: the last row stands in two of them, and only the sum of their counts matters."""
    case = proving_case("Equal")
    (offset,) = case.plan.layouts[WITNESS].offsets[case.plan.multiplicities[0]]

    def counts(witness: Witness) -> None:
        assert len(witness.counts[0]) == 8
        assert witness.counts[0][6] >= 1
        for array in (witness.counts[0], witness.stacks[-1][offset:]):
            array[[6, 7]] += [-1, 1]

    lie = Lie(counts=counts)
    attempt = prove(case, lie)
    assert not attempt.failing
    assert not objections(case, lie)
    verify(case, attempt.proof)


# By the real prover and verifier


@every_operator
def test_the_truth_is_accepted(name: str) -> None:
    case = proving_case(name)
    attempt = prove(case)
    assert not attempt.failing
    verify(case, attempt.proof)


@every_operator
def test_lies_are_refused(name: str) -> None:
    """One about each Lookup, of another kind each time, and one about an output."""
    case = proving_case(name)
    about_cells = [lies(case, node, site) for node, site in sites(case.plan)]
    chosen = [told[number % len(told)] for number, told in enumerate(about_cells, start=len(name))]
    for lie in (*chosen, other_outputs(case)[0]):
        assert_refused(case, lie)


def assert_refused(case: Case, lie: Lie) -> None:
    """The prover's messages break a constraint, and so the verifier refuses the proof."""
    attempt = prove(case, lie)
    assert attempt.failing
    with pytest.raises(InvalidProofError, match=CONSTRAINT_CHECK):
        verify(case, attempt.proof, attempt.publics)


def test_every_kind_of_lie_about_every_form_of_lookup_is_refused() -> None:
    """Forms differ in what the table is to the verifier (a range, pieces, rows), and in how remainders are cut."""
    found: dict[tuple[type, tuple[int, ...]], tuple[Case, Lookup, LookupSite]] = {}
    for case in sorted(map(proving_case, CASES), key=lambda case: len(case.plan.sites)):
        for node, site in sites(case.plan):
            assert case.plan.instance is not None
            block = case.plan.instance.blocks[site.blocks[0][0]]
            found.setdefault((type(case.plan.instance.tables[block.table]), site.limb_bits), (case, node, site))
    assert {table for table, _ in found} == {RangeTable, PiecewiseTable, ExplicitTable}
    assert max(len(limbs) for _, limbs in found) > 1
    for case, node, site in found.values():
        rng = np.random.default_rng(site.value)
        for told in lies_about(case, node, site, places(site.cut.shape, rng)[0], rng):
            if (lie := told.told(case)) is not None:
                assert_refused(case, lie)
