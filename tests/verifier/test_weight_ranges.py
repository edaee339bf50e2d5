"""The proof that all committed weights lie within their published bounds, against owners who lie."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from unittest import mock

import msgspec
import numpy as np
import pytest
from support.false_programs import HONEST
from support.native_prover import Case, Sizes, prove
from support.range_prover import claimed_in_bounds, committed

from zkinfer.circuit.program import Einsum, Program, Tensor, Term, View
from zkinfer.circuit.steps import Reshape
from zkinfer.errors import InvalidProofError, MalformedCommitmentError, ProvingError, VerificationError
from zkinfer.files.commitment import Commitment
from zkinfer.files.native_key import NativeVerifyingKey
from zkinfer.files.proof import OutputTensor, Proof
from zkinfer.files.statement import Statement
from zkinfer.native.prove import header_for
from zkinfer.native.weight_ranges import RangeColumns
from zkinfer.protocol.field.params import P
from zkinfer.protocol.native_proof.encoding import encode
from zkinfer.protocol.pads.params import PadParameters
from zkinfer.protocol.reduction import weight_ranges as protocol
from zkinfer.protocol.reduction.plan import WEIGHTS, WITNESS, check_program, make_plan
from zkinfer.protocol.reduction.weight_ranges import RangePlan, make_range_plan
from zkinfer.typing import Array, IntArray
from zkinfer.verifier import native, reference, verify, weight_ranges
from zkinfer.verifier.reference import weight_ranges as reference_ranges
from zkinfer.verifier.weight_ranges import RangeCheck, weight_range_bits

CHECKS = pytest.mark.parametrize("check", [native.check_ranges, reference.check_ranges], ids=["python", "reference"])


def program(*bounds: tuple[int, int], size: int = 5) -> Program:
    """A program with weights of so many elements, and these bounds."""
    weights = tuple(Tensor(f"w{i}", (size,), 0, lo, hi) for i, (lo, hi) in enumerate(bounds))
    x = Tensor("x", (1, size), 0, -3, 3)
    nodes = tuple(Einsum(Tensor("y", (1,), 0, -1, 1), "bi,i->b", (0, 1 + i)) for i in range(len(weights)))
    return Program(1, (x,), weights, (), nodes, (1 + len(weights),))


NARROW = program((-7, 7))
WIDE = program((-1000, 2500))
MIXED = program((-7, 7), (-1000, 2500), (0, 0), (-(2**40), 2**40), (3, 258), (3, 259))


def ends(one: Program) -> list[IntArray]:
    """Weights that reach both of their bounds."""
    return [np.array([t.lo, t.hi, (t.lo + t.hi) // 2, t.hi, t.lo]) for t in one.weights]


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weight_ranges, "_accepted", type(weight_ranges._accepted)())


@CHECKS
@pytest.mark.parametrize("one", [NARROW, WIDE, MIXED, HONEST], ids=["narrow", "wide", "mixed", "scalar"])
def test_weights_up_to_their_bounds_are_accepted(one: Program, check: RangeCheck) -> None:
    weights = ends(one) if one is not HONEST else [np.array([[-7]])]
    assert check(claimed_in_bounds(one, weights)) >= 128


def test_narrow_and_wide_weights_are_looked_up_differently() -> None:
    assert set(make_range_plan(NARROW).limbs) == set()
    assert set(make_range_plan(WIDE).limbs) == {0}
    assert set(make_range_plan(MIXED).limbs) == {1, 3, 5}, "256 integers are one table, 257 are not, for five elements"


@CHECKS
@pytest.mark.parametrize("one", [NARROW, WIDE], ids=["narrow", "wide"])
@pytest.mark.parametrize("place", [0, 4])
@pytest.mark.parametrize("end", ["lo", "hi"])
def test_a_weight_beyond_its_bound_by_one_is_refused(one: Program, place: int, end: str, check: RangeCheck) -> None:
    (weight,) = ends(one)
    tensor = one.weights[0]
    weight[place] = tensor.lo - 1 if end == "lo" else tensor.hi + 1
    assert_refused(claimed_in_bounds(one, [weight]), check)


@CHECKS
@pytest.mark.parametrize("one", [NARROW, WIDE], ids=["narrow", "wide"])
def test_half_a_weight_is_refused(one: Program, check: RangeCheck) -> None:
    """(P + 1) / 2 is a half in the field."""
    (weight,) = ends(one)
    weight[1] = (P + 1) // 2 - P
    assert_refused(claimed_in_bounds(one, [weight]), check)


def assert_refused(commitment: Commitment, check: RangeCheck) -> None:
    with pytest.raises(MalformedCommitmentError, match="its proof that all weights lie within their bounds is refused"):
        weight_range_bits(commitment, check)


def clipped_columns() -> AbstractContextManager[object]:
    """The prover looks other weights up than those that it has committed to, and counts them: what is in bounds."""
    honest = RangeColumns._columns

    def columns(self: RangeColumns, number: int) -> Iterator[Array]:
        return (np.clip(column, -7, 7) for column in honest(self, number))

    return mock.patch.object(RangeColumns, "_columns", columns)


@CHECKS
def test_what_is_looked_up_is_what_is_committed(check: RangeCheck) -> None:
    assert_refused(claimed_in_bounds(NARROW, [np.array([8, 0, 0, 0, 0])], clipped_columns), check)


def lowest_limbs() -> AbstractContextManager[object]:
    """All of a distance is in its lowest limb, the sign too: the sums are right, and the limb is in no table."""

    def write_limbs(self: RangeColumns) -> None:
        limbs, tensor = self.plan.limbs[0], self.plan.program.weights[0]
        for box in range(len(self.plan.cuts(0).boxes)):
            x = self.cells(WEIGHTS, 0, box).astype(np.int64)
            for distance, vectors in zip((x - tensor.lo, tensor.hi - x), limbs.vectors, strict=True):
                self.cells(WITNESS, vectors[0], box)[:] = distance

    return mock.patch.object(RangeColumns, "write_limbs", write_limbs)


@CHECKS
def test_limbs_are_looked_up(check: RangeCheck) -> None:
    assert_refused(claimed_in_bounds(WIDE, [np.array([2501, 0, 0, 0, 0])], lowest_limbs), check)


@pytest.fixture(scope="module")
def honest() -> Commitment:
    return claimed_in_bounds(MIXED, ends(MIXED))


def with_proof(commitment: Commitment, data: bytes) -> Commitment:
    return Commitment(commitment.program, commitment.key, data)


@CHECKS
def test_the_proof_of_another_commitment_to_the_same_weights_is_refused(honest: Commitment, check: RangeCheck) -> None:
    other, _ = committed(MIXED, ends(MIXED))
    assert_refused(with_proof(other, honest.range_proof), check)


def renamed(one: Program) -> Program:
    return msgspec.structs.replace(one, inputs=(msgspec.structs.replace(one.inputs[0], label="other"),))


def widened(one: Program) -> Program:
    return msgspec.structs.replace(
        one, weights=(msgspec.structs.replace(one.weights[0], hi=one.weights[0].hi + 1), *one.weights[1:])
    )


@CHECKS
@pytest.mark.parametrize("change", [renamed, widened])
def test_the_proof_of_another_program_is_refused(
    change: Callable[[Program], Program], honest: Commitment, check: RangeCheck
) -> None:
    assert_refused(Commitment(change(MIXED), honest.key, honest.range_proof), check)


@CHECKS
@pytest.mark.parametrize("length", [1, 100, 10_000, -1])
def test_a_truncated_proof_is_refused(length: int, honest: Commitment, check: RangeCheck) -> None:
    assert_refused(with_proof(honest, honest.range_proof[:length]), check)
    assert_refused(with_proof(honest, honest.range_proof + b"\x00"), check)


def test_a_bit_flipped_anywhere_is_refused(honest: Commitment) -> None:
    data = honest.range_proof
    for place in np.linspace(0, len(data) - 1, 12, dtype=int):
        flipped = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        assert_refused(with_proof(honest, flipped), native.check_ranges)


@CHECKS
def test_a_missing_proof_is_reported_where_no_axis_is_lengthened(honest: Commitment, check: RangeCheck) -> None:
    four, _ = committed(program((-7, 7), size=4), [np.arange(4)])
    assert weight_range_bits(four, check) is None
    with pytest.raises(MalformedCommitmentError, match="does not carry the proof about its weights"):
        weight_range_bits(with_proof(honest, b""), check)


# What stands behind weights on axes that are lengthened: five elements take eight places


def looked_up_as_it_is() -> AbstractContextManager[object]:
    """The prover looks up what it has committed to behind a weight as well, in the integer's place that belongs there.

    So what is committed there is what is looked up less that integer, as far as the lookups can tell.
    """
    honest = RangeColumns.looked_up

    def looked_up(self: RangeColumns, weight: int, box: int) -> Array:
        found = honest(self, weight, box).copy()
        found[5:] += self.cells(WEIGHTS, weight, box)[5:]
        return found

    return mock.patch.object(RangeColumns, "looked_up", looked_up)


ABOVE_ZERO = program((3, 60))
WIDE_ABOVE_ZERO = program((10, 3000))


@CHECKS
@pytest.mark.parametrize(
    "one", [NARROW, WIDE, ABOVE_ZERO, WIDE_ABOVE_ZERO], ids=["narrow", "wide", "above", "wide-above"]
)
def test_other_integers_than_zero_behind_a_weight_are_refused(one: Program, check: RangeCheck) -> None:
    lie = looked_up_as_it_is if one.weights[0].lo > 0 else nullcontext
    assert check(claimed_in_bounds(one, ends(one))) >= 128
    assert_refused(claimed_in_bounds(one, ends(one), lie, behind=1), check)


@CHECKS
def test_zeros_behind_a_weight_are_no_elements_of_it(check: RangeCheck) -> None:
    """What stands for them is looked up, and a prover who looks the zeros themselves up is not believed."""

    def cells() -> AbstractContextManager[object]:
        return mock.patch.object(RangeColumns, "looked_up", lambda self, w, b: self.cells(WEIGHTS, w, b))

    assert_refused(claimed_in_bounds(ABOVE_ZERO, ends(ABOVE_ZERO), cells), check)


SUM = Program(
    1,
    (Tensor("x", (1,), 0, 0, 0),),
    (Tensor("w", (5,), 0, -7, 7),),
    (),
    (
        Einsum(Tensor("sum", (), 0, -35, 35), "i->", (1,)),
        View(Tensor("y", (1,), 0, -35, 35), (Term(2, 1, (Reshape((1,)),)), Term(0, 1, ()))),
    ),
    (3,),
)
"""The sum of a weight, whatever the input."""


def test_what_stands_behind_a_weight_would_count_without_the_proof_that_it_is_zero() -> None:
    """A claim of equal weights is continued behind the weight: with ones there, the sum is three more."""
    weight, x, y = np.array([1, 2, 3, 4, 5]), np.array([[0]]), np.array([[15 + 3]])
    commitment, matrix = committed(SUM, [weight], behind=1)
    plan, opening = make_plan(SUM, 1), commitment.key_as(NativeVerifyingKey).opening
    values = {0: x, 1: weight[None], 2: np.array([18]), 3: y}
    case = Case(plan, [weight], values, Sizes(opening, header_for(plan), PadParameters()), matrix)
    statement = Statement(commitment, 1, (x,), (y,), b"")
    data = encode(prove(case, digest=lambda roots: statement.digest()).proof)
    for check_proof in (native.check, reference.check):
        assert check_proof(commitment, statement, data) >= 128, "the proof relies on the commitment's"
    proof = Proof("native", commitment.digest, (OutputTensor.of(y[0], 0),), data)
    with pytest.raises(MalformedCommitmentError, match="does not carry the proof about its weights"):
        verify(proof, commitment, inputs=x[0].astype(float))
    lying = claimed_in_bounds(SUM, [weight], behind=1)
    for check in (native.check_ranges, reference.check_ranges):
        assert_refused(lying, check)


def test_an_accepted_proof_is_checked_once_and_a_refused_one_again_and_again(honest: Commitment) -> None:
    check = mock.Mock(side_effect=native.check_ranges)
    other, _ = committed(MIXED, ends(MIXED))
    for _ in range(3):
        assert weight_range_bits(Commitment.from_bytes(honest.to_bytes()), check) is not None
        assert_refused(with_proof(other, honest.range_proof), check)
    assert check.call_count == 1 + 3


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Pieces of a box or two, or of a part of one."""
    monkeypatch.setattr(protocol, "PIECE_ENTRIES", 6)
    monkeypatch.setattr(reference.weight_ranges, "PIECE_ENTRIES", 6)
    make_range_plan.cache_clear()
    yield
    make_range_plan.cache_clear()


