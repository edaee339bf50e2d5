"""`verify` on proofs of the native backend: what is accepted, what each change of statement or proof is refused as."""

import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard

import msgspec
import numpy as np
import pytest
from support.claims import hidden_root
from support.claims import public as shown
from support.example_programs import mlp, sums_of_sums

from zkinfer.circuit.evaluate import evaluate
from zkinfer.errors import (
    CommitmentMismatchError,
    InvalidProofError,
    MalformedCommitmentError,
    MalformedProofError,
    StatementError,
    UnreadableProofError,
    UnusableStatementError,
    VerificationError,
    VerifierUnavailableError,
)
from zkinfer.files.commitment import Commitment
from zkinfer.files.native_key import NativeVerifyingKey
from zkinfer.files.proof import OutputTensor, PrivateTensor, Proof
from zkinfer.native.keys import NativeKeys
from zkinfer.native.setup import setup
from zkinfer.protocol.native_proof.encoding import decode, encode
from zkinfer.protocol.reduction import plan as fast_plan
from zkinfer.verifier import VerifiedInference, native, verify
from zkinfer.verifier.reference import plan

EXAMPLE = mlp()
RUNS = 3
INTEGERS = np.array([[-3, 11, 2], [15, -15, 0], [1, 2, 3]])
X = INTEGERS / 8
CONTEXT = b"request 1"
ALTERED = "it was altered, or is of another model, or of other inputs, outputs or context"
WORDS = f"the proof does not show this statement: {ALTERED}"


@pytest.fixture(scope="module")
def keys() -> NativeKeys:
    return setup(EXAMPLE.program, EXAMPLE.weights, proofs=20, seed=bytes(32))


def prove(keys: NativeKeys, **hidden: bool) -> Proof:
    return keys.prove([INTEGERS.reshape(RUNS, 1, 3)], CONTEXT, **hidden)


@pytest.fixture(scope="module")
def public(keys: NativeKeys) -> Proof:
    return prove(keys)


@pytest.fixture(scope="module")
def hidden(keys: NativeKeys) -> Proof:
    """Both inputs and outputs."""
    return prove(keys, private_inputs=True, private_outputs=True)


def check(keys: NativeKeys, proof: Proof, **changes: Any) -> VerifiedInference:
    """`verify`, with nothing in the proof file that tells what it was made for: the argument itself has to notice."""
    own = {"commitment": keys.commitment, "inputs": X, "context": CONTEXT}
    return verify(bend(proof), **{**own, **changes})


def bend(proof: Proof, **changes: Any) -> Proof:
    """The proof with other parts, which no longer tells what it was made for."""
    members = {name: getattr(proof, name) for name in ("output_tensors", "data", "private_inputs")} | changes
    digest = changes.pop("commitment_digest", proof.commitment_digest)
    members.pop("commitment_digest", None)
    return Proof("sumcheck", digest, **members)


# WitnessJudge.


def test_all_runs_are_verified_at_once(keys: NativeKeys, public: Proof) -> None:
    result = check(keys, Proof.from_bytes(public.to_bytes()))
    expected = evaluate(EXAMPLE.program, EXAMPLE.weights, [INTEGERS.reshape(RUNS, 1, 3)])[7].reshape(RUNS, 2) / 64
    np.testing.assert_array_equal(result.outputs, expected)
    np.testing.assert_array_equal(public.outputs, expected)
    np.testing.assert_array_equal(result.inputs, X)
    assert result.runs == RUNS
    assert result.fingerprint == keys.commitment.fingerprint
    assert not result.test_only


def test_the_result_says_what_it_rests_on(keys: NativeKeys, public: Proof) -> None:
    result = check(keys, public)
    assert result.security_bits >= 128
    assert "random oracle" in result.security
    assert "the inputs, the outputs" in result.public
    assert "the weights" in result.zero_knowledge
    assert "20 proofs" in result.zero_knowledge
    assert "128 bits" in repr(result)


