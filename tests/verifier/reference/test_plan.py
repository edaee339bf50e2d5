"""The reference verifier's plan against its definitions."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkinfer.circuit.limbs import limb_cuts
from zkinfer.circuit.program import Delay, Lookup, Node, Program, Tensor, Term, View, node_sources
from zkinfer.circuit.regions import varying
from zkinfer.circuit.steps import Transpose
from zkinfer.circuit.table import Table
from zkinfer.circuit.validate import validate
from zkinfer.errors import MalformedCommitmentError, VerifierUnavailableError
from zkinfer.protocol.field.params import P
from zkinfer.protocol.reduction.boxes import cover
from zkinfer.verifier.reference import plan
from zkinfer.verifier.reference.plan import Matrix, boxes_of, limb_bits
from zkinfer.verifier.reference.weight_ranges import RangePlan

SHAPES = [(1, 7), (3, 5, 7, 9), (2, 33, 65), (1, 62, 62), (), (255, 3, 41)]
LARGE = [(196, 170), (342, 97)]
"""Where a box would have to cost a 29th, or a 36th, of the tensor for another cover."""


@pytest.mark.parametrize("shape", [*SHAPES, *LARGE])
def test_boxes_are_those_of_the_fast_verifier(shape: tuple[int, ...]) -> None:
    boxes, cut = boxes_of(shape), cover(shape)
    assert [(box.start, box.exponents) for box in boxes] == [(box.starts, box.variables) for box in cut.boxes]
    numbers = np.arange(math.prod(shape)).reshape(shape)
    for own, box in zip(boxes, cut.boxes, strict=True):
        assert [-1 if at is None else at for at in own.places] == cut.take(numbers, box, -1).tolist()


def test_the_boxes_of_a_matrix_do_not_overlap_and_lie_in_units_of_whole_rows() -> None:
    matrix, log_columns = Matrix(), 2
    for shape in ((3, 5), (1,), (2, 7)):
        matrix.add(boxes_of(shape))
    cells: list[int] = []
    for vector, boxes in enumerate(matrix.vectors):
        for number, box in enumerate(boxes):
            offset = matrix.offset(vector, number)
            cells += range(offset, offset + (1 << box.variables))
            start, k = matrix.unit(log_columns, offset, box.variables)
            assert start % (1 << log_columns) == 0
            assert k >= log_columns
            assert start <= offset
            assert offset + (1 << box.variables) <= start + (1 << k)
    assert sorted(cells) == list(range(matrix.cells))


@pytest.mark.parametrize("shift", range(41))
@pytest.mark.parametrize("elements", [1, 100, 10**6])
def test_limbs_make_up_the_remainder(shift: int, elements: int) -> None:
    bits = limb_bits({shift: elements})[shift]
    assert sum(bits) == shift
    assert all(1 <= b <= 20 for b in bits)
    assert len(set(bits[:-1])) <= 1


@given(counts=st.dictionaries(st.integers(0, 48), st.integers(0, 2**28), max_size=12))
def test_remainders_are_cut_as_the_prover_cuts_them(counts: dict[int, int]) -> None:
    assert {shift: tuple(bits) for shift, bits in limb_bits(counts).items()} == limb_cuts(counts)


@pytest.mark.parametrize(("terms", "steps"), [(5000, 1), (2, 5000)])
def test_views_that_read_too_much_are_refused_before_any_work(
    terms: int, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few kilobytes, as equal terms and steps are packed well; every place would be followed through every step."""
    monkeypatch.setattr(plan, "Intervals", lambda _: pytest.fail("work has begun"))
    x, turned = Tensor("x", (32, 32), 0, 0, 0), Term(0, 1, (Transpose((1, 0)),) * steps)
    program = Program(1, (x,), (), (), (View(x, (turned,) * terms),), (1,))
    with pytest.raises(VerifierUnavailableError, match=f"Views read up to {plan.MAX_READ}"):
        plan.Plan(program, 1, (False,), (False,))


def test_what_depends_on_an_input_is_found_in_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of many states reads the state of the next one, a step before: one pass over all nodes tells of one more."""
    states = 30
    sign, unit = Table("sign", -1, (-1, 0, 1)), Tensor("s", (3, 1), 0, -1, 1)
    first = 2  # behind the input and the weight that all states begin with
    delays = [Delay(unit, 1, first + states + i) for i in range(states)]
    lookups = [Lookup(unit, first + i + 1, 0, 0) for i in range(states - 1)] + [Lookup(unit, 0, 0, 0)]
    begin = Tensor("w", (1, 1), 0, -1, 1)
    program = Program(1, (unit,), (begin,), (sign,), (*delays, *lookups), (first + states,))
    validate(program)
    seen: list[Node] = []

    def counted(node: Node) -> tuple[int, ...]:
        seen.append(node)
        return node_sources(node)

    monkeypatch.setattr(plan, "node_sources", counted)
    found = plan._varies(program)
    assert len(seen) == len(program.nodes)
    assert found == [True, False, *[True] * (2 * states)] == list(varying(program))


X = Tensor("x", (1, 2), 0, -1, 1)
SIGN = Table("sign", -1, (-1, 0, 1))


def signs(x: Tensor = X, table: Table = SIGN, y: Tensor = X) -> Program:
    """A table of each element."""
    return Program(1, (x,), (), (table,), (Lookup(y, 0, 0, 0),), (1,))


def test_a_plan_is_of_one_run_at_least() -> None:
    plan.Plan(signs(), 1, (False,), (False,))
    with pytest.raises(MalformedCommitmentError, match="one run"):
        plan.Plan(signs(), 0, (False,), (False,))


def test_stated_bounds_and_entries_that_nothing_reaches_have_to_fit_the_field() -> None:
    wide = Tensor("y", (1, 2), 0, -1, P // 2 + 1)
    with pytest.raises(MalformedCommitmentError, match="a value does not fit"):
        plan.Plan(signs(y=wide), 1, (False,), (False,))
    far = Table("far", -1, (-1, 0, 1, P // 2 + 1))
    with pytest.raises(MalformedCommitmentError, match="a table does not fit"):
        plan.Plan(signs(table=far), 1, (False,), (False,))


@pytest.mark.parametrize(("hi", "fits"), [((1 << 20) - 1, True), (1 << 20, False)])
def test_a_private_input_takes_no_more_values_than_a_table_has_rows(hi: int, fits: bool) -> None:
    x = Tensor("x", (1, 2), 0, 0, hi)
    program = Program(1, (x,), (), (), (View(x, (Term(0, 1, ()),)),), (1,))
    plan.Plan(program, 1, (False,), (False,))
    if fits:
        plan.Plan(program, 1, (True,), (False,))
        return
    with pytest.raises(MalformedCommitmentError, match="too large a range"):
        plan.Plan(program, 1, (True,), (False,))


def test_a_proof_about_weights_needs_weights() -> None:
    with pytest.raises(MalformedCommitmentError, match="no weights"):
        RangePlan(signs())
