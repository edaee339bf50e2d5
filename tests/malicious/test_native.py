"""Cheating provers of the native argument: honest but for one lie, and consistent with it afterwards.

Messages are padded, so that the verifier refuses a lie with one check: the pads do not satisfy the linear constraints.
Which check of the protocol it is, the prover knows; each test names it. Where it takes only a few lines, the test also
takes the check away, and the lie passes: it is this check that stops it.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from msgspec.structs import replace
from support.both_verifiers import cheap_boxes
from support.native_prover import (
    SMALL,
    Attempt,
    Case,
    Lie,
    commit_weights,
    fresh,
    make_case,
    prove,
    small,
    verify,
)
from support.random_statements import random_case
from support.two_layer_program import ANSWER, CLAMP, HIDDEN, INPUT, LOGITS, PROGRAM, SUMS, WEIGHTS, V, X

from zkinfer.circuit.evaluate import evaluate, evaluate_einsum
from zkinfer.circuit.program import Einsum, Lookup, Program, Tensor
from zkinfer.circuit.table import Table
from zkinfer.errors import InvalidProofError, MalformedProofError, ProvingError, VerificationError
from zkinfer.native.witness import Witness
from zkinfer.protocol.channel import Channel
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, Ext, ext_add
from zkinfer.protocol.lookup import protocol as lookup
from zkinfer.protocol.lookup.protocol import SUM_CHECK
from zkinfer.protocol.pads import protocol as pads
from zkinfer.protocol.pads.protocol import CONSTRAINT_CHECK
from zkinfer.protocol.pcs import protocol as pcs_verifier
from zkinfer.protocol.pcs.protocol import CLAIMS_CHECK as OPENING_CHECK
from zkinfer.protocol.pcs.prover import commit
from zkinfer.protocol.reduction import opening
from zkinfer.protocol.reduction import plan as planning
from zkinfer.protocol.reduction.opening import WEIGHT_CHECK
from zkinfer.protocol.reduction.reduce import GATHER_CHECK
from zkinfer.protocol.reduction.reduce import SUM_CHECK as PARTS_CHECK
from zkinfer.protocol.sumcheck.protocol import FINAL_CHECK
from zkinfer.protocol.transcript import Transcript
from zkinfer.typing import IntArray

Remove = Callable[..., None]
Patch = pytest.MonkeyPatch

OUTPUT = PROGRAM.num_values
"""The key of the first public output."""


def case(private_inputs: bool = False, private_outputs: bool = False) -> Case:
    return make_case(PROGRAM, WEIGHTS, [INPUT], (private_inputs,), (private_outputs,) * 2)


CASE = case()


@pytest.fixture
def remove(monkeypatch: Patch) -> Remove:
    """remove(check, ...): neither side makes these checks any more."""
    honest = Channel.require_zero

    def remove(*checks: str) -> None:
        def require_zero(self: Channel, check: str, form: Any) -> None:
            if check not in checks:
                honest(self, check, form)

        monkeypatch.setattr(Channel, "require_zero", require_zero)

    return remove


def refused(case: Case, lie: Lie) -> Attempt:
    """An attempt that the verifier refuses, as the pads do not fit it."""
    attempt = prove(case, lie)
    with pytest.raises(InvalidProofError, match=CONSTRAINT_CHECK):
        verify(case, attempt.proof, attempt.publics)
    return attempt


def refused_by(checks: set[str], remove: Remove, case: Case, lie: Lie) -> None:
    """These checks refuse the lie, and without them it is accepted."""
    assert refused(case, lie).failing == checks
    remove(*checks)
    attempt = prove(case, lie)
    verify(case, attempt.proof, attempt.publics)


def later(values: dict[int, IntArray]) -> None:
    """Everything behind the hidden values, computed again."""
    values[LOGITS] = evaluate_einsum("b,cb->c", [values[HIDDEN], values[V]], 1 << 20)
    values[ANSWER] = (values[LOGITS] + 2) >> 2


def hidden(change: int, at: tuple[int, int]) -> Callable[[dict[int, IntArray]], None]:
    """An execution with one hidden value changed."""

    def execution(values: dict[int, IntArray]) -> None:
        values[HIDDEN] = values[HIDDEN].copy()
        values[HIDDEN][at] += change
        later(values)

    return execution


def site(value: int) -> planning.LookupSite:
    return next(site for site in CASE.plan.sites if site.value == value)


def columns(witness: Witness, value: int) -> list[npt.NDArray[np.float64]]:
    """Index, output and remainder of a lookup's largest box, which begins at the tensor's first element."""
    index, *limbs = (witness.blocks[number] for number in site(value).blocks[0])
    assert len(limbs) == 1
    return [*index, *limbs[0]]


def where_remainder(wanted: int) -> int:
    """A place of the largest box where the remainder of the clamp is this one, with room for other indices."""
    found: list[int] = []

    def look(witness: Witness) -> None:
        index, _, remainder = columns(witness, HIDDEN)
        found.extend(int(i) for i in np.flatnonzero(inside_tensor() & (remainder == wanted) & (np.abs(index) < 20)))

    prove(CASE, Lie(witness=look))
    return found[0]


def inside_tensor() -> npt.NDArray[np.bool_]:
    """Of each place of the largest box of the hidden values whether it is one of the tensor, not behind it."""
    cut = site(HIDDEN).cut
    inside: npt.NDArray[np.bool_] = cut.take(np.ones(cut.shape, dtype=np.bool_), cut.boxes[0])
    return inside


def place(flat: int) -> tuple[int, int]:
    """A place of the largest box as an index of the tensor."""
    (box, *_), cut = site(HIDDEN).cut.boxes, site(HIDDEN).cut
    tensor = np.arange(np.prod(cut.shape)).reshape(cut.shape)
    run, unit = np.unravel_index(int(cut.take(tensor, box)[flat]), cut.shape)
    return int(run), int(unit)


def test_an_honest_proof_is_accepted() -> None:
    attempt = prove(CASE)
    assert not attempt.failing
    verify(CASE, attempt.proof)


@pytest.mark.parametrize("direct_cells", [0, 8])
@pytest.mark.parametrize("private", [(False, True), (True, False), (True, True)])
def test_honest_proofs_of_hidden_values_are_accepted(
    private: tuple[bool, bool], direct_cells: int, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(opening, "DIRECT_CELLS", direct_cells)
    hiding = make_case(PROGRAM, [*WEIGHTS], [INPUT], private[:1], private[1:] * 2)
    verify(hiding, prove(hiding).proof)


# Outputs and inputs


@pytest.mark.parametrize("change", [1, -1])
@pytest.mark.parametrize("output", [0, 1])
def test_a_wrong_output(output: int, change: int, remove: Remove) -> None:
    """Only the statement is another: a sumcheck starts from a claim that its sum is not."""

    def publics(publics: dict[int, IntArray]) -> None:
        publics[OUTPUT + output][1, 0] += change

    refused_by({FINAL_CHECK}, remove, CASE, Lie(publics=publics))


def test_a_wrong_output_that_is_committed_too(remove: Remove) -> None:
    """The answer's cell is the wrong one; the range of answers has it, its source has another remainder then."""

    def execution(values: dict[int, IntArray]) -> None:
        values[ANSWER] = values[ANSWER].copy()
        values[ANSWER][0, 0] += 1

    def witness(witness: Witness) -> None:
        answer, _ = columns(witness, ANSWER)
        answer[0] += 1

    refused_by({FINAL_CHECK}, remove, CASE, Lie(execution=execution, witness=witness))


