"""Whole proofs of two small programs, and all that an implementer compares with them: docs/protocol/vectors.md."""

import base64
import itertools
import json
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
import numpy as np
import pytest
from support.both_verifiers import ask_both, ask_reference
from support.example_programs import relu_table
from support.native_prover import DIGEST, HONEST, SMALL_PADS, Attempt, Case, Lie, commit_weights, prove, small, verify

from zkinfer.circuit.encoding import encode_program
from zkinfer.circuit.evaluate import evaluate
from zkinfer.circuit.program import Einsum, Lookup, Node, Program, Tensor, Term, View
from zkinfer.circuit.steps import Expand, Reshape
from zkinfer.errors import VerificationError
from zkinfer.files.commitment import Commitment
from zkinfer.files.proof import Proof
from zkinfer.files.statement import Statement
from zkinfer.native.setup import setup
from zkinfer.protocol.channel import PadConstraints
from zkinfer.protocol.field.scalar import ONE, Ext, ext_add, ntt
from zkinfer.protocol.merkle.paths import hash_leaf, hash_node
from zkinfer.protocol.native_proof import protocol
from zkinfer.protocol.native_proof.encoding import NativeProof, decode, encode
from zkinfer.protocol.pads.protocol import run_pads_proof as honest
from zkinfer.protocol.randomness import Randomness
from zkinfer.protocol.reduction.layout import Layout
from zkinfer.protocol.reduction.plan import make_plan
from zkinfer.protocol.transcript import Transcript
from zkinfer.typing import IntArray
from zkinfer.verifier import native, reference
from zkinfer.verifier import verify as verify_file

FOLDER = Path(__file__).parent.parent / "verifier" / "vectors"
WEIGHTS = [np.array([[1, -2, 3], [4, 5, -6]]), np.array([7, -8])]
X = np.array([[[3, -4, 5]]])
CONTEXT = b"vectors"
CASES = {
    "gemm-public": (False, False),
    "gemm-hidden": (False, True),
    "gemm-relu-public": (True, False),
    "gemm-relu-hidden": (True, True),
}
"""Whether a rounding ReLU follows, and whether inputs and outputs are hidden."""

LIES = {
    "gemm-public": (
        "sumcheck: evaluations against the last round",
        "the parts of a claim add up to it",
        "the opened matrices have the claimed values",
        "the weights of a sumcheck over committed cells",
    ),
    "gemm-relu-public": (
        "lookup: sum over entries against sum over rows",
        "lookup: a denominator is zero",
        "lookup: numerators of the entries",
        "lookup: denominators of the entries",
        "lookup: multiplicities",
        "lookup: denominators of the rows",
    ),
}
"""Checks that fail for proofs with one element of a message changed: all that the channel of these programs has."""

FLIPS = 120
"""Bits that are tried, evenly over a proof, for one of each refusal."""

Json = dict[str, Any]


def program(rounded: bool) -> Program:
    """2 by 3 weights, a bias, and perhaps a rounding ReLU table."""
    nodes: list[Node] = [
        Einsum(Tensor("product", (1, 2), 6, -287, 287), "bi,oi->bo", (0, 1)),
        View(
            Tensor("sum", (1, 2), 6, -307, 307),
            (Term(3, 1, ()), Term(2, 1, (Reshape((1, 2)), Expand((1, 2))))),
        ),
    ]
    if rounded:
        nodes.append(Lookup(Tensor("relu", (1, 2), 3, 0, 31), 4, 0, 3))
    tables = (relu_table(-39, 39, 31),) if rounded else ()
    weights = (Tensor("w", (2, 3), 3, -6, 6), Tensor("b", (2,), 6, -20, 20))
    return Program(1, (Tensor("x", (1, 3), 3, -15, 15),), weights, tables, tuple(nodes), (2 + len(nodes),))


def case_of(name: str) -> Case:
    """A true statement, with weights committed with fixed randomness."""
    rounded, hidden = CASES[name]
    circuit, sizes = program(rounded), small()
    values: dict[int, IntArray] = dict(enumerate(evaluate(circuit, WEIGHTS, [X])))
    matrix = commit_weights(circuit, WEIGHTS, sizes, Randomness(bytes([1] * 32)))
    return Case(make_plan(circuit, 1, (hidden,), (hidden,)), WEIGHTS, values, sizes, matrix)


def proof_of(case: Case, lie: Lie = HONEST) -> Attempt:
    """A proof with fixed randomness."""
    return prove(case, lie, randomness=Randomness(bytes([2] * 32)))


