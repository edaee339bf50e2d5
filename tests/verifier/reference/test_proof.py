"""Whole proofs: the reference verifier and the fast one say the same on any proof of any statement."""

import dataclasses
from typing import Any
from unittest import mock

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.both_verifiers import (
    ask_both,
    ask_reference,
    cheap_boxes,
    direct_openings,
    gathered_up_to,
    prove_and_verify,
)
from support.claim_programs import PROGRAMS, fused_weight, odd_sizes
from support.example_programs import mlp
from support.native_prover import Case, Lie, make_case, prove, small
from support.random_programs import random_inputs
from support.random_statements import random_case
from support.reference_statements import opening_sizes

from zkinfer.circuit.program import PROGRAM_VERSION, Lookup, Program, Tensor
from zkinfer.circuit.table import Table
from zkinfer.compiler.lowering.builder import Built
from zkinfer.errors import InvalidProofError, MalformedProofError, VerificationError
from zkinfer.files.commitment import Commitment
from zkinfer.files.native_key import NativeVerifyingKey
from zkinfer.files.statement import Shown, Statement
from zkinfer.native.setup import setup
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, ZERO, Ext
from zkinfer.protocol.native_proof.encoding import Header, NativeProof, decode, encode
from zkinfer.protocol.native_proof.protocol import Commitments
from zkinfer.protocol.native_proof.shape import make_shape
from zkinfer.protocol.pcs.params import MatrixCommitment
from zkinfer.protocol.reduction import boxes, gather, opening
from zkinfer.protocol.reduction.plan import WITNESS
from zkinfer.protocol.transcript import Transcript
from zkinfer.verifier import native, reference
from zkinfer.verifier.claims import claimed_outputs
from zkinfer.verifier.reference import committed_claims, first_claims
from zkinfer.verifier.reference import plan as reference_plan
from zkinfer.verifier.reference import proof as reference_proof
from zkinfer.verifier.reference.channel import AffineForm, Channel
from zkinfer.verifier.reference.claims import CommittedClaim
from zkinfer.verifier.reference.committed_claims import CommittedClaims
from zkinfer.verifier.reference.plan import Plan


def case_of(built: Built, runs: int = 2, private: bool = False, log_columns: int = 2) -> Case:
    """A built program on random inputs, all public or all private."""
    program = built.program
    inputs = random_inputs(np.random.default_rng(1), program, runs)
    flags = (private,) * len(program.inputs), (private,) * len(program.outputs)
    return make_case(program, built.weights, inputs, *flags, small(log_columns))