def test_a_wrong_input(remove: Remove) -> None:
    """The prover computes with the true one, the statement has another."""

    def publics(publics: dict[int, IntArray]) -> None:
        publics[X][2, 4] += 1

    refused_by({PARTS_CHECK}, remove, CASE, Lie(publics=publics))


def test_a_hidden_input_beyond_its_bounds(remove: Remove) -> None:
    def execution(values: dict[int, IntArray]) -> None:
        x = values[X].copy()
        x[0, 0] = 9
        wide = replace(PROGRAM, inputs=(replace(PROGRAM.inputs[0], hi=9),))
        values.update(enumerate(evaluate(wide, WEIGHTS, [x])))

    refused_by({SUM_CHECK}, remove, case(private_inputs=True), Lie(execution=execution))


@pytest.mark.parametrize(("direct_cells", "check"), [(8, FINAL_CHECK), (0, FINAL_CHECK)])
@pytest.mark.parametrize("cell", [0, 5])
def test_a_hidden_output_other_than_the_committed(
    cell: int, direct_cells: int, check: str, remove: Remove, monkeypatch: Patch
) -> None:
    """Its root, which the statement names, is of another value: the claim on it is false, and so is its opening."""
    monkeypatch.setattr(opening, "DIRECT_CELLS", direct_cells)

    def counts(witness: Witness) -> None:
        witness.stacks[1][cell] += 1

    attempt = refused(case(private_outputs=True), Lie(counts=counts))
    assert attempt.failing & {check, FINAL_CHECK}
    remove(*attempt.failing)
    hiding = case(private_outputs=True)
    verify(hiding, prove(hiding, Lie(counts=counts)).proof)


