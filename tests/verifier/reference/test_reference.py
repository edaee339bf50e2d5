"""The plain-Python verifier of native proofs against the fast one: on any proof of any statement they say the same."""

import dataclasses
from collections.abc import Callable
from fractions import Fraction

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import mlp
from support.fused_weight import fused_weight
from support.native import ask_both, direct_openings, prove_and_verify
from support.native_prover import Case, Lie, make_case, prove, small
from support.programs import random_inputs
from support.reduction_cases import random_case

from zkinfer.circuit.bounds import lookup_indices
from zkinfer.circuit.program import Term
from zkinfer.circuit.steps import Expand, Pad, Reshape, Slice, Step, Take, Transpose, Windows, apply_steps
from zkinfer.circuit.table import Table
from zkinfer.compiler.lowering.builder import Builder, Built, Summand, Value
from zkinfer.errors import InvalidProofError, MalformedProofError, VerificationError
from zkinfer.files.commitment import Commitment as CommitmentFile
from zkinfer.files.native_key import NativeVerifyingKey
from zkinfer.files.statement import Shown, Statement
from zkinfer.native.setup import setup
from zkinfer.protocol import native_proof as argument
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import Ext
from zkinfer.protocol.native_proof import Header, NativeProof
from zkinfer.protocol.pcs.params import MatrixCommitment
from zkinfer.protocol.reduction import opening
from zkinfer.verifier import native, reference
from zkinfer.verifier.claims import claimed_outputs
from zkinfer.verifier.reference import reduction as slow_reduction
from zkinfer.verifier.reference.channel import total
from zkinfer.verifier.reference.plan import boxes_of
from zkinfer.verifier.reference.weights import Weights, merged, pull_term


def case_of(built: Built, runs: int = 2, private: bool = False, log_columns: int = 2) -> Case:
    """A built program on random inputs, all public or all private."""
    program = built.program
    inputs = random_inputs(np.random.default_rng(1), program, runs)
    flags = (private,) * len(program.inputs), (private,) * len(program.outputs)
    return make_case(program, built.weights, inputs, *flags, small(log_columns))


def rescaling(source: Value, shift: int, kind: str) -> Table:
    """A table over what a value reaches, of each kind that a proof tells apart."""
    lo, hi = lookup_indices((source.tensor.lo, source.tensor.hi), shift)
    rows = range(lo, hi + 1)
    values = {"identity": rows, "relu": (max(i, 0) for i in rows), "any": (i * i * 7 % 13 - 6 for i in rows)}
    return Table(kind, lo, tuple(values[kind]))


def attention(kind: str = "any") -> Built:
    """Products of two computed values, with a lookup whose remainder has several limbs between them."""
    rng, builder = np.random.default_rng(2), Builder()
    x = builder.input("x", (3, 2), 2, -8, 8)
    w = [builder.weight(f"w{i}", rng.integers(-5, 6, (2, 2)), 1) for i in range(3)]
    q, k, v = (builder.einsum(name, "ab,cb->ac", x, u) for name, u in zip("qkv", w, strict=True))
    scores = builder.einsum("scores", "ab,cb->ac", q, k)
    weights = builder.lookup("weights", scores, rescaling(scores, 11, kind), 11, 2)
    return builder.finish([builder.einsum("out", "ac,cd->ad", weights, v)])


def reshaped() -> Built:
    """A functional of an einsum's result that is no product over its axes."""
    rng, builder = np.random.default_rng(3), Builder()
    x = builder.input("x", (2, 3), 2, -8, 8)
    y = builder.einsum("y", "ab,cb->ac", x, builder.weight("w", rng.integers(-5, 6, (6, 3)), 1))
    z = builder.combine("z", [Summand(y, Fraction(1), (Reshape((3, 4)),))])
    return builder.finish(
        [builder.einsum("out", "ab,cb->ac", z, builder.weight("u", rng.integers(-5, 6, (3, 4)), 1)), y]
    )


def odd_sizes() -> Built:
    """More boxes than are kept apart, so that axes are flattened."""
    rng, builder = np.random.default_rng(4), Builder()
    x = builder.input("x", (7, 7, 3), 2, -8, 8)
    y = builder.einsum("y", "abc,abc->abc", x, builder.weight("w", rng.integers(-5, 6, (7, 7, 3)), 1))
    return builder.finish([builder.lookup("out", y, rescaling(y, 3, "relu"), 3, 2)])


def constants() -> Built:
    """Values made of weights alone, in every kind of node, and among the outputs."""
    rng, builder = np.random.default_rng(5), Builder()
    x = builder.input("x", (2, 3), 2, -8, 8)
    w = builder.weight("w", rng.integers(-5, 6, (3, 3)), 1)
    square = builder.einsum("square", "ab,bc->ac", w, w)
    looked_up = builder.lookup("looked up", square, rescaling(square, 2, "any"), 2, 1)
    turned = builder.combine("turned", [Summand(looked_up, Fraction(-2), (Transpose((1, 0)),))], offset=Fraction(1))
    return builder.finish([builder.einsum("out", "ab,bc->ac", x, turned), turned, looked_up])


def sums() -> Built:
    """Letters of one operand alone, an operand twice, sums over everything, an output twice, an input as an output."""
    rng, builder = np.random.default_rng(6), Builder()
    x, y = (builder.input(name, (2, 3), 2, -8, 8) for name in "xy")
    w = builder.weight("w", rng.integers(-5, 6, (3, 5)), 1)
    products = builder.einsum("products", "ab,cb->ac", x, x)
    summed = builder.einsum("summed", "ab,bc->a", x, w)
    outer = builder.einsum("outer", "a,bc->cab", summed, y)
    everything = builder.einsum("everything", "cab->", outer)
    return builder.finish([products, everything, outer, outer, x])