class Recorder:
    """Calls of transcripts, and the constraints of the proof about the pads.

    Attributes:
        calls: what is called, the label, what goes in or comes out, and the state after it.
    """

    def __init__(self) -> None:
        self.calls: list[list[Any]] = []
        self.constraints = PadConstraints()

    def run(self, action: Callable[[], Any]) -> Any:
        """An action, recorded."""
        describe: dict[str, tuple[str, Callable[..., Any]]] = {
            "absorb": ("absorb", lambda result, *pieces: _shown(b"".join(pieces))),
            "challenge_exts": ("elements", lambda result, count: [count, *result[:1]]),
            "challenge_indices": ("indices", lambda result, bound, count: [bound, *result]),
            "check_grind": ("work", lambda result, bits, nonce: [bits, nonce]),
        }

        def run_pads_proof(sizes: Any, root: bytes, constraints: PadConstraints, *rest: Any) -> None:
            self.constraints = constraints
            honest(sizes, root, constraints, *rest)

        with mock.patch.object(protocol, "run_pads_proof", run_pads_proof):
            patches = [
                mock.patch.object(Transcript, name, self._recorded(getattr(Transcript, name), *described))
                for name, described in describe.items()
            ]
            for patch in patches:
                patch.start()
            try:
                return action()
            finally:
                for patch in patches:
                    patch.stop()

    def _recorded(self, honest: Callable[..., Any], kind: str, describe: Callable[..., Any]) -> Callable[..., Any]:
        def call(transcript: Transcript, label: str, *arguments: Any) -> Any:
            result = honest(transcript, label, *arguments)
            self.calls.append([kind, label, describe(result, *arguments), transcript._state.hex()])
            return result

        return call


def _shown(message: bytes) -> str | int:
    """A short message itself, of a long one its length."""
    return message.hex() if len(message) <= 32 else len(message)


def boxes(layout: Layout) -> list[Any]:
    """For each tensor of a matrix its shape, and of each box the starts, the variables and the first cell."""
    return [
        [part.shape, [[box.starts, box.variables, offset] for box, offset in zip(part.boxes, offsets, strict=True)]]
        for part, offsets in zip(layout.cuts, layout.offsets, strict=True)
    ]


def described(name: str) -> Json:
    """All of a case but the refusals."""
    case, recorder = case_of(name), Recorder()
    proof = proof_of(case).proof
    security = recorder.run(lambda: verify(case, proof))
    constraints = recorder.constraints
    code, opening = case.sizes.weights.code, case.sizes.weights
    found = {
        "program": encode_program(case.plan.program).hex(),
        "weights": [weight.tolist() for weight in WEIGHTS],
        "values": {str(number): case.values[number].tolist() for number in sorted(case.values)},
        "hidden": CASES[name][1],
        "statement": DIGEST.hex(),
        "opening": [code.log_columns, code.blinding, code.log_length, opening.queries, 0, 0],
        "pads_checked": [SMALL_PADS.error_bits, SMALL_PADS.query_grinding],
        "root": case.matrix.commitment.root.hex(),
        "rows": case.matrix.commitment.rows,
        "proof": base64.b64encode(encode(proof)).decode(),
        "boxes": [boxes(layout) for layout in case.plan.layouts],
        "pads": constraints.pads,
        "products": [[number, *pair] for number, pair in enumerate(constraints.variables) if pair is not None],
        "constraints": [[one.check, one.form.constant, len(one.form.variables)] for one in constraints.linear],
        "terms": [[term.name, round(term.bits, 6), term.grinding] for term in security.terms],
        "bits": round(security.bits, 6),
        "transcript": recorder.calls,
    }
    plain: Json = json.loads(json.dumps(found))
    return plain


def words(error: VerificationError) -> str:
    """What is said, without the words of the package that reads msgpack."""
    return "not a native proof" if str(error).startswith("not a native proof:") else str(error)


def refusal(name: str, data: bytes) -> str:
    """What both verifiers refuse a proof of a case with: in the words of the first one.

    Raises:
        AssertionError: one of them accepts it.
    """
    try:
        proof = decode(data)
    except VerificationError as error:
        with pytest.raises(VerificationError):
            _read_by_reference(name, data)
        return words(error)
    try:
        ask_both(case_of(name), proof)
    except VerificationError as error:
        return words(error)
    raise AssertionError("a changed proof is accepted")


def _read_by_reference(name: str, data: bytes) -> None:
    """Any bytes, read and verified by the reference alone."""
    reference.decode(data)
    ask_reference(case_of(name), msgspec.msgpack.decode(data, type=NativeProof))