# Lookups


@pytest.mark.parametrize(("remainder", "unit"), [(0, -1), (7, 1), (3, -1), (3, 1)])
def test_a_lookup_rounded_to_the_other_side(remainder: int, unit: int, remove: Remove) -> None:
    """Index and remainder moved by one unit, 2^3: the remainder is 2^3, -1 or further out, and in no range."""
    flat = where_remainder(remainder)
    index = int(CASE.values[SUMS][place(flat)] + 4 >> 3)
    change = int(CLAMP.array[index + unit + 25] - CLAMP.array[index + 25])

    def witness(witness: Witness) -> None:
        indices, outputs, remainders = columns(witness, HIDDEN)
        indices[flat] += unit
        remainders[flat] -= 8 * unit
        outputs[flat] = CLAMP.array[index + unit + 25]

    refused_by({SUM_CHECK}, remove, CASE, Lie(execution=hidden(change, place(flat)), witness=witness))


@pytest.mark.parametrize("unit", [1, -1])
def test_an_index_that_is_not_the_sources(unit: int, remove: Remove) -> None:
    """Index and output of a neighbouring row, the remainder as it was: they do not make up the source."""
    flat = where_remainder(3)
    index = int(CASE.values[SUMS][place(flat)] + 4 >> 3)
    change = int(CLAMP.array[index + unit + 25] - CLAMP.array[index + 25])

    def witness(witness: Witness) -> None:
        indices, outputs, _ = columns(witness, HIDDEN)
        indices[flat] += unit
        outputs[flat] = CLAMP.array[index + unit + 25]

    refused_by({FINAL_CHECK}, remove, CASE, Lie(execution=hidden(change, place(flat)), witness=witness))


def test_another_lookup_behind_a_tensor(remove: Remove) -> None:
    """What is looked up there is a constant of the program: another row of the table is not a lookup of it."""
    flat = int(np.flatnonzero(~inside_tensor())[0])

    def witness(witness: Witness) -> None:
        indices, outputs, remainders = columns(witness, HIDDEN)
        assert (indices[flat], remainders[flat]) == (0, 0)
        indices[flat] += 1
        outputs[flat] = CLAMP.array[1 + 25]

    refused_by({FINAL_CHECK}, remove, CASE, Lie(witness=witness))


@pytest.mark.parametrize("box", range(4))
def test_an_index_of_one_of_several_boxes_that_is_not_the_sources(box: int, remove: Remove) -> None:
    """The boxes' claims are gathered, and none is lost."""
    with cheap_boxes():
        several = case()
    numbers = next(one for one in several.plan.sites if one.value == HIDDEN).blocks[box]

    def witness(witness: Witness) -> None:
        index, output = witness.blocks[numbers[0]]
        unit = 1 if index[0] < 20 else -1
        index[0] += unit
        output[0] = CLAMP.array[int(index[0]) + 25]

    assert refused(several, Lie(witness=witness)).failing == {FINAL_CHECK}


@pytest.mark.parametrize("change", [1, -1, 13])
def test_an_output_that_is_not_in_the_row(change: int, remove: Remove) -> None:
    """Wrong rounding, or wrong saturation: index and remainder are right, the output is not the table's."""
    flat = where_remainder(3)

    def witness(witness: Witness) -> None:
        columns(witness, HIDDEN)[1][flat] += change

    refused_by({SUM_CHECK}, remove, CASE, Lie(execution=hidden(change, place(flat)), witness=witness))


