"""What an ezkl proof binds, and how it becomes public instances."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.paths import EZKL_VECTORS

from zkinfer.errors import InvalidInputError
from zkinfer.ezkl import instances
from zkinfer.ezkl.instances import (
    STATEMENT_WORD_BITS,
    STATEMENT_WORDS,
    public_instances,
    statement_digest,
    statement_words,
)
from zkinfer.files.commitment import Commitment
from zkinfer.files.statement import MAX_CONTEXT_BYTES


@pytest.fixture(scope="module")
def commitment() -> Commitment:
    return Commitment.load(EZKL_VECTORS / "dense.zkc")


def test_every_part_changes_the_digest(commitment: Commitment, monkeypatch: pytest.MonkeyPatch) -> None:
    key, program = commitment.key, commitment.program
    relabelled = msgspec.structs.replace(program.inputs[0], label="renamed")
    statements = [
        (commitment, b"context"),
        (commitment, b""),
        (commitment, b"context\0"),
        (Commitment(program, msgspec.structs.replace(key, weight_points=())), b"context"),
        (Commitment(program, msgspec.structs.replace(key, verifying_key=b"")), b"context"),
        (Commitment(msgspec.structs.replace(program, inputs=(relabelled,)), key), b"context"),
    ]
    digests = {statement_digest(*parts) for parts in statements}
    monkeypatch.setattr(instances, "PROTOCOL_VERSION", 2)
    digests.add(statement_digest(commitment, b"context"))
    assert len(digests) == len(statements) + 1


def test_program_is_bound_even_beside_the_commitment(commitment: Commitment, monkeypatch: pytest.MonkeyPatch) -> None:
    before = statement_digest(commitment, b"")
    monkeypatch.setattr(Commitment, "program_digest", property(lambda self: bytes(32)))
    assert statement_digest(commitment, b"") != before


def test_context_has_a_limit(commitment: Commitment) -> None:
    assert len(statement_digest(commitment, bytes(MAX_CONTEXT_BYTES))) == 32
    with pytest.raises(InvalidInputError, match="65,537 bytes is over the limit of 65,536"):
        statement_digest(commitment, bytes(MAX_CONTEXT_BYTES + 1))


@given(st.binary(min_size=32, max_size=32))
def test_words_hold_the_whole_digest(digest: bytes) -> None:
    words = statement_words(digest)
    assert len(words) == STATEMENT_WORDS
    assert all(0 <= word < 1 << STATEMENT_WORD_BITS for word in words)
    number = sum(word << (STATEMENT_WORD_BITS * i) for i, word in enumerate(words))
    assert number == int.from_bytes(digest, "little")


@given(st.binary(min_size=32, max_size=32))
def test_words_survive_single_precision(digest: bytes) -> None:
    assert tuple(int(np.float32(word)) for word in statement_words(digest)) == statement_words(digest)


def test_instances_are_words_then_inputs_then_outputs_row_major() -> None:
    digest = bytes(range(32))
    inputs = [np.array([[1, -2], [3, 4]]), np.array([5])]
    outputs = [np.array([-(2**62) + 1, 2**62 - 1])]
    assert public_instances(digest, inputs, outputs) == [
        *statement_words(digest),
        *(1, -2, 3, 4, 5),
        *(-(2**62) + 1, 2**62 - 1),
    ]


def test_instances_of_a_transposed_array_are_row_major_too() -> None:
    digest = bytes(32)
    array = np.arange(6).reshape(2, 3)
    assert public_instances(digest, [array.T], [])[STATEMENT_WORDS:] == [0, 3, 1, 4, 2, 5]
