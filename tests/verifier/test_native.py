"""The verifier of native proofs on other statements than the proven one, and on any bytes whatever."""

import dataclasses
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from support.native_prover import SMALL, Case, make_case, prove, small_verifier, verify
from support.two_layer_program import INPUT, PROGRAM, RUNS, WEIGHTS

from zkinfer.circuit.program import Einsum, Lookup, Program, Tensor, Term, View
from zkinfer.circuit.steps import Expand, Reshape
from zkinfer.circuit.table import Table
from zkinfer.circuit.validate import validate
from zkinfer.errors import InvalidProofError, MalformedProofError, VerificationError
from zkinfer.files.commitment import Commitment
from zkinfer.files.native_key import NativeVerifyingKey
from zkinfer.files.statement import Shown, Statement
from zkinfer.protocol.field.params import P
from zkinfer.protocol.native_proof import protocol
from zkinfer.protocol.native_proof.encoding import Header, NativeProof, decode, encode, hidden_values
from zkinfer.protocol.native_proof.protocol import witness_commitments
from zkinfer.protocol.pcs import params
from zkinfer.protocol.reduction.layout import weight_rows
from zkinfer.verifier import native, reference

EXTREMES = [-(1 << 63), -1, 0, 1, 2, 12, 13, 24, 25, 63, 64, 1 << 16, 1 << 24, (1 << 32) + 1, (1 << 63) - 1]
MAX_BYTES = 64 << 20
MAX_SECONDS = 5.0


@dataclasses.dataclass(frozen=True)
class Proven:
    """A statement and its proof."""

    statement: Statement
    proof: NativeProof


def key_of(case: Case) -> NativeVerifyingKey:
    """The commitment's key, of sizes that are worth nothing."""
    opening = case.sizes.weights
    code = opening.code
    sizes = (code.log_columns, code.blinding, code.log_length, opening.queries)
    return NativeVerifyingKey(case.matrix.commitment.root, case.matrix.commitment.rows, *sizes, 0, 0, 1)


def named_values(roots: Sequence[bytes]) -> list[bytes]:
    """The commitments to the values of matrices with these roots."""
    return [hidden_values(SMALL.header, root) for root in roots]


def proven(private_inputs: bool, private_outputs: bool) -> Proven:
    case = make_case(PROGRAM, WEIGHTS, [INPUT], (private_inputs,), (private_outputs,) * 2)
    commitment = Commitment(PROGRAM, key_of(case))

    def statement(roots: tuple[bytes, ...]) -> Statement:
        named = named_values(roots)
        inputs: list[Shown] = [named[0] if private_inputs else INPUT]
        outputs = [named[1] if private_outputs else case.values[value] for value in PROGRAM.outputs]
        return Statement(commitment, RUNS, tuple(inputs), tuple(outputs), b"context")

    proof = prove(case, digest=lambda roots: statement(roots).digest()).proof
    return Proven(statement(proof.roots), proof)


@pytest.fixture(autouse=True)
def small_sizes() -> Iterator[None]:
    with small_verifier(SMALL):
        yield


@pytest.fixture(scope="module")
def shown() -> Proven:
    """With public inputs and outputs."""
    return proven(False, False)


@pytest.fixture(scope="module")
def hidden() -> Proven:
    """With private inputs and outputs."""
    return proven(True, True)


def check(statement: Statement, proof: NativeProof | bytes) -> float:
    data = proof if isinstance(proof, bytes) else encode(proof)
    return native.check(statement.commitment, statement, data)


def refused(statement: Statement, proof: NativeProof | bytes) -> None:
    with pytest.raises(VerificationError):
        check(statement, proof)


def test_true_statements_are_accepted(shown: Proven, hidden: Proven) -> None:
    for proven in (shown, hidden):
        assert check(proven.statement, proven.proof) < 20, "sizes of a test are worth nothing"


# Other statements


def other_key(**changes: Any) -> Callable[[Statement], Statement]:
    def change(statement: Statement) -> Statement:
        commitment = Commitment(
            statement.commitment.program, replace(statement.commitment.key_as(NativeVerifyingKey), **changes)
        )
        return dataclasses.replace(statement, commitment=commitment)

    return change


def other_program(statement: Statement) -> Statement:
    """Another label: other bytes of the same program, and another digest."""
    (x,) = PROGRAM.inputs
    program = replace(PROGRAM, inputs=(replace(x, label="renamed"),))
    return dataclasses.replace(
        statement, commitment=Commitment(program, statement.commitment.key_as(NativeVerifyingKey))
    )


def flipped(data: bytes, position: int = 0, bit: int = 0) -> bytes:
    changed = bytearray(data)
    changed[position] ^= 1 << bit
    return bytes(changed)