@pytest.mark.parametrize("table", [0, 1, 2])
def test_a_multiplicity_moved_to_another_row(table: int, remove: Remove) -> None:
    def counts(witness: Witness) -> None:
        counts = witness.counts[table]
        row = int(counts.argmax())
        counts[row] -= 1
        counts[row - 1] += 1
        (offset,) = CASE.plan.layouts[planning.WITNESS].offsets[CASE.plan.multiplicities[table]]
        witness.stacks[-1][offset : offset + len(counts)] = counts

    refused_by({SUM_CHECK}, remove, CASE, Lie(counts=counts))


@pytest.mark.parametrize("direct_cells", [0, 8])
def test_other_columns_looked_up_than_committed(direct_cells: int, remove: Remove, monkeypatch: Patch) -> None:
    """The lookup argument is made of true columns, the committed cell is another: the claim on it is false."""
    monkeypatch.setattr(opening, "DIRECT_CELLS", direct_cells)

    def witness(witness: Witness) -> None:
        number = site(HIDDEN).blocks[0][0]
        index, output = witness.blocks[number]
        witness.blocks[number] = [index, output.copy()]
        output[0] += 1

    attempt = refused(CASE, Lie(witness=witness))
    assert attempt.failing
    assert attempt.failing <= {FINAL_CHECK, OPENING_CHECK}
    remove(*attempt.failing)
    verify(CASE, prove(CASE, Lie(witness=witness)).proof)


@pytest.mark.parametrize("direct_cells", [0, 8])
def test_an_output_committed_other_than_looked_up(direct_cells: int, monkeypatch: Patch) -> None:
    """A wrong output in the matrix and in all that follows from it; the lookup argument alone is of the true one.

    Nothing but the claim that the columns looked up are those committed can tell.
    """
    monkeypatch.setattr(opening, "DIRECT_CELLS", direct_cells)

    def witness(witness: Witness) -> None:
        number = site(HIDDEN).blocks[0][0]
        index, output = witness.blocks[number]
        witness.blocks[number] = [index, output.copy()]
        output[0] += 1

    attempt = refused(CASE, Lie(execution=hidden(1, place(0)), witness=witness))
    assert attempt.failing
    assert attempt.failing <= {FINAL_CHECK, OPENING_CHECK}


def test_a_limb_committed_other_than_looked_up() -> None:
    """The remainder that is looked up and added is right; that it was fixed before the challenges is the claim."""

    def witness(witness: Witness) -> None:
        number = site(HIDDEN).blocks[0][1]
        (limb,) = witness.blocks[number]
        witness.blocks[number] = [limb.copy()]
        limb[0] += 1

    attempt = refused(CASE, Lie(witness=witness))
    assert attempt.failing
    assert attempt.failing <= {FINAL_CHECK, OPENING_CHECK}


# A field that is too small


WIDE = Table("wide", -8, tuple(i % 7 for i in range(1 << 12)))


def wide_program(shift: int) -> Program:
    """One lookup of x * w, after a shift."""
    nodes = (
        Einsum(Tensor("product", (2,), 0, -16, 16), "a,a->a", (0, 1)),
        Lookup(Tensor("looked up", (2,), 0, 0, 6), 2, 0, shift),
    )
    return Program(1, (Tensor("x", (2,), 0, -4, 4),), (Tensor("w", (2,), 0, -4, 4),), (WIDE,), nodes, (3,))


def test_an_accumulator_that_wraps_around(monkeypatch: Patch) -> None:
    """x + P is x: where rows times 2^shift exceed P, its index is in the table, too, and its output another.

    Plans of such programs are refused. If they were not, the verifier would accept the lie.
    """
    program, shift = wide_program(39), 39
    with pytest.raises(ProvingError, match="a shift by 39 bits does not fit the field"):
        make_case(program, [np.array([1, 2])], [np.array([[3, 4]])])
    monkeypatch.setattr(planning, "check_program", lambda program: None)
    wrapped = make_case(program, [np.array([1, 2])], [np.array([[3, 4]])])
    (place,) = wrapped.plan.sites
    lifted = 3 + (1 << shift - 1) + P
    index, rest = lifted >> shift, lifted % (1 << shift)
    assert WIDE.lo <= index <= WIDE.hi
    false = int(WIDE.array[index - WIDE.lo])
    assert false != wrapped.values[3][0, 0]

    def execution(values: dict[int, IntArray]) -> None:
        values[3] = np.array([[false, int(values[3][0, 1])]])

    def witness(witness: Witness) -> None:
        numbers, left = place.blocks[0], rest
        witness.blocks[numbers[0]][0][0] = index
        witness.blocks[numbers[0]][1][0] = false
        for number, bits in zip(numbers[1:], place.limb_bits, strict=True):
            witness.blocks[number][0][0] = left & ((1 << bits) - 1)
            left >>= bits

    attempt = prove(wrapped, Lie(execution=execution, witness=witness))
    assert not attempt.failing
    verify(wrapped, attempt.proof, attempt.publics)


