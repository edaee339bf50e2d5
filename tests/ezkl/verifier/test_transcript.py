"""The transcript: the honest order passes, and every way of leaving something out does not."""

import pytest

from zkinfer.errors import MalformedCommitmentError
from zkinfer.ezkl.verifier.keccak import keccak256
from zkinfer.ezkl.verifier.transcript import KeccakTranscript

KEY = bytes([7]) * 32
INSTANCES = bytes(range(64))
PROOF = bytes(range(100, 228))


@pytest.fixture
def transcript() -> KeccakTranscript:
    return KeccakTranscript(KEY, INSTANCES, PROOF)


def test_honest_order(transcript: KeccakTranscript) -> None:
    first = transcript.squeeze(KEY + INSTANCES + PROOF[:32])
    assert first == keccak256(KEY + INSTANCES + PROOF[:32])
    again = transcript.squeeze(first + b"\x01")
    assert again == keccak256(first + b"\x01")
    transcript.squeeze(again + PROOF[32:96])
    assert transcript.unabsorbed == PROOF[96:]


@pytest.mark.parametrize(
    "message",
    [
        b"",
        KEY,
        KEY + b"\x01",
        KEY + INSTANCES,
        KEY + INSTANCES[:32],
        KEY + INSTANCES + PROOF[:31],
        KEY + INSTANCES + PROOF[:33],
        KEY + INSTANCES + PROOF[32:64],
        KEY + INSTANCES[32:] + PROOF[:32],
        KEY + PROOF[:32] + INSTANCES,
        KEY + PROOF,
        bytes(32) + INSTANCES + PROOF[:32],
        INSTANCES + PROOF[:32],
        KEY + INSTANCES + PROOF + bytes(32),
    ],
    ids=lambda message: f"{len(message)} bytes",
)
def test_first_hash_takes_key_instances_and_proof(transcript: KeccakTranscript, message: bytes) -> None:
    with pytest.raises(MalformedCommitmentError, match="challenge"):
        transcript.squeeze(message)


def test_later_hash_continues_the_one_before(transcript: KeccakTranscript) -> None:
    first = transcript.squeeze(KEY + INSTANCES + PROOF[:64])
    for message in (
        first,
        first + b"\x02",
        first + b"\x01\x01",
        first + PROOF[:32],
        first + PROOF[96:],
        first + PROOF[64:] + bytes(32),
        KEY + PROOF[64:],
        bytes(32) + PROOF[64:],
        bytes(32) + b"\x01",
    ):
        with pytest.raises(MalformedCommitmentError, match="challenge"):
            transcript.squeeze(message)
    transcript.squeeze(first + PROOF[64:])
    assert transcript.unabsorbed == b""


def test_hash_may_not_repeat_an_older_one(transcript: KeccakTranscript) -> None:
    first = transcript.squeeze(KEY + INSTANCES + PROOF[:64])
    transcript.squeeze(first + b"\x01")
    with pytest.raises(MalformedCommitmentError, match="those before it"):
        transcript.squeeze(first + b"\x01")


def test_without_instances(transcript: KeccakTranscript) -> None:
    alone = KeccakTranscript(KEY, b"", PROOF)
    assert alone.squeeze(KEY + PROOF) == keccak256(KEY + PROOF)