def moved(value: Shown) -> Shown:
    """One element larger by one, or one bit of a root another."""
    if isinstance(value, bytes):
        return flipped(value)
    array = value.copy()
    array[-1, -1] += 1
    return array


STATEMENTS: dict[str, Callable[[Statement], Statement]] = {
    "context": lambda s: dataclasses.replace(s, context=b"another"),
    "no context": lambda s: dataclasses.replace(s, context=b""),
    "input": lambda s: dataclasses.replace(s, inputs=(moved(s.inputs[0]),)),
    "first output": lambda s: dataclasses.replace(s, outputs=(moved(s.outputs[0]), s.outputs[1])),
    "second output": lambda s: dataclasses.replace(s, outputs=(s.outputs[0], moved(s.outputs[1]))),
    "program": other_program,
    "root of the weights": lambda s: other_key(root=flipped(s.commitment.key_as(NativeVerifyingKey).root))(s),
    "queries": other_key(queries=2),
    "blinding": other_key(blinding=6),
    "length": other_key(log_length=6),
    "grinding": other_key(query_grinding=1),
    "proofs of the commitment": other_key(proofs=2),
}


@pytest.mark.parametrize("name", STATEMENTS)
@pytest.mark.parametrize("which", ["shown", "hidden"])
def test_another_statement_is_refused(name: str, which: str, shown: Proven, hidden: Proven) -> None:
    proven = {"shown": shown, "hidden": hidden}[which]
    other = STATEMENTS[name](proven.statement)
    assert other.digest() != proven.statement.digest()
    refused(other, proven.proof)


@pytest.mark.parametrize("runs", [1, 2, 4])
def test_another_number_of_runs_is_refused(runs: int, shown: Proven, hidden: Proven) -> None:
    def resized(value: Shown) -> Shown:
        return value if isinstance(value, bytes) else np.resize(value, (runs, *value.shape[1:]))

    for proven in (shown, hidden):
        statement = proven.statement
        inputs, outputs = tuple(map(resized, statement.inputs)), tuple(map(resized, statement.outputs))
        refused(dataclasses.replace(statement, runs=runs, inputs=inputs, outputs=outputs), proven.proof)


@pytest.mark.parametrize("private_inputs", [False, True])
@pytest.mark.parametrize("private_outputs", [(False, False), (False, True), (True, False), (True, True)])
def test_another_visibility_is_refused(
    private_inputs: bool, private_outputs: tuple[bool, bool], shown: Proven, hidden: Proven
) -> None:
    """Values shown that were hidden, or hidden that were shown, with the proof's own roots where they are hidden."""
    for proven in (shown, hidden):
        roots = named_values(proven.proof.roots)
        inputs: tuple[Shown, ...] = (roots[0] if private_inputs else shown.statement.inputs[0],)
        outputs = tuple(
            roots[1] if private else value
            for private, value in zip(private_outputs, shown.statement.outputs, strict=True)
        )
        statement = dataclasses.replace(proven.statement, inputs=inputs, outputs=outputs)
        if (private_inputs, *private_outputs) == (proven is hidden,) * 3:
            check(statement, proven.proof)
        else:
            refused(statement, proven.proof)


@pytest.mark.parametrize("verifier", [native.check, reference.check], ids=["fast", "reference"])
def test_hidden_outputs_share_one_commitment(verifier: Callable[..., float], hidden: Proven) -> None:
    """Each of the statement's roots is compared, not only the first."""
    (first,), (_, root) = hidden.statement.inputs, hidden.statement.outputs
    assert isinstance(first, bytes)
    assert isinstance(root, bytes)
    named: list[dict[str, Any]] = [{"outputs": (root, flipped(root))}, {"inputs": (flipped(first),)}]
    for other in named:
        statement = dataclasses.replace(hidden.statement, **other)
        with pytest.raises(MalformedProofError, match="hides other values"):
            verifier(statement.commitment, statement, encode(hidden.proof))


@pytest.mark.parametrize("size", ["log_columns", "blinding", "log_length"])
def test_commitments_to_hidden_values_bind_how_they_are_read(size: str, hidden: Proven) -> None:
    """A root may be near codewords of two codes; with its code it stands for the values of one."""
    root, header = hidden.proof.roots[0], hidden.proof.header
    other = msgspec.structs.replace(header, **{size: getattr(header, size) + 1})
    assert hidden_values(header, root) == hidden.statement.inputs[0]
    assert hidden_values(other, root) != hidden.statement.inputs[0]
    with pytest.raises(MalformedProofError):
        check(hidden.statement, replace(hidden.proof, header=other))
    with pytest.raises(MalformedProofError, match="hides other values"):
        reference.check(hidden.statement.commitment, hidden.statement, encode(replace(hidden.proof, header=other)))


# Other proofs

PARTS = ["masks", "pads", "message", "weights", "witness", "about_pads"]