def test_the_largest_shift_that_fits_has_one_decomposition() -> None:
    """Rows times 2^shift at most P: the two nearest integers that are equal to x are in no row."""
    assert len(WIDE.values) << 37 <= P < len(WIDE.values) << 38
    with pytest.raises(ProvingError):
        planning.check_program(wide_program(38))
    planning.check_program(wide_program(37))
    for x in (-16, 16):
        for lifted in (x - P, x + P):
            assert not WIDE.lo <= lifted + (1 << 36) >> 37 <= WIDE.hi


# Cells that nobody asks for


def test_garbage_behind_the_last_vector_does_not_matter() -> None:
    """Cells of no vector have no weight in any claim. They help no lie either."""
    longer = make_case(PROGRAM, WEIGHTS, [INPUT], sizes=small(3))
    filled = longer.plan.layouts[planning.WITNESS].cells

    def counts(witness: Witness) -> None:
        assert filled < len(witness.stacks[-1])
        witness.stacks[-1][filled:] = np.random.default_rng(2).integers(
            -(1 << 40), 1 << 40, len(witness.stacks[-1]) - filled
        )

    attempt = prove(longer, Lie(counts=counts))
    assert not attempt.failing
    verify(longer, attempt.proof)

    def publics(publics: dict[int, IntArray]) -> None:
        publics[OUTPUT][0, 0] += 1

    assert refused(longer, Lie(counts=counts, publics=publics)).failing == {FINAL_CHECK}


def test_garbage_behind_the_last_weight_does_not_matter() -> None:
    cases = map(random_case, range(50))
    case = next(c for c in cases if c.plan.layouts[planning.WEIGHTS].cells < c.matrix.data.size)
    data = case.matrix.data.copy()
    data.reshape(-1)[case.plan.layouts[planning.WEIGHTS].cells :] = 77
    owner = dataclasses.replace(case, matrix=commit(case.sizes.weights.code, data, 0))
    attempt = prove(owner)
    assert not attempt.failing
    verify(owner, attempt.proof)


@pytest.mark.parametrize("seed", range(12))
def test_no_committed_cell_can_be_another(seed: int) -> None:
    """Random programs, a random cell of each matrix of the witness: whatever it holds, one value is accepted."""
    random, rng = random_case(seed), np.random.default_rng(seed)
    for number, matrix in enumerate((planning.INPUTS, planning.OUTPUTS, planning.WITNESS)):
        cells = cells_of(random, matrix)
        for cell in rng.permutation(cells)[:3]:
            assert prove(random, Lie(counts=moved(number, int(cell), int(rng.choice([-1, 1]))))).failing


def cells_of(case: Case, matrix: int) -> IntArray:
    """The cells of a matrix that hold an element of a tensor, not what lies behind one."""
    layout = case.plan.layouts[matrix]
    found = []
    for cut, offsets in zip(layout.cuts, layout.offsets, strict=True):
        for box, offset in zip(cut.boxes, offsets, strict=True):
            found += [offset + np.flatnonzero(cut.take(np.ones(cut.shape, dtype=np.int64), box))]
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)


def test_what_is_committed_behind_a_hidden_output_does_not_matter() -> None:
    """The statement is about the tensor: no functional reads the other places of its boxes."""
    hiding = case(private_outputs=True)
    behind = set(range(hiding.plan.layouts[planning.OUTPUTS].cells)) - set(cells_of(hiding, planning.OUTPUTS).tolist())
    for cell in sorted(behind)[:2]:
        attempt = prove(hiding, Lie(counts=moved(1, cell, 12345)))
        assert not attempt.failing
        verify(hiding, attempt.proof)


def moved(stack: int, cell: int, change: int) -> Callable[[Witness], None]:
    """A cell and what is looked up in it, changed, after everything was counted."""

    def counts(witness: Witness) -> None:
        witness.stacks[stack][cell] += change

    return counts


# Weights