def flipped(data: bytes, bit: int) -> bytes:
    """With one bit changed."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def refusals(data: bytes, bits: Sequence[int], refused: Callable[[bytes], str]) -> list[list[Any]]:
    """Of these bits the first one for each refusal, numbers in it aside."""
    found: dict[str, list[Any]] = {}
    for bit in bits:
        message = refused(flipped(data, bit))
        found.setdefault(re.sub(r"\d+", "0", message), [bit, message])
    return list(found.values())


def spread(data: bytes) -> list[int]:
    """Bits, evenly over a proof, of all significances."""
    return [(8 * len(data) * i // FLIPS) // 8 * 8 + i % 8 for i in range(FLIPS)]


def lie_about(number: int, place: int) -> Lie:
    """One element of a message is one greater."""

    def send(sent: int, label: str, values: list[Ext]) -> list[Ext]:
        return [ext_add(v, ONE) if (sent, i) == (number, place) else v for i, v in enumerate(values)]

    return Lie(send=send)


def find_lies(name: str) -> list[Json]:
    """For each check of the case, the first message whose change it refuses."""
    case, missing = case_of(name), list(LIES[name])
    found = []
    for number, (label, count) in enumerate(proof_of(case).labels):
        for place in range(count):
            attempt = proof_of(case, lie_about(number, place))
            for check in [check for check in missing if check in attempt.failing]:
                missing.remove(check)
                proof = base64.b64encode(encode(attempt.proof)).decode()
                found.append({"check": check, "message": [number, label, place], "proof": proof})
    assert not missing
    return found


def primitives() -> Json:
    """One challenge of each kind, a Merkle root, a transform."""
    transcript = Transcript(protocol.DOMAIN)
    transcript.absorb("message", b"data")
    leaves = [bytes([i]) * 40 for i in range(4)]
    hashes = [hash_leaf(leaf) for leaf in leaves]
    nodes = [hash_node(*hashes[:2]), hash_node(*hashes[2:])]
    found = {
        "domain": protocol.DOMAIN.decode(),
        "element": transcript.challenge_ext("element"),
        "indices": transcript.challenge_indices("indices", 1000, 4),
        "nonce": transcript.grind("work", 8),
        "state": transcript._state.hex(),
        "leaves": [leaf.hex() for leaf in leaves],
        "leaf_hashes": [digest.hex() for digest in hashes],
        "nodes": [digest.hex() for digest in nodes],
        "merkle_root": hash_node(*nodes).hex(),
        "coefficients": list(range(1, 9)),
        "transform": ntt(list(range(1, 9))),
    }
    plain: Json = json.loads(json.dumps(found))
    return plain


def files() -> tuple[bytes, bytes]:
    """The commitment to Gemm's weights for one proof, and a proof of public values, with all 128 bits."""
    counter = itertools.count(1)
    with mock.patch("secrets.token_bytes", lambda count: bytes([next(counter)] * count)):
        keys = setup(program(False), WEIGHTS, proofs=1, seed=bytes(32))
        return keys.commitment.to_bytes(), keys.prove([X], CONTEXT).to_bytes()


def file_verdict(commitment: bytes, proof: bytes) -> float:
    """Bits of security that both verifiers report of the files.

    Raises:
        VerificationError: the files are refused.
    """
    bits = [
        verify_file(
            Proof.from_bytes(proof),
            Commitment.from_bytes(commitment),
            inputs=X[0] / 8,
            context=CONTEXT,
            engine=engine,
        ).security_bits
        for engine in ("python", "reference")
    ]
    assert bits[0] == pytest.approx(bits[1], abs=1e-6)
    return round(bits[0], 6)


def file_refusal(commitment: bytes, proof: bytes) -> str:
    """What files are refused with."""
    try:
        file_verdict(commitment, proof)
    except VerificationError as error:
        return str(error)
    raise AssertionError("a changed file is accepted")


def argument_refusal(commitment: bytes, argument: bytes) -> str:
    """What both verifiers refuse an argument about the files' statement with: in the words of the first one."""
    loaded = Commitment.from_bytes(commitment)
    statement = Statement(loaded, 1, (X,), (evaluate(program(False), WEIGHTS, [X])[-1],), CONTEXT)
    messages = []
    for check in (native.check, reference.check):
        try:
            check(loaded, statement, argument)
        except VerificationError as error:
            messages.append(words(error))
    assert len(messages) == 2, "a changed argument is accepted"
    return messages[0]


def described_files(commitment: bytes, proof: bytes) -> Json:
    """What is said of the files, and which changes are refused: of the proof's file, and of its argument."""
    argument = Proof.from_bytes(proof).data
    ends = [8 * at for at in (0, 8, 12, 16, 24, 60, len(proof) - 1)]
    found = {
        "program": encode_program(program(False)).hex(),
        "weights": [weight.tolist() for weight in WEIGHTS],
        "input": X[0].tolist(),
        "output": evaluate(program(False), WEIGHTS, [X])[-1][0].tolist(),
        "context": CONTEXT.decode(),
        "commitment": Commitment.from_bytes(commitment).digest.hex(),
        "bits": file_verdict(commitment, proof),
        "flips": refusals(proof, ends, partial(file_refusal, commitment)),
        "argument_flips": refusals(argument, spread(argument), partial(argument_refusal, commitment)),
    }
    plain: Json = json.loads(json.dumps(found))
    return plain


def read(name: str) -> Json:
    """A stored file of vectors."""
    found: Json = json.loads((FOLDER / f"{name}.json").read_text())
    return found


def write(name: str, content: Json) -> None:
    """A file of vectors, a key a line."""
    lines = (f"{json.dumps(key)}: {json.dumps(value, separators=(',', ':'))}" for key, value in content.items())
    (FOLDER / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
