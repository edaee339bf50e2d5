"""Thousands of ways to alter a proof or a file, and a named refusal of each.

The golden vectors were made with the public test string, whose secret is known. A pairing check
e(L, G2) e(W, -s G2) = 1 is then the same as L = s W, which takes a fortieth of the time; these tests use that. The
pairing itself is tested in `test_bn254.py` and `test_verify.py`.
"""

import contextlib
import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zkinfer.errors import (
    CommitmentMismatchError,
    InvalidProofError,
    MalformedCommitmentError,
    MalformedProofError,
    VerificationError,
)
from zkinfer.ezkl.srs import _test_tau
from zkinfer.ezkl.verifier import machine
from zkinfer.ezkl.verifier.bn254 import (
    BASE_MODULUS,
    G2_GENERATOR,
    SCALAR_MODULUS,
    G1Point,
    G2Point,
    is_canonical_point,
    pairings_cancel,
    scale,
)
from zkinfer.ezkl.verifier.halo2 import load
from zkinfer.files.artifact import unwrap, wrap
from zkinfer.files.commitment import Commitment
from zkinfer.files.kinds import COMMITMENT, PROOF

WORD = 32
SECRET = _test_tau()


def cancel_by_secret(pairs: Sequence[tuple[G1Point, G2Point]]) -> bool:
    """What `pairings_cancel` answers for a KZG opening under the test string."""
    (left, generator), (right, _) = pairs
    assert generator == G2_GENERATOR
    return left == scale(right, SECRET)


@pytest.fixture(autouse=True, scope="module")
def _known_secret() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "pairings_cancel", cancel_by_secret)
        yield


class Golden:
    """The dense vector, for tests of hypothesis, which take no fixtures of other scopes well."""

    vector: Any = None


@pytest.fixture(autouse=True, scope="module")
def _golden(dense: Any) -> None:
    Golden.vector = dense


def test_shortcut_agrees_with_the_pairing(dense: Any) -> None:
    point = scale((1, 2), 77)
    artifact = load(dense.commitment.key.artifact)
    for left, cancels in ((scale(point, SECRET), True), (scale(point, SECRET + 1), False)):
        pairs = [(left, G2_GENERATOR), (point, artifact.negated_s_g2)]
        assert cancel_by_secret(pairs) is pairings_cancel(pairs) is cancels


def test_golden_proofs_are_accepted(vector: Any) -> None:
    assert vector.verify().fingerprint == vector.fingerprint


# The statement's numbers.


def test_every_input_element_matters(dense: Any) -> None:
    for i in range(dense.inputs[0].size):
        x = dense.inputs[0].copy()
        x.flat[i] += 0.125 if x.flat[i] < 1 else -0.125
        with pytest.raises(InvalidProofError):
            dense.verify(inputs=x)


def test_every_output_element_matters(dense: Any) -> None:
    (claimed,) = dense.proof.output_tensors
    for one in np.eye(claimed.integers().size, dtype=np.int64):
        with pytest.raises(InvalidProofError):
            dense.verify(proof=dense.bend_values(lambda v, one=one: np.where(v < 40, v + one, v - one)))


def test_outputs_swapped(dense: Any) -> None:
    (claimed,) = dense.proof.output_tensors
    assert len(np.unique(claimed.integers())) > 1
    with pytest.raises(InvalidProofError):
        dense.verify(proof=dense.bend_values(np.fliplr))


# The proof's bytes.


def words(data: bytes) -> list[bytes]:
    return [data[i : i + WORD] for i in range(0, len(data), WORD)]


def with_word(data: bytes, index: int, word: bytes) -> bytes:
    return data[: WORD * index] + word + data[WORD * (index + 1) :]


def refusal(vector: Any, data: bytes) -> VerificationError:
    """The error of the proof with these bytes."""
    with pytest.raises(VerificationError) as caught:
        vector.verify(proof=vector.bend_proof(data))
    return caught.value


def is_point(vector: Any, index: int) -> bool:
    """Whether the word is the x coordinate of a point, by looking whether it and the next lie on the curve."""
    x, y = (int.from_bytes(word, "big") for word in words(vector.proof.data)[index : index + 2])
    return is_canonical_point(x, y)


def test_every_word_matters(dense: Any) -> None:
    """Each word of a proof in turn, altered in its lowest bit."""
    data = dense.proof.data
    for index, word in enumerate(words(data)):
        altered = (int.from_bytes(word, "big") ^ 1).to_bytes(WORD, "big")
        error = refusal(dense, with_word(data, index, altered))
        assert type(error) is (CommitmentMismatchError if index < 2 else InvalidProofError), index


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_altered_byte_is_refused(vector: Any, data: st.DataObject) -> None:
    position = data.draw(st.integers(64 * len(vector.points), len(vector.proof.data) - 1))
    flip = data.draw(st.integers(1, 255))
    bent = bytearray(vector.proof.data)
    bent[position] ^= flip
    assert type(refusal(vector, bytes(bent))) is InvalidProofError