PROGRAMS: dict[str, Callable[[], Built]] = {
    "attention": attention,
    "attention, range": lambda: attention("identity"),
    "attention, pieces": lambda: attention("relu"),
    "reshaped": reshaped,
    "odd sizes": odd_sizes,
    "constants": constants,
    "sums": sums,
}


@pytest.mark.parametrize("private", [False, True], ids=["public", "private"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_both_accept_honest_proofs_of_programs_of_each_kind(name: str, private: bool) -> None:
    prove_and_verify(case_of(PROGRAMS[name](), runs=3, private=private))


@pytest.mark.parametrize("direct", [False, True], ids=["by sumcheck", "direct"])
@pytest.mark.parametrize("seed", range(12))
def test_both_accept_honest_proofs_of_random_programs(seed: int, direct: bool) -> None:
    with direct_openings(0 if direct else 64):
        prove_and_verify(random_case(seed, log_columns=seed % 5))


def test_both_open_a_matrix_whose_rows_are_weighed_at_will() -> None:
    case = case_of(fused_weight())
    with direct_openings():
        prove_and_verify(case)
        forged = prove(case, Lie(execution=wrong_output))
        refused(case, forged.proof, publics=forged.publics)


def test_both_choose_column_points_by_the_same_numbers() -> None:
    assert (slow_reduction.DIRECT_CELLS, slow_reduction.MAX_DIRECT) == (opening.DIRECT_CELLS, opening.MAX_DIRECT)


def test_direct_openings_and_split_claims_are_among_them() -> None:
    with direct_openings():
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
    """Whoever proves chooses the sizes of the witness's opening; the commitment's are no excuse for them."""
    case = case_of(odd_sizes())
    parameters, matrix = case.sizes.weights, case.matrix.commitment
    code, work = parameters.code, (parameters.queries, parameters.query_grinding, parameters.weight_grinding)
    sizes = (code.log_columns, code.blinding, code.log_length)
    commitment = CommitmentFile(
        case.plan.program, NativeVerifyingKey(matrix.root, matrix.rows, *sizes, *work, proofs=1)
    )
    statement = Statement(commitment, case.plan.runs, *shown(case), b"")
    data = argument.encode(prove(case).proof)
    for check in (native.check, reference.check):
        with pytest.raises(InvalidProofError, match="worth"):
            check(commitment, statement, data)


def shown(case: Case) -> tuple[tuple[Shown, ...], tuple[Shown, ...]]:
    """The public inputs and outputs of a case."""
    first = case.plan.program.num_values
    inputs, outputs = ({n: v for n, v in case.publics.items() if (n >= first) == out} for out in (False, True))
    return tuple(inputs.values()), tuple(outputs.values())


@pytest.mark.parametrize("data", [b"", b"\x99", bytes(100), b"\x9a" + bytes(9)], ids=repr)
def test_the_slow_check_refuses_what_is_no_proof(published: tuple[Statement, bytes], data: bytes) -> None:
    statement, _ = published
    with pytest.raises(MalformedProofError):
        reference.check(statement.commitment, statement, data)


def test_the_slow_check_refuses_a_proof_in_another_encoding(published: tuple[Statement, bytes]) -> None:
    statement, data = published
    longer = data.replace(b"\xc4\x20", b"\xc5\x00\x20", 1)
    assert longer != data
    with pytest.raises(MalformedProofError, match="canonical"):
        reference.check(statement.commitment, statement, longer)


# Its own parts against definitions


tensors = st.lists(st.integers(1, 4), min_size=2, max_size=3).map(tuple)


@given(tensors, st.integers(0, 2**32 - 1))
def test_merging_keeps_the_sum(shape: tuple[int, ...], seed: int) -> None:
    rng = np.random.default_rng(seed)
    entries = [[tuple(int(c) for c in rng.integers(0, 3, 3)) for _ in range(int(np.prod(shape)))] for _ in range(3)]
    terms = [Weights(shape, tuple(e)) for e in (*entries, entries[0])]
    columns = zip(*(w.entries for w in merged(terms)), strict=True)
    expected = [total(column) for column in zip(*(w.entries for w in terms), strict=True)]
    assert [total(column) for column in columns] == expected


@pytest.mark.parametrize(
    "steps",
    [
        (Reshape((3, 2)), Transpose((1, 0))),
        (Slice(0, 1, 2, -1), Pad((1, 0), (0, 2))),
        (Windows(1, 2, 1, 1), Take(0, (1, 1, 0))),
        (Reshape((1, 6)), Expand((4, 6))),
    ],
    ids=str,
)
def test_a_functional_pulled_back_has_the_same_value(steps: tuple[Step, ...]) -> None:
    rng = np.random.default_rng(0)
    source = rng.integers(-9, 10, (2, 2, 3))
    result = np.stack([-3 * apply_steps(steps, run) for run in source])
    weights = Weights(result.shape, tuple((int(c), 1, 2) for c in rng.integers(0, P, result.size)))
    pulled = pull_term(weights, Term(0, -3, steps), source.shape)
    assert pulled.of(source.ravel().tolist()) == weights.of(result.ravel().tolist())


def test_boxes_are_disjoint_and_cover_the_tensor() -> None:
    for shape in ((1, 7), (3, 5, 7, 9), (2, 3, 11, 13), (1,)):
        places = [at for box in boxes_of(shape) for at in box.places]
        assert sorted(places) == list(range(int(np.prod(shape))))
        assert all(len(box.places) == 1 << box.variables for box in boxes_of(shape))