def mutations(data: bytes) -> Iterator[bytes]:
    """Truncated, extended, emptied, and bits flipped at many places."""
    yield b""
    yield data[:-1]
    yield data[: len(data) // 2]
    yield data[1:]
    yield data + b"\0"
    yield data + data
    yield bytes(len(data))
    yield b"\xff" * len(data)
    for position in np.unique(np.linspace(0, len(data) - 1, 12).astype(int)):
        for bit in (0, 7):
            yield flipped(data, int(position), bit)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_was_changed_is_refused(part: str, hidden: Proven) -> None:
    data = getattr(hidden.proof, part)
    assert data
    for mutated in mutations(data):
        refused(hidden.statement, replace(hidden.proof, **{part: mutated}))


@pytest.mark.parametrize("number", range(3))
def test_a_root_that_was_changed_is_refused(number: int, hidden: Proven) -> None:
    for mutated in mutations(hidden.proof.roots[number]):
        roots = [*hidden.proof.roots]
        roots[number] = mutated
        refused(hidden.statement, replace(hidden.proof, roots=tuple(roots)))


@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_another_proof_is_refused(part: str, hidden: Proven) -> None:
    """Both proofs are of the same statement; no part of one serves the other."""
    other = proven(True, True).proof
    refused(hidden.statement, replace(hidden.proof, **{part: getattr(other, part)}))


def test_work_before_the_lookups_that_was_not_done_is_missed(shown: Proven) -> None:
    header = replace(shown.proof.header, lookup_grinding=20)
    with pytest.raises(InvalidProofError, match="lookup grinding"):
        check(shown.statement, replace(shown.proof, header=header))


def test_an_opening_that_nothing_needs_is_malformed() -> None:
    """Else one proof would have many forms, where nothing is claimed of the weights."""
    x, w, y = (Tensor(label, (2,), 0, -1, 1) for label in "xwy")
    program = Program(1, (x,), (w,), (Table("sign", -1, (-1, 0, 1)),), (Lookup(y, 0, 0, 0),), (2,))
    case = make_case(program, [np.array([1, -1])], [np.array([[1, 0]])])
    proof = prove(case).proof
    assert proof.weights == b""
    verify(case, proof)
    with pytest.raises(MalformedProofError, match="1 bytes follow the end of the opening of the weights"):
        verify(case, replace(proof, weights=b"x"))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"log_columns": 18, "log_length": 20}, "wider than its witness"),
        ({"blinding": 1 << 20, "log_length": 22, "queries": 1 << 12}, "too much work"),
        ({"blinding": SMALL.header.queries - 1}, "fewer random symbols"),
    ],
)
def test_a_header_that_is_expensive_to_check_or_hides_nothing_is_refused_before_any_work(
    sizes: dict[str, int], message: str, shown: Proven, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "reduce_to_openings", lambda *_, **__: pytest.fail("the reduction has begun"))
    with pytest.raises(MalformedProofError, match=message):
        check(shown.statement, replace(shown.proof, header=replace(shown.proof.header, **sizes)))


@pytest.mark.parametrize("field", Header.__struct_fields__)
@pytest.mark.parametrize("value", EXTREMES)
def test_a_header_of_any_sizes_takes_bounded_time_and_memory(field: str, value: int, shown: Proven) -> None:
    own = getattr(shown.proof.header, field)
    header = replace(shown.proof.header, **{field: value if value != own else value + 1})
    tracemalloc.start()
    start = time.perf_counter()
    try:
        refused(shown.statement, replace(shown.proof, header=header))
        assert time.perf_counter() - start < MAX_SECONDS
        assert tracemalloc.get_traced_memory()[1] < MAX_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("columns", [13, 20, 22])
def test_all_header_sizes_at_once_take_bounded_time_and_memory(columns: int, shown: Proven) -> None:
    """A code of the largest sizes that are a code, with as many queries as there may be."""
    header = Header(columns, 1 << 16, 24, 1 << 16, 0, 0, 0)
    tracemalloc.start()
    try:
        refused(shown.statement, replace(shown.proof, header=header))
        assert tracemalloc.get_traced_memory()[1] < MAX_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("nonce", [-(1 << 63), -1, 1, (1 << 64) - 1])
def test_another_nonce_is_refused(nonce: int, shown: Proven) -> None:
    """Where no work is asked for, too: the nonce is bound, so that a proof has one form."""
    refused(shown.statement, replace(shown.proof, lookup_nonce=nonce))


def test_matrices_of_too_many_rows_are_refused(hidden: Proven, monkeypatch: pytest.MonkeyPatch) -> None:
    """Narrow matrices of many cells have more rows than a commitment may: the prover's choice, hence its fault."""
    plan = make_case(PROGRAM, WEIGHTS, [INPUT], (True,), (True,) * 2).plan
    monkeypatch.setattr(params, "MAX_ROWS", 3)
    with pytest.raises(MalformedProofError, match="rows"):
        witness_commitments(plan, hidden.proof.roots, 1, 0)