def test_second_encoding_of_an_element_is_refused(vector: Any) -> None:
    """x + r and x + p are the same element, in words that are not its own."""
    data, tried = vector.proof.data, 0
    step = 1 if vector.name == "dense" else 5
    for index in range(2 * len(vector.points), len(data) // WORD, step):
        word = words(data)[index]
        for modulus in (SCALAR_MODULUS, BASE_MODULUS):
            value = int.from_bytes(word, "big") + modulus
            if value < 1 << 256:
                tried += 1
                assert type(refusal(vector, with_word(data, index, value.to_bytes(WORD, "big")))) is InvalidProofError
    assert tried > 50


def test_reordered_words_are_refused(dense: Any) -> None:
    data, count = dense.proof.data, len(dense.proof.data) // WORD
    shuffled = random.Random(1)
    for _ in range(6):
        i, j = sorted(shuffled.sample(range(2, count), 2))
        parts = words(data)
        if parts[i] == parts[j]:
            continue
        parts[i], parts[j] = parts[j], parts[i]
        assert type(refusal(dense, b"".join(parts))) is InvalidProofError


def test_points_off_the_curve_and_at_infinity(dense: Any) -> None:
    data = dense.proof.data
    points = [i for i in range(2, len(data) // WORD - 1) if is_point(dense, i)]
    assert len(points) > 20
    for index in points:
        for replacement in (bytes(64), b"\0" * 31 + b"\1" + b"\0" * 31 + b"\1", b"\xff" * 64):
            bent = data[: WORD * index] + replacement + data[WORD * index + 64 :]
            assert type(refusal(dense, bent)) is InvalidProofError


def test_negated_and_generator_points(dense: Any) -> None:
    """Points that are on the curve, but not the right ones."""
    data = dense.proof.data
    points = [i for i in range(2, len(data) // WORD - 1) if is_point(dense, i)]
    for index in (points[0], points[len(points) // 2], points[-2], points[-1]):
        y = int.from_bytes(data[WORD * (index + 1) : WORD * (index + 2)], "big")
        assert type(refusal(dense, with_word(data, index + 1, (BASE_MODULUS - y).to_bytes(WORD, "big")))) is (
            InvalidProofError
        )
        generator = (1).to_bytes(WORD, "big") + (2).to_bytes(WORD, "big")
        bent = data[: WORD * index] + generator + data[WORD * index + 64 :]
        assert type(refusal(dense, bent)) is InvalidProofError


def test_instances_swapped(dense: Any) -> None:
    """Straight to the artifact: each pair of neighbouring instances the other way round, and each shifted by r."""
    artifact = load(dense.commitment.key.artifact)
    instances = dense.instances
    for i in range(len(instances) - 1):
        if instances[i] != instances[i + 1]:
            swapped = [*instances[:i], instances[i + 1], instances[i], *instances[i + 2 :]]
            with pytest.raises(InvalidProofError):
                artifact.check(swapped, dense.proof.data, dense.points)


# Files.


@given(st.binary(max_size=400))
def test_any_bytes_are_refused_by_name(data: bytes) -> None:
    vector = Golden.vector
    with pytest.raises(MalformedProofError):
        vector.verify(proof=data)
    with pytest.raises(MalformedCommitmentError):
        vector.verify(commitment=data)


def mutate(payload: bytes, position: int, action: str, junk: bytes) -> bytes:
    """A payload with junk inserted, written over, or a piece removed."""
    if action == "insert":
        return payload[:position] + junk + payload[position:]
    if action == "overwrite":
        return payload[:position] + junk + payload[position + len(junk) :]
    return payload[:position] + payload[position + len(junk) :]


ACTIONS = st.sampled_from(["insert", "overwrite", "remove"])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_proof_file_with_a_good_checksum(data: st.DataObject) -> None:
    vector = Golden.vector
    payload = unwrap(vector.proof.to_bytes(), PROOF.tag, PROOF.version, max_bytes=1 << 20)
    position = data.draw(st.integers(0, 120) | st.integers(0, len(payload) - 1))
    bent = mutate(payload, position, data.draw(ACTIONS), data.draw(st.binary(min_size=1, max_size=40)))
    if bent == payload:
        return
    with pytest.raises(VerificationError):
        vector.verify(proof=wrap(PROOF.tag, PROOF.version, bent))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_commitment_file_with_a_good_checksum(data: st.DataObject) -> None:
    """Wherever the damage is, in the program, in the settings, in the Solidity text, in the points."""
    vector = Golden.vector
    payload = unwrap(vector.commitment.to_bytes(), COMMITMENT.tag, COMMITMENT.version, max_bytes=COMMITMENT.max_bytes)
    position = data.draw(st.integers(0, 3000) | st.integers(0, len(payload) - 1))
    bent = mutate(payload, position, data.draw(ACTIONS), data.draw(st.binary(min_size=1, max_size=40)))
    if bent == payload:
        return
    file = wrap(COMMITMENT.tag, COMMITMENT.version, bent)
    with pytest.raises(VerificationError):
        vector.verify(commitment=file)
    try:
        commitment = Commitment.from_bytes(file)
    except MalformedCommitmentError:
        return
    with pytest.raises(VerificationError):
        vector.verify_with(commitment)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_artifact_with_shuffled_lines(data: st.DataObject) -> None:
    """Valid pieces in a wrong order: whatever it means now, it is refused by name or still accepts an honest proof."""
    vector = Golden.vector
    lines = vector.commitment.key.artifact.split(b"\n")
    i, j = data.draw(st.integers(0, len(lines) - 1)), data.draw(st.integers(0, len(lines) - 1))
    lines[i], lines[j] = lines[j], lines[i]
    with contextlib.suppress(MalformedCommitmentError, MalformedProofError, InvalidProofError):
        load(b"\n".join(lines)).check(vector.instances, vector.proof.data, vector.points)
