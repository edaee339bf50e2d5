"""What the statement binds."""

from typing import Any

import msgspec
import numpy as np
import pytest
from blake3 import blake3
from support.paths import EZKL_VECTORS

from zkinfer.errors import InvalidInputError
from zkinfer.files import statement
from zkinfer.files.commitment import Commitment
from zkinfer.files.statement import MAX_CONTEXT_BYTES, MAX_RUNS, Statement

VECTORS = EZKL_VECTORS


@pytest.fixture(scope="module")
def commitment() -> Commitment:
    return Commitment.load(VECTORS / "dense.zkc")


X, Y = np.arange(12).reshape(2, 1, 6) - 5, np.arange(8).reshape(2, 1, 4)
ROOT = bytes(range(32))


def statement_of(commitment: Commitment, **changes: Any) -> Statement:
    """Two runs, all values public, but for the changes."""
    parts: dict[str, Any] = {"runs": 2, "inputs": (X,), "outputs": (Y,), "context": b"context"}
    return Statement(**{"commitment": commitment, **parts, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"context": b""},
        {"context": b"context\0"},
        {"inputs": (X.reshape(1, 1, 12),), "runs": 1},
        {"inputs": (X + np.eye(1, 6, 3, dtype=int),)},
        {"outputs": (-Y,)},
        {"inputs": (Y,), "outputs": (X,)},
        {"inputs": (ROOT,)},
        {"inputs": (bytes(32),)},
        {"outputs": (ROOT,)},
        {"inputs": (ROOT,), "outputs": (ROOT,)},
    ],
    ids=lambda changes: ", ".join(changes),
)
def test_every_part_of_a_statement_changes_its_digest(commitment: Commitment, changes: dict[str, Any]) -> None:
    assert statement_of(commitment, **changes).digest() != statement_of(commitment).digest()


def test_commitment_program_and_version_are_in_the_digest(
    commitment: Commitment, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, program = commitment.key, commitment.program
    relabelled = msgspec.structs.replace(program.inputs[0], label="renamed")
    digests = {
        statement_of(commitment).digest(),
        statement_of(Commitment(program, msgspec.structs.replace(key, weight_points=()))).digest(),
        statement_of(Commitment(msgspec.structs.replace(program, inputs=(relabelled,)), key)).digest(),
    }
    monkeypatch.setattr(statement, "PROTOCOL_VERSION", 2)
    digests.add(statement_of(commitment).digest())
    monkeypatch.setattr(Commitment, "program_digest", property(lambda self: bytes(32)))
    digests.add(statement_of(commitment).digest())
    assert len(digests) == 5


def test_commitment_to_a_value_is_not_taken_for_its_hash(commitment: Commitment) -> None:
    """A hidden value whose commitment happens to be the hash of a public one: the visibility differs."""
    public = statement_of(commitment)
    hidden = statement_of(commitment, inputs=(statement._values_digest(X),))
    assert hidden.digest() != public.digest()


def test_digest_is_of_the_integers_not_of_how_they_lie_in_memory(commitment: Commitment) -> None:
    for same in (X.astype(np.int8), np.asfortranarray(X), X[:, :, ::-1].copy()[:, :, ::-1]):
        assert statement_of(commitment, inputs=(same,)).digest() == statement_of(commitment).digest()


def test_digest_follows_its_description(commitment: Commitment) -> None:
    """Written down once more, from the text."""
    values = blake3(X.astype("<i8").tobytes(), derive_key_context="zkinfer 2026 public values v1").digest()
    parts = [
        (1).to_bytes(4, "little"),
        commitment.program_digest,
        commitment.digest,
        (2).to_bytes(8, "little"),
        b"\0\1",
        values,
        ROOT,
        (7).to_bytes(8, "little"),
        b"context",
    ]
    expected = blake3(b"".join(parts), derive_key_context="zkinfer 2026 statement of runs v1").digest()
    assert statement_of(commitment, outputs=(ROOT,)).digest() == expected


def test_context_of_a_statement_has_a_limit(commitment: Commitment) -> None:
    with pytest.raises(InvalidInputError, match="65,537 bytes is over the limit of 65,536"):
        statement_of(commitment, context=bytes(MAX_CONTEXT_BYTES + 1))


@pytest.mark.parametrize("context", ["request 1", None, 7, [1]])
def test_context_of_a_statement_is_bytes(commitment: Commitment, context: Any) -> None:
    with pytest.raises(InvalidInputError, match=f"a context is bytes, .*, got {type(context).__name__}"):
        statement_of(commitment, context=context)


@pytest.mark.parametrize("runs", [0, -1, MAX_RUNS + 1])
def test_number_of_runs_has_a_limit(commitment: Commitment, runs: int) -> None:
    with pytest.raises(InvalidInputError, match=f"1 to {MAX_RUNS:,} runs of the circuit, not {runs:,}"):
        statement_of(commitment, runs=runs, inputs=(ROOT,), outputs=(ROOT,))