def test_rows_that_the_opening_has_no_bytes_for_are_refused_before_any_work(
    hidden: Proven, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where all is hidden, a short file may claim any number of runs, and a header narrow matrices of all of them."""
    monkeypatch.setattr(protocol, "reduce_to_openings", lambda *_, **__: pytest.fail("the reduction has begun"))
    header = replace(hidden.proof.header, log_columns=0)
    proof = replace(hidden.proof, header=header)
    inputs, outputs = (hidden_values(header, root) for root in proof.roots[:2])
    statement = dataclasses.replace(hidden.statement, runs=1 << 16, inputs=(inputs,), outputs=(outputs,) * 2)
    with pytest.raises(MalformedProofError, match="shorter than one column"):
        check(statement, proof)


def test_a_statement_that_is_too_large_for_a_sumcheck_is_malformed(shown: Proven) -> None:
    """A short program can repeat one number 2^31 times, in each of many runs: more than 40 variables count."""
    x, w, y = Tensor("x", (1,), 0, -1, 1), Tensor("w", (2,), 0, -3, 3), Tensor("y", (), 0, -1, 1)
    repeated = Tensor("repeated", (1 << 16, 1 << 15), 0, -1, 1)
    steps = (Reshape((1, 1)), Expand(repeated.shape))
    nodes = (View(repeated, (Term(0, 1, steps),)), Einsum(y, "ab,ab->", (2, 2)))
    program = Program(1, (x,), (w,), (), nodes, (3,))
    validate(program)
    key = shown.statement.commitment.key_as(NativeVerifyingKey)
    key = replace(key, rows=weight_rows(program, key.log_columns))
    runs = 1 << 10
    zeros: list[Shown] = [np.zeros((runs, *shape), dtype=np.int64) for shape in (x.shape, y.shape)]
    statement = Statement(Commitment(program, key), runs, (zeros[0],), (zeros[1],), b"")
    proof = replace(shown.proof, message=bytes(1 << 16))
    with pytest.raises(MalformedProofError, match="40 variables"):
        check(statement, proof)


# Encodings


@pytest.mark.parametrize("which", ["shown", "hidden"])
def test_bytes_truncated_or_extended_anywhere_are_refused(which: str, shown: Proven, hidden: Proven) -> None:
    proven = {"shown": shown, "hidden": hidden}[which]
    data = encode(proven.proof)
    for end in np.linspace(0, len(data) - 1, 40).astype(int):
        refused(proven.statement, data[:end])
    refused(proven.statement, data + b"\0")
    refused(proven.statement, data * 2)


def test_bits_flipped_anywhere_are_refused(shown: Proven) -> None:
    data = encode(shown.proof)
    for position in np.linspace(0, len(data) - 1, 150).astype(int):
        refused(shown.statement, flipped(data, int(position), int(position) % 8))


@given(st.binary(max_size=300))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedProofError):
        decode(data)


def test_one_proof_has_one_encoding(shown: Proven) -> None:
    """Longer forms of the same numbers, arrays and strings, and other containers."""
    data = encode(shown.proof)
    assert decode(data) == shown.proof
    assert data[0] == 0x9B, "an array of eleven"
    longer = b"\xdc\x00\x0b" + data[1:]
    assert msgspec.msgpack.decode(longer) == msgspec.msgpack.decode(data)
    with pytest.raises(MalformedProofError, match="canonical"):
        decode(longer)
    assert data[2] == shown.proof.header.log_columns
    number = data[:2] + b"\xcc" + data[2:]
    assert msgspec.msgpack.decode(number) == msgspec.msgpack.decode(data)
    with pytest.raises(MalformedProofError, match="canonical"):
        decode(number)
    others: list[object] = [[], {}, None, [1] * 11, list(range(12))]
    for other in others:
        with pytest.raises(MalformedProofError):
            decode(msgspec.msgpack.encode(other))


def test_an_element_of_the_message_has_one_encoding(shown: Proven) -> None:
    """P more in a coordinate: the same element, other bytes."""
    message = bytearray(shown.proof.message)
    for start in range(0, len(message), 7):
        value = int.from_bytes(message[start : start + 7], "little") + P
        if value < 1 << 56:
            other = bytes(message[:start]) + value.to_bytes(7, "little") + bytes(message[start + 7 :])
            with pytest.raises(MalformedProofError, match="canonical"):
                check(shown.statement, replace(shown.proof, message=other))
            return
    pytest.fail("no coordinate has room for P more")


def test_a_message_with_elements_left_over_is_refused(shown: Proven) -> None:
    extended = replace(shown.proof, message=shown.proof.message + bytes(21))
    with pytest.raises((MalformedProofError, InvalidProofError)):
        check(shown.statement, extended)