def other_weights() -> list[IntArray]:
    """Two rows of W swapped."""
    return [WEIGHTS[0][[1, 0, 2]], WEIGHTS[1]]


def test_weights_that_are_not_the_published_ones() -> None:
    """An honest proof of a model with two rows of weights swapped, held against the published commitment."""
    swapped = make_case(PROGRAM, other_weights(), [INPUT])
    attempt = prove(swapped)
    verify(swapped, attempt.proof)
    with pytest.raises(VerificationError):
        verify(CASE, attempt.proof, attempt.publics)


def stale() -> Any:
    """The matrix of the swapped weights under the published root."""
    matrix = commit_weights(PROGRAM, other_weights())
    return dataclasses.replace(fresh(CASE), data=matrix.data, blinding=matrix.blinding, leaves=matrix.leaves)


def swapped_execution(values: dict[int, IntArray]) -> None:
    values.update(enumerate(evaluate(PROGRAM, other_weights(), [INPUT])))


def test_a_stale_codeword_under_the_published_root(monkeypatch: Patch) -> None:
    """All messages fit the swapped weights; the columns that are shown are not those under the root."""
    lie = Lie(execution=swapped_execution, weights=stale())
    attempt = prove(CASE, lie)
    assert not attempt.failing
    with pytest.raises(InvalidProofError, match="not those that were committed"):
        verify(CASE, attempt.proof, attempt.publics)
    monkeypatch.setattr(pcs_verifier, "check_leaves", lambda *_: None)
    verify(CASE, attempt.proof, attempt.publics)


def test_combinations_of_other_weights_than_the_columns_shown(monkeypatch: Patch) -> None:
    """The columns are the published ones, the combinations those of the swapped weights."""
    swapped = commit_weights(PROGRAM, other_weights())
    lie = Lie(execution=swapped_execution, weights=dataclasses.replace(fresh(CASE), data=swapped.data))
    attempt = prove(CASE, lie)
    assert not attempt.failing
    with pytest.raises(InvalidProofError, match="does not agree with the committed columns"):
        verify(CASE, attempt.proof, attempt.publics)
    monkeypatch.setattr(pcs_verifier, "_check_columns", lambda *_: None)
    verify(CASE, attempt.proof, attempt.publics)


# Messages


LEAF_CHECKS = {
    lookup.ENTRY_NUMERATOR_CHECK,
    lookup.ENTRY_DENOMINATOR_CHECK,
    lookup.ROW_NUMERATOR_CHECK,
    lookup.ROW_DENOMINATOR_CHECK,
}


def split_case(monkeypatch: Patch) -> Case:
    """Claims are opened directly and summed, and tensors have several boxes, so that some claims are split."""
    monkeypatch.setattr(opening, "DIRECT_CELLS", 0)
    with cheap_boxes():
        return case(private_inputs=True, private_outputs=True)