def test_hidden_values_are_named_by_their_commitments(keys: NativeKeys, hidden: Proof) -> None:
    result = check(keys, hidden, inputs=None)
    assert result.inputs is None
    assert result.outputs is None
    assert hidden.outputs is None
    assert result.input_commitments == (hidden_root(hidden.private_inputs[0]),)
    assert result.output_commitments == (hidden_root(hidden.output_tensors[0]),)
    assert result.runs == RUNS
    assert "the inputs" not in result.public
    assert result.zero_knowledge.startswith("hidden: the inputs, the outputs, the weights")
    assert "hidden" in repr(result)


def claiming(proof: Proof, runs: int, **changes: Any) -> Proof:
    """The proof with other numbers of runs, in the shapes of what it hides."""
    inputs = tuple(PrivateTensor((runs, *t.shape[1:]), t.root) for t in proof.private_inputs if t is not None)
    outputs = tuple(PrivateTensor((runs, *t.shape[1:]), t.root) for t in proof.output_tensors if is_hidden(t))
    return bend(proof, **{"private_inputs": inputs, "output_tensors": outputs} | changes)


def is_hidden(tensor: OutputTensor | PrivateTensor) -> TypeGuard[PrivateTensor]:
    return isinstance(tensor, PrivateTensor)


@pytest.mark.parametrize("engine", ["python", "reference"])
@pytest.mark.parametrize("runs", [(1 << 12) + 1, (1 << 20) - 1])
def test_runs_that_nothing_of_the_caller_s_bounds_are_limited_before_any_work(
    keys: NativeKeys, hidden: Proof, runs: int, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of some hundred bytes may claim a million runs where it hides everything."""
    monkeypatch.setattr(native, "make_plan", lambda *_: pytest.fail("work has begun"))
    monkeypatch.setattr(plan, "Plan", lambda *_: pytest.fail("work has begun"))
    with pytest.raises(UnusableStatementError, match=f"max_runs={runs}"):
        check(keys, claiming(hidden, runs), inputs=None, engine=engine)
    zeros = np.zeros((runs, 2), dtype=np.int64)
    shown_outputs = bend(claiming(hidden, runs), output_tensors=(OutputTensor.of(zeros, 6),))
    with pytest.raises(UnusableStatementError, match=f"max_runs={runs}"):
        check(keys, shown_outputs, inputs=None, engine=engine)


def test_the_caller_says_how_many_runs_may_be_claimed(keys: NativeKeys, hidden: Proof, public: Proof) -> None:
    assert check(keys, hidden, inputs=None, max_runs=RUNS).runs == RUNS
    for proof, inputs in ((hidden, None), (public, X)):
        with pytest.raises(UnusableStatementError, match=f"max_runs={RUNS}"):
            check(keys, proof, inputs=inputs, max_runs=RUNS - 1)
    with pytest.raises(MalformedProofError, match="ends at byte"):
        check(keys, claiming(hidden, (1 << 12) + 1), inputs=None, max_runs=1 << 13)


def test_the_reference_verifier_refuses_what_it_has_no_memory_for(keys: NativeKeys, hidden: Proof) -> None:
    with pytest.raises(VerifierUnavailableError, match="engine='python'"):
        check(keys, claiming(hidden, 1 << 18), inputs=None, engine="reference", max_runs=1 << 20)


def test_the_bits_are_those_that_are_asked_for(keys: NativeKeys, public: Proof) -> None:
    bits = check(keys, public).security_bits
    assert check(keys, public, min_bits=bits).security_bits == bits
    with pytest.raises(InvalidProofError, match=r"less than the 2\*\*200 that are asked for"):
        check(keys, public, min_bits=200)


@pytest.mark.parametrize("bits", [float("nan"), -1, "128", True, [128]])
def test_bits_that_no_security_can_be_compared_with_are_refused(keys: NativeKeys, public: Proof, bits: Any) -> None:
    """No comparison with NaN holds, so that any security would pass for enough."""
    with pytest.raises(UnusableStatementError, match="number of bits from 0 on"):
        check(keys, public, min_bits=bits)


def test_a_file_that_is_larger_than_any_proof_of_the_program_is_not_read(keys: NativeKeys, tmp_path: Path) -> None:
    large = tmp_path / "proof.zkp"
    with large.open("wb") as file:
        file.truncate(65 << 20)
    for source in (large, bytes(65 << 20)):
        with pytest.raises(UnreadableProofError, match="accepted"):
            verify(source, keys.commitment, inputs=X)


def test_the_commitment_that_the_caller_expects_is_compared(keys: NativeKeys, hidden: Proof) -> None:
    (root,) = map(hidden_root, hidden.private_inputs)
    (out,) = map(hidden_root, hidden.output_tensors)
    check(keys, hidden, inputs=root, outputs=out)
    for changes in ({"inputs": out, "outputs": out}, {"inputs": root, "outputs": root}, {"inputs": bytes(32)}):
        with pytest.raises(StatementError, match="another commitment"):
            check(keys, hidden, **changes)


def test_equal_inputs_are_hidden_differently_in_each_proof(keys: NativeKeys, hidden: Proof) -> None:
    again = prove(keys, private_inputs=True)
    assert hidden_root(again.private_inputs[0]) != hidden_root(hidden.private_inputs[0])


@pytest.mark.parametrize("which", ["private_inputs", "private_outputs"])
def test_one_side_may_be_hidden(keys: NativeKeys, which: str) -> None:
    proof = prove(keys, **{which: True})
    result = check(keys, proof, inputs=None if which == "private_inputs" else X)
    assert (result.inputs is None) == (which == "private_inputs")
    assert (result.outputs is None) == (which == "private_outputs")


# The statement, one field at a time.


@pytest.mark.parametrize("run", range(RUNS))
def test_another_input_in_any_run(keys: NativeKeys, public: Proof, run: int) -> None:
    other = X.copy()
    other[run, 1] += 0.125 if other[run, 1] < 1 else -0.125
    # Other columns are drawn, so that seldom the bytes of those that were shown are not as many as are expected.
    with pytest.raises((InvalidProofError, MalformedProofError)):
        check(keys, public, inputs=other)


def test_another_output_in_any_run(keys: NativeKeys, public: Proof) -> None:
    (claim,) = map(shown, public.output_tensors)
    for place in np.eye(2 * RUNS, dtype=int).reshape(-1, RUNS, 2):
        integers = claim.integers()
        wrong = OutputTensor.of(np.where(integers > 0, integers - place, integers + place), claim.frac_bits)
        with pytest.raises((InvalidProofError, MalformedProofError)):
            check(keys, bend(public, output_tensors=(wrong,)))


def test_runs_in_another_order(keys: NativeKeys, public: Proof) -> None:
    (claim,) = map(shown, public.output_tensors)
    swapped = OutputTensor.of(claim.integers()[::-1], claim.frac_bits)
    with pytest.raises(InvalidProofError):
        check(keys, bend(public, output_tensors=(swapped,)), inputs=X[::-1])


def test_fewer_runs_than_were_proven(keys: NativeKeys, public: Proof) -> None:
    (claim,) = map(shown, public.output_tensors)
    fewer = bend(public, output_tensors=(OutputTensor.of(claim.integers()[:2], claim.frac_bits),))
    with pytest.raises(StatementError, match="for 2 runs of the circuit; the proof is of 3 runs"):
        check(keys, public, inputs=X[:2])
    with pytest.raises(VerificationError):
        check(keys, fewer, inputs=X[:2])


@pytest.mark.parametrize("context", [b"", b"request 2", b"request 1\0"])
def test_another_context(keys: NativeKeys, public: Proof, hidden: Proof, context: bytes) -> None:
    """Once in some hundred times a nonce fits the other context, and what is then drawn needs more or fewer bytes."""
    for proof, inputs in ((public, X), (hidden, None)):
        with pytest.raises((InvalidProofError, MalformedProofError)):
            check(keys, proof, inputs=inputs, context=context)


def test_values_cannot_be_held_against_a_commitment(keys: NativeKeys, hidden: Proof) -> None:
    with pytest.raises(StatementError, match="'x' is hidden"):
        check(keys, hidden)
    with pytest.raises(StatementError, match="'y' is hidden"):
        check(keys, hidden, inputs=None, outputs=np.zeros((RUNS, 2)))


def test_public_inputs_are_the_callers(keys: NativeKeys, public: Proof) -> None:
    cases: list[Any] = [None, bytes(32), {}]
    for nothing in cases:
        with pytest.raises(StatementError, match="'x' is public in this proof"):
            check(keys, public, inputs=nothing)


# Visibility: who may claim that something is hidden, or is not.


def test_public_values_cannot_be_passed_off_as_hidden(keys: NativeKeys, public: Proof) -> None:
    """Else a proof would verify for a caller who does not know its inputs."""
    for changes in (
        {"private_inputs": (PrivateTensor((RUNS, 3), bytes(32)),)},
        {"output_tensors": (PrivateTensor((RUNS, 2), bytes(32)),)},
    ):
        with pytest.raises(VerificationError):
            check(keys, bend(public, **changes), inputs=None if "private_inputs" in changes else X)


def test_hidden_values_cannot_be_passed_off_as_public_ones(keys: NativeKeys, hidden: Proof, public: Proof) -> None:
    for changes in ({"private_inputs": ()}, {"output_tensors": public.output_tensors}):
        with pytest.raises(VerificationError):
            check(keys, bend(hidden, **changes), inputs=X if "private_inputs" in changes else None)


def test_a_hidden_value_is_bound_by_its_commitment(keys: NativeKeys, hidden: Proof) -> None:
    other = prove(keys, private_inputs=True, private_outputs=True)
    for changes in (
        {"private_inputs": other.private_inputs},
        {"output_tensors": other.output_tensors},
        {"private_inputs": other.private_inputs, "output_tensors": other.output_tensors},
    ):
        with pytest.raises((MalformedProofError, InvalidProofError)):
            check(keys, bend(hidden, **changes), inputs=None)


# The commitment.


def test_a_proof_under_another_commitment_to_the_same_weights(keys: NativeKeys, public: Proof) -> None:
    other = setup(EXAMPLE.program, EXAMPLE.weights, proofs=20).commitment
    with pytest.raises(CommitmentMismatchError, match="another commitment"):
        check(keys, public, commitment=other)
    with pytest.raises(InvalidProofError):
        check(keys, bend(public, commitment_digest=other.digest), commitment=other)


def test_a_commitment_made_in_memory_is_checked_first(keys: NativeKeys, public: Proof) -> None:
    key = keys.commitment.key_as(NativeVerifyingKey)
    more_rows = {"rows": key.rows + 1}
    for changes, message in ((more_rows, "weights fill"), ({"queries": 0}, "queries"), ({"root": b""}, "32 bytes")):
        broken = Commitment(EXAMPLE.program, msgspec.structs.replace(key, **changes))
        with pytest.raises(MalformedCommitmentError, match=message):
            check(keys, bend(public, commitment_digest=broken.digest), commitment=broken)


def test_weak_parameters_are_no_evidence(keys: NativeKeys, public: Proof, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who publishes a commitment chooses its parameters, and could choose ones under which it can forge."""
    monkeypatch.setattr(native, "check", lambda *_: 99.0)
    with pytest.raises(InvalidProofError, match=r"2\*\*99"):
        check(keys, public)


@pytest.mark.parametrize("engine", ["ezkl", "both"])
def test_engines_of_ezkl_do_not_check_native_proofs(keys: NativeKeys, public: Proof, engine: str) -> None:
    with pytest.raises(VerifierUnavailableError, match="takes engine 'python' or 'reference', not"):
        check(keys, public, engine=engine)


# Any bytes.


def test_every_region_of_the_proof_matters(keys: NativeKeys, public: Proof) -> None:
    """One bit in each of 60 places from the first byte to the last."""
    size = len(public.data)
    for position in sorted({*range(0, size, size // 60), size - 1}):
        data = bytearray(public.data)
        data[position] ^= 1
        with pytest.raises(VerificationError):
            check(keys, bend(public, data=bytes(data)))


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x99", bytes(1000)])
def test_bytes_that_are_no_proof(keys: NativeKeys, public: Proof, data: bytes) -> None:
    with pytest.raises(MalformedProofError):
        check(keys, bend(public, data=data))


def test_truncated_and_extended_proofs(keys: NativeKeys, public: Proof) -> None:
    for data in (public.data[:-1], public.data[: len(public.data) // 2], public.data + b"\0"):
        with pytest.raises(MalformedProofError):
            check(keys, bend(public, data=data))


# A third party's machine.


SCRIPT = textwrap.dedent(
    """
    import importlib.abc, json, sys

    class Blocker(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path=None, target=None):
            if name.split(".")[0] in ("numba", "onnx", "onnxruntime", "torch", "ezkl", "mpmath", "llvmlite"):
                raise ImportError(f"{name} is not installed for a verifier")

    sys.meta_path.insert(0, Blocker())
    import numpy as np
    from zkinfer.verifier import verify
    result = verify("answer.proof", "model.zkc", inputs=np.load("x.npy"), context=b"request 1")
    print(json.dumps([result.fingerprint, result.outputs.tolist()]))
    """
)


def test_verifying_needs_no_package_of_the_prover(keys: NativeKeys, public: Proof, tmp_path: Path) -> None:
    keys.commitment.save(tmp_path / "model.zkc")
    public.save(tmp_path / "answer.proof")
    np.save(tmp_path / "x.npy", X)
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == [keys.commitment.fingerprint, np.asarray(public.outputs).tolist()]


# Work, and words.


def test_both_verifiers_limit_how_often_sums_of_sums_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever publishes a program of a hundred kilobytes could otherwise keep its verifiers busy for hours."""
    example = sums_of_sums(12)
    keys = setup(example.program, example.weights, proofs=2)
    x = np.array([1, -1])
    proof = keys.prove([x[None]], b"")
    for engine in ("python", "reference"):
        assert verify(proof, keys.commitment, inputs=x, engine=engine).runs == 1
    for module in (fast_plan, plan):
        monkeypatch.setattr(module, "FREE_PULLED", 0)
        monkeypatch.setattr(module, "PULLED_PER_SOURCE", 2)
    for engine in ("python", "reference"):
        with pytest.raises(MalformedCommitmentError, match="sums of sums are read in too many places"):
            verify(proof, keys.commitment, inputs=x, engine=engine)


def damaged(proof: Proof) -> Iterator[Proof]:
    """With one bit flipped in the middle of each part of the argument; and with sizes that ask for more work."""
    parts = decode(proof.data)
    for name in ("message", "weights", "witness", "about_pads", "branch", "pads"):
        changed = bytearray(getattr(parts, name))
        if not changed:
            continue  # a matrix that this proof has none of
        changed[len(changed) // 2] ^= 1
        yield bend(proof, data=encode(msgspec.structs.replace(parts, **{name: bytes(changed)})))
    for work in ("lookup_grinding", "weight_grinding"):
        header = msgspec.structs.replace(parts.header, **{work: 20})
        yield bend(proof, data=encode(msgspec.structs.replace(parts, header=header)))


@pytest.mark.parametrize("engine", ["python", "reference"])
def test_a_refusal_is_said_in_words_whichever_check_fails(keys: NativeKeys, public: Proof, engine: str) -> None:
    """Nobody who verifies knows what a nonce of query grinding is. The check that failed is the error's cause."""
    causes = set()
    for proof in damaged(public):
        with pytest.raises(VerificationError) as caught:
            check(keys, proof, engine=engine)
        if isinstance(caught.value, InvalidProofError):
            assert str(caught.value) == WORDS
        else:
            assert isinstance(caught.value, MalformedProofError)
            assert f"no proof of this statement has this form: {ALTERED} (" in str(caught.value)
        causes.add(str(caught.value.__cause__))
    for inner in ("'lookup grinding'", "'query grinding'", "the opened columns"):
        assert any(inner in cause for cause in causes), "else the words above say nothing"


@pytest.mark.parametrize("engine", ["python", "reference"])
def test_the_proof_of_another_model_is_refused_in_the_same_words(keys: NativeKeys, public: Proof, engine: str) -> None:
    for proofs in (2, 20):  # with other sizes, and with the same
        other = setup(EXAMPLE.program, [-w for w in EXAMPLE.weights], proofs=proofs)
        with pytest.raises((InvalidProofError, MalformedProofError), match=ALTERED):
            check(keys, bend(prove(other), commitment_digest=public.commitment_digest), engine=engine)