def test_both_verifiers_close_pieces_at_the_same_sizes() -> None:
    """No program that the reference takes is so large that all of them matter."""
    own = reference.weight_ranges
    assert (protocol.PIECE_ENTRIES, protocol.PIECES) == (own.PIECE_ENTRIES, own.PIECES)


@CHECKS
@pytest.mark.usefixtures("small_pieces")
def test_many_pieces_are_proven_one_after_another(check: RangeCheck) -> None:
    plan = make_range_plan(MIXED)
    assert len(plan.pieces) > 3
    divided = {site.weight for piece in plan.pieces for site in piece.sites if site.part}
    assert divided & set(plan.limbs)
    assert {weight for weight in divided if plan.cuts(weight).lengthened} - set(plan.limbs)
    assert check(claimed_in_bounds(MIXED, ends(MIXED))) >= 128
    for number in (0, len(plan.pieces) // 2, len(plan.pieces) - 1):
        weights, (weight, place) = ends(MIXED), first_element(plan, number)
        weights[weight][place] = MIXED.weights[weight].hi + 1
        assert_refused(claimed_in_bounds(MIXED, weights), check)


def first_element(plan: RangePlan, number: int) -> tuple[int, int]:
    """The first element that a piece is about: the weight's number, and its place in a weight of one axis."""
    piece = plan.pieces[number]
    site = piece.sites[0]
    start = site.cells(piece.instance.blocks[site.blocks[0]].variables).start
    return site.weight, plan.cuts(site.weight).boxes[site.box].starts[1] + start


def test_bounds_that_are_too_far_apart_for_the_field_are_refused() -> None:
    """The two distances of a weight from its bounds must not add up to the field's order."""
    nodes = (View(Tensor("y", (1,), 0, 0, 1), (Term(0, 1, ()),)),)
    for rows in (2**48, 2**48 + 1):
        weights = (Tensor("w", (1,), 0, -(2**47), rows - 1 - 2**47),)
        one = Program(1, (Tensor("x", (1,), 0, 0, 1),), weights, (), nodes, (2,))
        if rows == 2**48:
            check_program(one)
            reference_ranges.RangePlan(one)
        else:
            with pytest.raises(ProvingError, match=r"w: the range of a weight's bounds is below 2\^48"):
                check_program(one)
            with pytest.raises(MalformedCommitmentError, match="too far apart"):
                reference_ranges.RangePlan(one)


def test_a_commitment_without_symbols_for_one_proof_more_carries_none(honest: Commitment) -> None:
    key = msgspec.structs.replace(honest.key, proofs=2)
    Commitment(MIXED, key).check()
    with pytest.raises(MalformedCommitmentError, match="not for one about the weights as well"):
        Commitment(MIXED, key, honest.range_proof).check()


def test_without_the_proof_half_a_weight_proves_half_an_input_and_is_reported() -> None:
    """What the owner's word was: y = x / 2, which no integer weight gives, under bounds of +-7 and with 128 bits."""
    half = np.array([[(P + 1) // 2 - P]])
    commitment, matrix = committed(HONEST, [half])
    x, y = np.array([[[2]]]), np.array([[[1]]])
    plan, opening = make_plan(HONEST, 1), commitment.key_as(NativeVerifyingKey).opening
    sizes = Sizes(opening, header_for(plan), PadParameters())
    case = Case(plan, [half], {0: x, 1: half[None], 2: y, 3: y}, sizes, matrix)
    statement = Statement(commitment, 1, (x,), (y,), b"").digest()
    data = encode(prove(case, digest=lambda roots: statement).proof)
    proof = Proof("native", commitment.digest, (OutputTensor.of(y[0], 0),), data)
    result = verify(proof, commitment, inputs=x[0].astype(float))
    assert result.security_bits >= 128
    np.testing.assert_array_equal(result.outputs, [[1.0]])
    assert not result.weights_in_bounds
    with pytest.raises(MalformedCommitmentError, match="is refused"):
        verify(proof, with_proof(commitment, b"any bytes"), inputs=x[0].astype(float))
    with (
        mock.patch.object(native, "check_ranges", return_value=99.0),
        pytest.raises(InvalidProofError, match=r"2\*\*99"),
    ):
        verify(proof, with_proof(commitment, b"accepted"), inputs=x[0].astype(float))


@CHECKS
def test_a_program_without_weights_has_no_such_proof(check: RangeCheck) -> None:
    """Its copies hold the veil alone, so that the commitment contradicts nothing."""
    x = Tensor("x", (1, 2), 0, -3, 3)
    bare = Program(1, (x,), (), (), (View(x, (Term(0, 1, ()),)),), (1,))
    key = NativeVerifyingKey(bytes(32), 1, 3, 24, 6, 6, 0, 0, 3, 1, bytes(21), 0)
    commitment = Commitment(bare, key, claimed_in_bounds(NARROW, ends(NARROW)).range_proof)
    commitment.check()
    with pytest.raises(VerificationError, match="weights"):
        check(commitment)