@pytest.mark.parametrize(
    ("label", "checks"),
    [
        ("private output", {FINAL_CHECK, OPENING_CHECK, PARTS_CHECK}),
        ("parts of a claim", {FINAL_CHECK, OPENING_CHECK}),
        ("sums over units", {FINAL_CHECK}),
        ("lookup roots", {SUM_CHECK, lookup.DENOMINATOR_CHECK, FINAL_CHECK, lookup.ENTRY_NUMERATOR_CHECK}),
        ("lookup inverses", {lookup.DENOMINATOR_CHECK, SUM_CHECK}),
        ("lookup multiplicities", {lookup.ROW_NUMERATOR_CHECK, OPENING_CHECK, FINAL_CHECK}),
        ("lookup block", {lookup.ENTRY_DENOMINATOR_CHECK, PARTS_CHECK, OPENING_CHECK, FINAL_CHECK}),
        ("sumcheck round", {FINAL_CHECK}),
        ("sumcheck evaluations", {FINAL_CHECK, WEIGHT_CHECK, GATHER_CHECK, OPENING_CHECK, *LEAF_CHECKS}),
    ],
)
def test_a_message_that_is_off_by_one(label: str, checks: set[Any], remove: Remove, monkeypatch: Patch) -> None:
    """The first element of the first, a middle and the last message of each kind; all after it as if it were true."""
    hiding = split_case(monkeypatch)
    numbers = [i for i, (name, _) in enumerate(prove(hiding).labels) if name == label]
    failing: set[str] = set()
    for number in {numbers[0], numbers[len(numbers) // 2], numbers[-1]}:
        lie = Lie(send=off_by_one(number))
        found = refused(hiding, lie).failing
        assert found
        assert found <= checks
        failing |= found
    remove(*failing)
    verify(hiding, prove(hiding, Lie(send=off_by_one(numbers[0]))).proof)


def test_every_weight_of_gathered_boxes_counts() -> None:
    """The first evaluation of the gathered boxes' sumcheck is one of their weights, which the verifier knows."""
    with cheap_boxes():
        several = case(private_inputs=True)
    labels = [name for name, _ in prove(several).labels]
    first = next(i for i, name in enumerate(labels) if i > labels.index("lookup multiplicities") and "eval" in name)
    assert GATHER_CHECK in refused(several, Lie(send=off_by_one(first))).failing
    assert GATHER_CHECK not in refused(several, Lie(send=off_by_one(first, 1))).failing


def off_by_one(number: int, element: int = 0) -> Callable[[int, str, list[Ext]], list[Ext]]:
    def send(current: int, label: str, values: list[Ext]) -> list[Ext]:
        return [ext_add(v, ONE) if (current, i) == (number, element) else v for i, v in enumerate(values)]

    return send


def test_every_element_of_every_message_counts(monkeypatch: Patch) -> None:
    """None can be changed: a sample of all elements, each with all that follows made from true values."""
    hiding = split_case(monkeypatch)
    labels = prove(hiding).labels
    elements = [(number, i) for number, (_, count) in enumerate(labels) for i in range(count)]
    for number, element in elements[:: max(1, len(elements) // 24)]:
        attempt = prove(hiding, Lie(send=off_by_one(number, element)))
        assert attempt.failing, f"element {element} of message {number}, {labels[number]}"


def test_bytes_changed_on_the_way_change_the_challenges() -> None:
    """The prover's later messages fit the challenges that its own message led to, not the verifier's."""
    proof = prove(CASE).proof
    for position in range(0, len(proof.message), 21 * 7):
        changed = bytearray(proof.message)
        changed[position] ^= 1
        with pytest.raises(VerificationError):
            verify(CASE, replace(proof, message=bytes(changed)))


# Pads


def test_messages_padded_with_other_pads_than_committed(monkeypatch: Patch) -> None:
    """Each pad of a sample: what the verifier subtracts is not what was added."""
    count = len(prove(CASE).labels)
    for number in range(0, count, max(1, count // 12)):
        assert refused(CASE, Lie(pads=other_pad(number))).failing
    monkeypatch.setattr(pads, "require", lambda check, holds: None)
    verify(CASE, prove(CASE, Lie(pads=other_pad(0))).proof)


def other_pad(number: int) -> Callable[[list[Ext]], list[Ext]]:
    def change(pads: list[Ext]) -> list[Ext]:
        return [ext_add(pad, ONE) if i == number else pad for i, pad in enumerate(pads)]

    return change


def test_a_pad_used_twice_is_not_the_one_that_was_committed() -> None:
    """Reusing a pad would show the difference of two elements; the proof about the pads does not allow it."""
    assert refused(CASE, Lie(pads=lambda pads: [pads[0], pads[0], *pads[2:]])).failing


# Work


def test_work_before_the_lookup_challenges_is_checked(monkeypatch: Patch) -> None:
    header = replace(SMALL.header, lookup_grinding=12)
    hard = dataclasses.replace(CASE, sizes=dataclasses.replace(SMALL, header=header))
    attempt = prove(hard)
    verify(hard, attempt.proof)
    with monkeypatch.context() as patch:
        patch.setattr(Transcript, "solve", lambda self, label, bits: 0)
        patch.setattr("zkinfer.protocol.transcript._solves", lambda output, bits: True)
        lazy = prove(hard).proof
    with pytest.raises(InvalidProofError, match="bits of work"):
        verify(hard, lazy)


def test_a_proof_that_commits_to_other_matrices_than_needed() -> None:
    proof = prove(CASE).proof
    root = proof.roots[2]
    for roots in [(root, b"", root), (b"", root, root), (b"", b"", b"")]:
        with pytest.raises(VerificationError):
            verify(CASE, replace(proof, roots=roots))
    with pytest.raises(MalformedProofError, match="masks another opening"):
        verify(CASE, replace(proof, masks=b""))
