"""One program has one encoding; anything else is refused, whatever the bytes."""

import zlib
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.random_programs import random_program

from zkinfer.circuit import encoding
from zkinfer.circuit.encoding import decode_program, encode_program, pack_program, program_digest, unpack_program
from zkinfer.circuit.program import Lookup, Program, Scales, Tensor, Term, View
from zkinfer.circuit.table import Table
from zkinfer.errors import ArtifactError

seeds = st.integers(0, 2**32 - 1)


@given(seeds)
def test_round_trip(seed: int) -> None:
    program = random_program(np.random.default_rng(seed)).program
    data = encode_program(program)
    assert decode_program(data) == program
    assert encode_program(decode_program(data)) == data
    assert unpack_program(pack_program(program)) == program


def test_the_digest_is_pinned() -> None:
    """The same program gives the same bytes and the same digest on every machine."""
    x = Tensor("x", (1, 2), 3, -8, 8)
    square = Table("square", -8, tuple(i * i for i in range(-8, 9)))
    program = Program(1, (x,), (), (square,), (Lookup(Tensor("y", (1, 2), 6, 0, 64), 0, 0, 0),), (1,))
    assert program_digest(program).hex() == "7a9d6e29b4f67cf563285c574c11f78c8a34d4de91dee1e8f3f9d57e69e7df6a"


@given(seeds, st.data())
def test_edited_bytes_are_refused_or_another_program(seed: int, data: st.DataObject) -> None:
    program = random_program(np.random.default_rng(seed)).program
    encoded = bytearray(encode_program(program))
    position = data.draw(st.integers(0, len(encoded) - 1))
    encoded[position] ^= data.draw(st.integers(1, 255))
    try:
        other = decode_program(bytes(encoded))
    except ArtifactError:
        return
    assert other != program
    assert program_digest(other) != program_digest(program)


@given(st.binary(max_size=200))
def test_any_bytes_give_the_one_error(data: bytes) -> None:
    with pytest.raises(ArtifactError):
        decode_program(data)
    with pytest.raises(ArtifactError):
        unpack_program(data)


def test_truncated_extended_and_wordy_encodings_are_refused() -> None:
    program = random_program(np.random.default_rng(3)).program
    data = encode_program(program)
    wordy = data.replace(b"\x01", b"\xcc\x01", 1)
    assert msgspec.msgpack.decode(wordy) == msgspec.msgpack.decode(data)
    for bad in (data[:-1], data + b"\0", wordy):
        with pytest.raises(ArtifactError):
            decode_program(bad)


def test_deep_nesting_is_an_error_and_no_crash() -> None:
    with pytest.raises(ArtifactError):
        decode_program(b"\x91" * 100_000)


def test_another_version_is_named() -> None:
    program = random_program(np.random.default_rng(3)).program
    newer = msgspec.structs.replace(program, version=2)
    with pytest.raises(ArtifactError, match="version 2"):
        decode_program(encode_program(newer))


def test_a_short_file_lists_few_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal nodes take few packed bytes and much memory: they are not compressed, and compressed ones are refused."""
    monkeypatch.setattr(encoding, "FREE_BYTES", 1000)
    x = Tensor("x", (1, 2), 3, -8, 8)
    program = Program(1, (x,), (), (), (View(x, (Term(0, 1, ()),), 0),) * 80, (1,))
    small = zlib.compress(encode_program(program), 9)
    assert len(encode_program(program)) > 1000 + len(small)
    with pytest.raises(ArtifactError, match="inflates to more than"):
        unpack_program(small)
    assert unpack_program(pack_program(program)) == program


def test_the_digest_does_not_see_weights_but_sees_everything_else() -> None:
    program = random_program(np.random.default_rng(11)).program
    digests = {program_digest(program)}
    changes: list[dict[str, Any]] = [
        {"inputs": (msgspec.structs.replace(program.inputs[0], label="other"), *program.inputs[1:])},
        {"inputs": (msgspec.structs.replace(program.inputs[0], frac_bits=9), *program.inputs[1:])},
        {"inputs": (msgspec.structs.replace(program.inputs[0], hi=7), *program.inputs[1:])},
        {"outputs": program.outputs[:1]},
        {"nodes": program.nodes[:-1]},
        {"tables": program.tables[::-1] + program.tables[:1]},
    ]
    for change in changes:
        changed: Program = msgspec.structs.replace(program, **change)
        digests.add(program_digest(changed))
    assert len(digests) == len(changes) + 1


def test_scales_of_an_input_are_part_of_the_program() -> None:
    x = Tensor("x", (1, 2), 3, -8, 8)
    scaled = msgspec.structs.replace(x, scales=Scales(-1, (0, 5)))
    programs = [
        Program(1, (tensor,), (), (), (View(Tensor("y", (1, 2), 3, -8, 8), (Term(0, 1, ()),)),), (1,))
        for tensor in (x, scaled, msgspec.structs.replace(x, scales=Scales(-1, (5, 0))))
    ]
    for program in programs:
        assert decode_program(encode_program(program)) == program
    assert len({program_digest(program) for program in programs}) == 3


def test_absent_scales_have_one_encoding() -> None:
    """A tensor without scales is written without the field; one that says so explicitly is another encoding."""
    program = Program(1, (Tensor("x", (2,), 0, 0, 1),), (), (), (), (0,))
    explicit = msgspec.msgpack.encode(program)
    assert explicit != encode_program(program)
    with pytest.raises(ArtifactError, match="canonical"):
        decode_program(explicit)


def test_a_program_has_a_limit_when_it_is_read_and_when_it_is_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    program = random_program(np.random.default_rng(1)).program
    data = encode_program(program)
    monkeypatch.setattr(encoding, "MAX_PROGRAM_BYTES", len(data))
    assert decode_program(data) == program
    monkeypatch.setattr(encoding, "MAX_PROGRAM_BYTES", len(data) - 1)
    with pytest.raises(ArtifactError, match="over the limit"):
        decode_program(data)
    monkeypatch.setattr(encoding, "MAX_UNPACKED_BYTES", 10)
    with pytest.raises(ArtifactError, match="over the limit of 10"):
        pack_program(program)


@pytest.mark.parametrize("table", [5, [], ["t"], ["t", 0, "values"], [1, 0, [1]]], ids=repr)
def test_a_packed_table_that_is_none_is_refused(table: Any) -> None:
    parts = msgspec.msgpack.decode(encode_program(random_program(np.random.default_rng(1)).program))
    parts[3] = [table]
    with pytest.raises(ArtifactError, match="not a zkinfer program"):
        unpack_program(zlib.compress(msgspec.msgpack.encode(parts)))