@pytest.mark.parametrize("private", [False, True], ids=["public", "private"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_both_accept_honest_proofs_of_programs_of_each_kind(name: str, private: bool) -> None:
    prove_and_verify(case_of(PROGRAMS[name](), runs=3, private=private))


@pytest.mark.parametrize("direct", [False, True], ids=["by sumcheck", "direct"])
@pytest.mark.parametrize("seed", range(12))
def test_both_accept_honest_proofs_of_random_programs(seed: int, direct: bool) -> None:
    with direct_openings(0 if direct else 64):
        prove_and_verify(random_case(seed, log_columns=seed % 5))


@pytest.mark.parametrize("price", [0, 1, 4])
@pytest.mark.parametrize("seed", range(8))
def test_both_accept_honest_proofs_of_tensors_of_several_boxes(seed: int, price: int) -> None:
    with cheap_boxes(price):
        prove_and_verify(random_case(seed, log_columns=seed % 5))


@pytest.mark.parametrize("seed", range(8))
def test_both_accept_honest_proofs_of_boxes_that_are_not_gathered(seed: int) -> None:
    with cheap_boxes(), gathered_up_to(1):
        prove_and_verify(random_case(seed, log_columns=seed % 5))


def test_gathered_boxes_are_among_them() -> None:
    with cheap_boxes():
        cuts = [site.cut for seed in range(8) for site in random_case(seed).plan.sites]
    assert sum(len(cut.boxes) > 1 for cut in cuts) > 4


def test_both_cover_tensors_by_the_same_numbers() -> None:
    assert (reference_plan.BOX_PLACES, reference_plan.BOX_SHARE) == (boxes.BOX_PLACES, boxes.BOX_SHARE)
    assert first_claims.MAX_PADDING == gather.MAX_PADDING


@pytest.mark.parametrize("seed", range(8))
def test_both_count_the_same_chances(seed: int) -> None:
    """What the openings are worth hides these in the sum, in proofs as small as those of tests."""
    case = random_case(seed)
    channels: list[Channel] = []

    def noted(*arguments: Any, **options: Any) -> Channel:
        channels.append(Channel(*arguments, **options))
        return channels[-1]

    with mock.patch.object(reference_proof, "Channel", noted):
        prove_and_verify(case)
    shape = make_shape(case.plan, case.sizes.weights.code, case.sizes.header)
    lookups = ("lookups", "fraction trees")  # the reference counts these apart
    ours = sum(term.error for term in shape.terms if term.name not in lookups)
    assert [channel.error / ours for channel in channels] == pytest.approx([1.0])


def test_both_open_a_matrix_whose_rows_are_weighed_at_will() -> None:
    case = case_of(fused_weight())
    with direct_openings():
        prove_and_verify(case)
        forged = prove(case, Lie(execution=wrong_output))
        refused(case, forged.proof, publics=forged.publics)


def test_both_choose_column_points_by_the_same_numbers() -> None:
    assert committed_claims.DIRECT_CELLS == opening.DIRECT_CELLS


def test_direct_openings_and_split_claims_are_among_them() -> None:
    with direct_openings(), cheap_boxes():
        labels = {label for seed in range(4) for label, _ in prove(random_case(seed, 1)).labels}
    assert "parts of a claim" in labels


CASE = random_case(3)
PROOF = prove(CASE).proof
PARTS = ["masks", "pads", "message", "weights", "witness", "about_pads"]


def with_part(proof: NativeProof, part: str, data: bytes) -> NativeProof:
    return msgspec.structs.replace(proof, **{part: data})


def refused(case: Case, proof: NativeProof, **statement: object) -> None:
    with pytest.raises(VerificationError):
        ask_both(case, proof, **statement)  # type: ignore[arg-type]


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(PARTS), st.integers(0, 10**9), st.integers(0, 7))
def test_both_refuse_a_proof_with_a_flipped_bit(part: str, place: int, bit: int) -> None:
    data = bytearray(getattr(PROOF, part))
    data[place % len(data)] ^= 1 << bit
    refused(CASE, with_part(PROOF, part, bytes(data)))


@pytest.mark.parametrize("part", PARTS)
def test_both_refuse_parts_of_another_length(part: str) -> None:
    data = getattr(PROOF, part)
    for changed in (b"", data[:-1], data[:-21], data + b"\0", data + bytes(21)):
        refused(CASE, with_part(PROOF, part, changed))


@pytest.mark.parametrize("number", range(3))
def test_both_refuse_other_roots(number: int) -> None:
    for root in (b"", bytes(32), bytes(31)):
        roots = list(PROOF.roots)
        if roots[number] != root:
            roots[number] = root
            refused(CASE, msgspec.structs.replace(PROOF, roots=tuple(roots)))


@pytest.mark.parametrize("field", Header.__struct_fields__)
def test_both_refuse_other_headers(field: str) -> None:
    honest = getattr(PROOF.header, field)
    for value in {-1, 0, 1, honest - 1, honest + 1, 41, 1 << 16, (1 << 63) - 1} - {honest}:
        refused(CASE, msgspec.structs.replace(PROOF, header=msgspec.structs.replace(PROOF.header, **{field: value})))


@pytest.mark.parametrize(
    "sizes",
    [
        {"log_columns": -1},
        {"log_columns": 13, "log_length": 14},  # wider than the witness
        {"log_length": 25},
        {"log_length": 3},  # shorter than a message
        {"queries": 0},
        {"blinding": PROOF.header.queries - 1},  # columns would show data
        {"blinding": 1 << 20, "log_length": 22, "queries": 1 << 7},  # much work
        {"query_grinding": 41},
        {"weight_grinding": -1},
        {"lookup_grinding": 41},
    ],
    ids=str,
)
def test_the_reference_refuses_sizes_out_of_range_before_any_work(
    sizes: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference_proof, "Transcript", lambda *_: pytest.fail("work has begun"))
    header = msgspec.structs.replace(PROOF.header, **sizes)
    with pytest.raises(MalformedProofError, match="out of range"):
        ask_reference(CASE, msgspec.structs.replace(PROOF, header=header))


@pytest.mark.parametrize(
    "parts",
    [
        {"witness": b""},
        {"masks": bytes(31)},
        {"pads": b""},
        {"roots": (b"", b"", bytes(33))},
        {"lookup_nonce": -1},
        {"copy": -1},
        {"copy": 1 << 20},
        {"branch": bytes(32 * 21 + 1)},
    ],
    ids=str,
)
def test_the_reference_refuses_parts_of_impossible_sizes_before_any_work(
    parts: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An opening without bytes for one column of the witness is one of them."""
    monkeypatch.setattr(reference_proof, "Transcript", lambda *_: pytest.fail("work has begun"))
    with pytest.raises(MalformedProofError, match="out of range"):
        ask_reference(CASE, msgspec.structs.replace(PROOF, **parts))


def without_weights() -> Case:
    """A program that never asks for its weight."""
    x, w, y = (Tensor(label, (2,), 0, -1, 1) for label in "xwy")
    program = Program(PROGRAM_VERSION, (x,), (w,), (Table("sign", -1, (-1, 0, 1)),), (Lookup(y, 0, 0, 0),), (2,))
    return make_case(program, [np.array([1, -1])], [np.array([[1, 0]])])


def test_both_refuse_an_opening_that_nothing_needs() -> None:
    case = without_weights()
    proof = prove(case).proof
    ask_both(case, proof)
    refused(case, with_part(proof, "weights", b"x"))


@pytest.mark.parametrize("further", [{"masks": bytes(32)}, {"roots": 0}, {"roots": 1}], ids=str)
def test_both_refuse_roots_of_matrices_that_nothing_needs(
    further: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one proof would have many forms. All challenges are those of a prover who absorbed them."""
    case = without_weights()
    absorb = Commitments.absorb

    def with_further(commitments: Commitments, transcript: Transcript, statement: bytes) -> None:
        absorb(dataclasses.replace(commitments, **changes(commitments.roots)), transcript, statement)

    def changes(roots: tuple[bytes, ...]) -> dict[str, Any]:
        if "masks" in further:
            return further
        return {"roots": tuple(bytes(32) if i == further["roots"] else root for i, root in enumerate(roots))}

    with monkeypatch.context() as patch:
        patch.setattr(Commitments, "absorb", with_further)
        proof = prove(case).proof
    with pytest.raises(MalformedProofError, match=r"another opening|other matrices"):
        ask_both(case, msgspec.structs.replace(proof, **changes(proof.roots)))


def test_a_claim_without_weight_must_be_zero_to_the_reference() -> None:
    """Nothing can be opened, so the value is checked itself."""
    plan, sizes = (
        Plan(CASE.plan.program, 1, CASE.plan.private_inputs, CASE.plan.private_outputs),
        opening_sizes(CASE.sizes.weights),
    )
    for value in (ZERO, ONE):
        claims = CommittedClaims(plan, channel := Channel(Transcript(b""), b""), (sizes, sizes))
        claims.reduce([CommittedClaim([], AffineForm(value), one_term=True)])
        assert claims.groups == ([], [])
        assert [form.constant for form in channel.constraints] == [value]


def test_both_refuse_another_nonce_where_work_is_asked_for() -> None:
    header = msgspec.structs.replace(PROOF.header, lookup_grinding=3)
    for nonce in range(4):
        refused(CASE, msgspec.structs.replace(PROOF, header=header, lookup_nonce=nonce))


def test_both_refuse_another_statement() -> None:
    refused(CASE, PROOF, digest=bytes(32))
    refused(CASE, PROOF, weights=MatrixCommitment(bytes(32), CASE.matrix.commitment.rows, 0))
    for number, integers in CASE.publics.items():
        changed = np.array(integers)
        changed.flat[-1] += 1
        refused(CASE, PROOF, publics=dict(CASE.publics) | {number: changed})


def wrong_output(values: dict[int, np.ndarray]) -> None:
    last = max(values)
    values[last] = values[last] + 1


def change_message(number: int, label: str, elements: list[Ext]) -> list[Ext]:
    if number % 7 == 3:
        return [((elements[0][0] + 1) % P, *elements[0][1:]), *elements[1:]]
    return elements


LIES = {
    "an output that is not computed": Lie(execution=wrong_output),
    "messages that are changed, consistently afterwards": Lie(send=change_message),
    "other pads than the committed ones": Lie(pads=lambda pads: pads[1:] + pads[:1]),
}


@pytest.mark.parametrize("name", LIES)
@pytest.mark.parametrize("seed", range(4))
def test_both_refuse_provers_that_lie(name: str, seed: int) -> None:
    case = random_case(seed)
    attempt = prove(case, LIES[name])
    refused(case, attempt.proof, publics=attempt.publics)


# The whole check, from a commitment and a statement


@pytest.fixture(scope="module", params=[False, True], ids=["public", "private"])
def published(request: pytest.FixtureRequest) -> tuple[Statement, bytes]:
    """A proof under real parameters, and its statement."""
    example, integers = mlp(), np.array([[[-3, 11, 2]], [[15, -15, 0]]])
    keys = setup(example.program, example.weights, proofs=1, seed=bytes(32))
    proof = keys.prove([integers], b"request 1", private_inputs=request.param, private_outputs=request.param)
    program = keys.commitment.program
    inputs = [integers if claim is None else claim.root for claim in proof.private_inputs or (None,)]
    outputs = claimed_outputs(proof.output_tensors, program, 2)
    return Statement(keys.commitment, 2, tuple(inputs), tuple(outputs), b"request 1"), proof.data


def test_both_checks_give_the_same_bits(published: tuple[Statement, bytes]) -> None:
    statement, data = published
    bits = reference.check(statement.commitment, statement, data)
    assert bits == pytest.approx(native.check(statement.commitment, statement, data), abs=1e-6)
    assert bits >= 128


def test_both_checks_refuse_other_statements(published: tuple[Statement, bytes]) -> None:
    statement, data = published
    (value,) = statement.inputs
    other = bytes(32) if isinstance(value, bytes) else value[::-1]
    for changes in ({"context": b"request 2"}, {"inputs": (other,)}):
        changed = dataclasses.replace(statement, **changes)
        for check in (native.check, reference.check):
            with pytest.raises(VerificationError):
                check(statement.commitment, changed, data)


def test_both_checks_refuse_a_proof_whose_own_sizes_are_worth_too_little() -> None:
    """The sizes of the witness's opening are the prover's choice; those of the commitment do not make up for them."""
    case = case_of(odd_sizes())
    parameters, matrix = case.sizes.weights, case.matrix.commitment
    code, work = parameters.code, (parameters.queries, parameters.query_grinding, parameters.weight_grinding)
    sizes = (code.log_columns, code.blinding, code.log_length)
    commitment = Commitment(case.plan.program, NativeVerifyingKey(matrix.root, matrix.rows, *sizes, *work, proofs=1))
    statement = Statement(commitment, case.plan.runs, *shown(case), b"")
    data = encode(prove(case).proof)
    for check in (native.check, reference.check):
        with pytest.raises(InvalidProofError, match="worth"):
            check(commitment, statement, data)


def shown(case: Case) -> tuple[tuple[Shown, ...], tuple[Shown, ...]]:
    """The public inputs and outputs of a case."""
    first = case.plan.program.num_values
    inputs, outputs = ({n: v for n, v in case.publics.items() if (n >= first) == out} for out in (False, True))
    return tuple(inputs.values()), tuple(outputs.values())


@pytest.mark.parametrize("data", [b"", b"\x99", bytes(100), b"\x9a" + bytes(9)], ids=repr)
def test_the_reference_refuses_what_is_no_proof(published: tuple[Statement, bytes], data: bytes) -> None:
    statement, _ = published
    with pytest.raises(MalformedProofError):
        reference.check(statement.commitment, statement, data)


def test_the_reference_refuses_a_proof_in_another_encoding(published: tuple[Statement, bytes]) -> None:
    statement, data = published
    longer = data.replace(b"\xc4\x20", b"\xc5\x00\x20", 1)
    assert longer != data
    with pytest.raises(MalformedProofError, match="canonical"):
        reference.check(statement.commitment, statement, longer)


@pytest.mark.parametrize("field", ["log_columns", "blinding", "log_length", "queries"])
def test_the_reference_refuses_sizes_below_zero(published: tuple[Statement, bytes], field: str) -> None:
    """The commitments to hidden values bind three of them, as integers that have no sign."""
    statement, data = published
    proof = decode(data)
    changed = encode(msgspec.structs.replace(proof, header=msgspec.structs.replace(proof.header, **{field: -1})))
    with pytest.raises(MalformedProofError, match="out of range"):
        reference.check(statement.commitment, statement, changed)


def test_the_reference_refuses_matrices_of_too_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Masks count too."""
    rows = CASE.plan.layouts[WITNESS].rows(CASE.sizes.header.log_columns)
    ask_both(CASE, PROOF)
    monkeypatch.setattr(reference_proof, "MAX_ROWS", rows)
    with pytest.raises(MalformedProofError, match="other matrices"):
        ask_reference(CASE, PROOF)
