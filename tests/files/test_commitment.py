"""The commitment file: one encoding, a digest of all of it, and nothing else is read."""

import itertools
import tracemalloc
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.paths import EZKL_VECTORS

from zkinfer.circuit import encoding
from zkinfer.circuit.derived_bounds import derived_bounds
from zkinfer.circuit.encoding import encode_program, pack_program, unpack_program
from zkinfer.circuit.program import PROGRAM_VERSION, Einsum, Lookup, Program, Tensor
from zkinfer.circuit.table import Entries, Table
from zkinfer.errors import ArtifactError, MalformedCommitmentError, WrongKeyError
from zkinfer.ezkl.verifier.bn254 import SCALAR_MODULUS
from zkinfer.ezkl.verifying_key import MAX_MAGNITUDE, EzklVerifyingKey
from zkinfer.files.artifact import HEADER_BYTES, unwrap, wrap
from zkinfer.files.commitment import Commitment
from zkinfer.files.kinds import COMMITMENT as KIND
from zkinfer.files.native_key import NativeVerifyingKey
from zkinfer.protocol.pcs.copies import CopiesCommitment
from zkinfer.protocol.pcs.params import Code, OpeningParameters

FILE = (EZKL_VECTORS / "dense.zkc").read_bytes()
COMMITMENT = Commitment.from_bytes(FILE)
KEY = COMMITMENT.key_as(EzklVerifyingKey)
PAYLOAD = unwrap(FILE, KIND.tag, KIND.version, max_bytes=KIND.max_bytes)


def rewrap(payload: bytes) -> bytes:
    """A file whose envelope is in order, whatever its payload is."""
    return wrap(KIND.tag, KIND.version, payload)


def encode(program: bytes, key: Any, *others: Any) -> bytes:
    """A payload from loose members, the program's bytes of any form, packed as they are."""
    return msgspec.msgpack.encode((zlib.compress(program), key, *(others or (b"",))))


def differences(values: Sequence[int]) -> tuple[int, ...]:
    """The first value, then the difference of each to the one before."""
    return (values[0], *(b - a for a, b in itertools.pairwise(values)))


def with_differences() -> Program:
    """The program as its packed bytes hold it."""
    tables = [Table(t.name, t.lo, differences(differences(t.values))) for t in COMMITMENT.program.tables]
    return msgspec.structs.replace(COMMITMENT.program, tables=tuple(tables))


PACKED = encode_program(with_differences())


def key_members(**changes: Any) -> list[Any]:
    """The key as the array that its encoding is, with some members changed."""
    names = KEY.__struct_fields__
    members = {name: getattr(KEY, name) for name in names} | changes
    return ["ezkl", *(members[name] for name in names)]


def test_file_round_trip(tmp_path: Path) -> None:
    COMMITMENT.save(tmp_path / "model.zkc")
    assert (tmp_path / "model.zkc").read_bytes() == FILE
    assert Commitment.load(tmp_path / "model.zkc") == COMMITMENT
    assert hash(Commitment.from_bytes(FILE)) == hash(COMMITMENT)


def test_fingerprint_is_the_whole_digest_in_groups() -> None:
    """Whoever compares 160 bits of it may be shown two commitments whose author did work of 2^80."""
    groups = COMMITMENT.fingerprint.split(" ")
    assert [len(group) for group in groups] == [4] * 16
    assert COMMITMENT.digest.hex() == "".join(groups)
    assert COMMITMENT.fingerprint in repr(COMMITMENT)


@pytest.mark.parametrize(
    "changes",
    [
        {"ezkl_version": "23.0.6"},
        {"settings": b"{}"},
        {"verifying_key": b""},
        {"artifact": KEY.artifact + b"\n"},
        {"srs": msgspec.structs.replace(KEY.srs, test_only=False)},
        {"srs": msgspec.structs.replace(KEY.srs, digest=bytes(32))},
        {"srs": msgspec.structs.replace(KEY.srs, logrows=12)},
        {"weight_points": (bytes(64),)},
        {"salt_count": KEY.salt_count + 1},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_every_member_of_the_key_changes_the_digest(changes: dict[str, Any]) -> None:
    other = Commitment(COMMITMENT.program, msgspec.structs.replace(KEY, **changes))
    assert other.digest != COMMITMENT.digest
    assert other != COMMITMENT
    assert other.program_digest == COMMITMENT.program_digest


def test_program_changes_both_digests() -> None:
    tensor = msgspec.structs.replace(COMMITMENT.program.inputs[0], hi=COMMITMENT.program.inputs[0].hi - 1)
    other = Commitment(msgspec.structs.replace(COMMITMENT.program, inputs=(tensor,)), KEY)
    assert other.digest != COMMITMENT.digest
    assert other.program_digest != COMMITMENT.program_digest


def test_no_byte_of_the_file_can_change() -> None:
    for position in [*range(HEADER_BYTES + 40), *range(HEADER_BYTES + 40, len(FILE), 997), len(FILE) - 1]:
        edited = bytearray(FILE)
        edited[position] ^= 1
        with pytest.raises(MalformedCommitmentError):
            Commitment.from_bytes(bytes(edited))


@given(st.integers(0, len(FILE) - 1))
def test_truncated_file_is_refused(length: int) -> None:
    with pytest.raises(MalformedCommitmentError):
        Commitment.from_bytes(FILE[:length])


def test_extended_file_is_refused() -> None:
    with pytest.raises(MalformedCommitmentError, match="truncated or extended"):
        Commitment.from_bytes(FILE + b"\0")


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_by_name(data: bytes) -> None:
    with pytest.raises(MalformedCommitmentError):
        Commitment.from_bytes(data)


@given(st.binary(max_size=300))
def test_any_payload_is_refused_by_name(payload: bytes) -> None:
    with pytest.raises(MalformedCommitmentError):
        Commitment.from_bytes(rewrap(payload))


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=9) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=12,
)


@given(JUNK, JUNK, st.sampled_from(KEY.__struct_fields__))
def test_members_of_wrong_types_are_refused_by_name(program: Any, member: Any, name: str) -> None:
    with pytest.raises(MalformedCommitmentError):
        Commitment.from_bytes(rewrap(encode(PACKED, program)))
    with pytest.raises(MalformedCommitmentError):
        Commitment.from_bytes(rewrap(encode(msgspec.msgpack.encode(program), key_members())))
    if type(member) is not type(getattr(KEY, name)) and (name, member) != ("weight_points", []):
        with pytest.raises(MalformedCommitmentError):
            Commitment.from_bytes(rewrap(encode(PACKED, key_members(**{name: member}))))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"srs": [0, bytes(32), True]}, "reference string cannot be true"),
        ({"srs": [29, bytes(32), True]}, "reference string cannot be true"),
        ({"srs": [11, bytes(31), True]}, "reference string cannot be true"),
        ({"weight_points": [bytes(64), bytes(63)]}, "not a point of 64 bytes"),
        ({"salt_count": -1}, "-1 salt elements"),
        ({"salt_count": (1 << 28) + 1}, "268435457 salt elements"),
        ({"ezkl_version": "23.0.5\ud800"}, "does not have the form"),
    ],
)
def test_impossible_members_are_named(changes: dict[str, Any], message: str) -> None:
    if "ezkl_version" in changes:
        payload = PAYLOAD.replace(b"23.0.5", b"23.0.\xff", 1)
    else:
        payload = encode(PACKED, key_members(**changes))
    with pytest.raises(MalformedCommitmentError, match=message):
        Commitment.from_bytes(rewrap(payload))


def test_second_encoding_of_the_same_commitment_is_refused() -> None:
    """An array header in its long form decodes to the same members, and would have another digest."""
    assert PAYLOAD[0] == 0x93
    with pytest.raises(MalformedCommitmentError, match="canonical"):
        Commitment.from_bytes(rewrap(b"\xdc\x00\x03" + PAYLOAD[1:]))
    wordy = PACKED.replace(b"\x01", b"\xcc\x01", 1)
    with pytest.raises(MalformedCommitmentError, match="canonical"):
        Commitment.from_bytes(rewrap(encode(wordy, key_members())))


def test_an_entry_of_a_table_has_one_encoding() -> None:
    """5 as one byte, and as two."""
    table = Table("unused", 0, (5,))
    program = msgspec.structs.replace(with_differences(), tables=(*with_differences().tables, table))
    written, short = encode_program(program), msgspec.msgpack.encode(["unused", 0, [5]])
    assert written.count(short) == 1
    Commitment.from_bytes(rewrap(encode(written, key_members())))
    wordy = written.replace(short, short[:-1] + b"\xcc\x05")
    assert msgspec.msgpack.decode(wordy) == msgspec.msgpack.decode(written)
    with pytest.raises(MalformedCommitmentError, match="canonical form"):
        Commitment.from_bytes(rewrap(encode(wordy, key_members())))


@pytest.mark.parametrize("level", [0, 1, 9])
def test_a_program_is_the_same_however_it_was_compressed(level: int) -> None:
    """Versions of zlib differ in what they write; no digest depends on it."""
    payload = msgspec.msgpack.encode((zlib.compress(PACKED, level), key_members(), b""))
    assert Commitment.from_bytes(rewrap(payload)) == COMMITMENT
    assert Commitment.from_bytes(rewrap(payload)).digest == COMMITMENT.digest


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\0", lambda data: b"x" + data])
def test_compressed_bytes_that_are_cut_off_or_go_on_are_refused(change: Callable[[bytes], bytes]) -> None:
    payload = msgspec.msgpack.encode((change(zlib.compress(PACKED)), key_members(), b""))
    with pytest.raises(MalformedCommitmentError, match="not a packed program"):
        Commitment.from_bytes(rewrap(payload))


def test_what_inflates_to_more_than_any_program_is_refused_before_it_is_read() -> None:
    """Few bytes that stand for a thousand times as many: memory stays at what is allowed."""
    bomb = zlib.compressobj()
    data = b"".join(bomb.compress(bytes(1 << 20)) for _ in range(65)) + bomb.flush()
    assert len(data) < 1 << 17
    with pytest.raises(MalformedCommitmentError, match="inflates to more"):
        Commitment.from_bytes(rewrap(msgspec.msgpack.encode((data, key_members(), b""))))


def test_entries_of_all_tables_together_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = sum(len(table.values) for table in COMMITMENT.program.tables)
    monkeypatch.setattr(encoding, "MAX_PACKED_ENTRIES", entries)
    assert Commitment.from_bytes(FILE) == COMMITMENT
    monkeypatch.setattr(encoding, "MAX_PACKED_ENTRIES", entries - 1)
    with pytest.raises(MalformedCommitmentError, match="over the limit"):
        Commitment.from_bytes(FILE)
    with pytest.raises(ArtifactError, match="over the limit"):
        COMMITMENT.to_bytes()


def test_a_short_file_holds_no_long_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries that take memory a thousand times the file's size are refused; who writes them spends the bytes."""
    monkeypatch.setattr(encoding, "FREE_BYTES", 1 << 12)
    table = Table("line", 0, tuple(range(1 << 18)))
    long = msgspec.structs.replace(COMMITMENT.program, tables=(*COMMITMENT.program.tables, table))
    packed = pack_program(long)
    assert len(packed) > len(table.values)
    assert unpack_program(packed) == long
    with pytest.raises(ArtifactError, match="inflates to more than"):
        unpack_program(zlib.compress(zlib.decompress(packed), 9))


@pytest.mark.parametrize("member", [1, 2, 3, 4, 5])
def test_a_short_file_holds_no_more_of_anything(member: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not tensors, tables, nodes or outputs either: nothing is decoded."""
    monkeypatch.setattr(encoding, "_decode", None)
    tensor = ("", (), 0, 0, 0)
    one = {3: ("", 0, (0,)), 4: ("lookup", tensor, 0, 0, 0), 5: 0}.get(member, tensor)
    members: list[object] = [PROGRAM_VERSION, [], [], [], [], []]
    members[member] = [one] * (5_000_000 // len(msgspec.msgpack.encode(one)))
    packed = zlib.compress(msgspec.msgpack.encode(members), 9)
    assert len(packed) < 1 << 14
    with pytest.raises(ArtifactError, match="inflates to more than"):
        unpack_program(packed)


@pytest.mark.parametrize("difference", [1, 1000, 1 << 40], ids=["one byte", "three bytes", "nine bytes"])
def test_entries_of_tables_take_memory_in_proportion_to_the_file(difference: int) -> None:
    """Packed bytes may stand for `FREE_BYTES` more; each of those takes 18 bytes, and 10 when all is read.

    Python's integers take 40 bytes for each entry, and there are as many entries as inflated bytes.
    """
    steps = np.random.default_rng(0).integers(-1, 2, 1 << 18) * difference
    table = Table("some", 0, Entries(np.cumsum(np.cumsum(steps))))
    program = msgspec.structs.replace(COMMITMENT.program, tables=(*COMMITMENT.program.tables, table))
    data = Commitment(program, COMMITMENT.key).to_bytes()
    inflated = len(zlib.decompress(pack_program(program)))
    assert inflated <= encoding.FREE_BYTES + len(data)
    tracemalloc.start()
    commitment = Commitment.from_bytes(data)
    left, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak <= 18 * inflated + len(data) + (1 << 20)
    assert left <= 10 * inflated + len(data)
    assert commitment.program == program


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=9))
def test_tables_of_any_integers_come_back(values: list[int]) -> None:
    """Differences of int64 take 65 bits; they are kept modulo 2^64."""
    table = Table("unused", 0, tuple(values))
    program = msgspec.structs.replace(COMMITMENT.program, tables=(*COMMITMENT.program.tables, table))
    assert unpack_program(pack_program(program)) == program


def test_smooth_tables_take_next_to_nothing() -> None:
    table = Table("square", -(1 << 15), tuple(i * i >> 12 for i in range(-(1 << 15), 1 << 15)))
    program = msgspec.structs.replace(COMMITMENT.program, tables=(*COMMITMENT.program.tables, table))
    assert len(pack_program(program)) - len(pack_program(COMMITMENT.program)) < len(table.values) / 50


def test_further_members_are_refused() -> None:
    with pytest.raises(MalformedCommitmentError):
        Commitment.from_bytes(rewrap(encode(PACKED, key_members(), 0)))
    with pytest.raises(MalformedCommitmentError):
        Commitment.from_bytes(rewrap(encode(PACKED, [*key_members(), 0])))


def test_malformed_program_is_refused() -> None:
    broken = msgspec.structs.replace(with_differences(), outputs=(99,))
    with pytest.raises(MalformedCommitmentError, match="output names a value"):
        Commitment.from_bytes(rewrap(encode(encode_program(broken), key_members())))


def test_declared_sizes_are_not_allocated() -> None:
    """A header that announces four billion members, and nothing behind it."""
    with pytest.raises(MalformedCommitmentError, match="does not have the form of a commitment"):
        Commitment.from_bytes(rewrap(b"\x92\xc4\x00\xdd\xff\xff\xff\xff"))
    with pytest.raises(MalformedCommitmentError):
        Commitment.from_bytes(rewrap(encode(b"\x96\x01\xdd\xff\xff\xff\xff", key_members())))


def test_program_that_would_be_slow_to_read_is_refused() -> None:
    """A reshape to very many huge sizes: multiplying them out would take hours."""
    program = msgspec.msgpack.decode(PACKED)
    views = [node for node in program[4] if node[0] == "view"]
    views[0][2][0][2] = [["reshape", [2**63 - 1] * 200_000]]
    with pytest.raises(MalformedCommitmentError, match="Reshape"):
        Commitment.from_bytes(rewrap(encode(msgspec.msgpack.encode(program), key_members())))


def test_steps_cannot_pile_up_axes() -> None:
    program = msgspec.msgpack.decode(PACKED)
    views = [node for node in program[4] if node[0] == "view"]
    views[0][2][0][2] = [["windows", 0, 1, 1, 1]] * 200_000
    with pytest.raises(MalformedCommitmentError, match="axes"):
        Commitment.from_bytes(rewrap(encode(msgspec.msgpack.encode(program), key_members())))


def test_message_quotes_a_hostile_label_harmlessly() -> None:
    tensor = msgspec.structs.replace(COMMITMENT.program.inputs[0], label="\x1b[2J" * 1000, lo=5, hi=4)
    broken = msgspec.structs.replace(with_differences(), inputs=(tensor,))
    with pytest.raises(MalformedCommitmentError) as caught:
        Commitment.from_bytes(rewrap(encode(encode_program(broken), key_members())))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MalformedCommitmentError, match="cannot read"):
        Commitment.load(tmp_path / "missing.zkc")


def test_commitment_is_no_other_thing() -> None:
    assert COMMITMENT != FILE


# The key of the native backend: the program of the golden vector has 24 weights, covered with 32 cells, and 4 biases,
# which makes 9 rows of 4 columns.

LINK = bytes(21)
NATIVE = NativeVerifyingKey(bytes(range(32)), 9, 2, 60, 8, 6, 5, 3, 10)


def native(**changes: Any) -> Commitment:
    return Commitment(COMMITMENT.program, msgspec.structs.replace(NATIVE, **changes))


def test_native_file_round_trip() -> None:
    commitment = Commitment.from_bytes(native().to_bytes())
    assert commitment == native()
    assert commitment.key_as(NativeVerifyingKey) == NATIVE
    assert commitment.backend == "native"
    assert commitment.key_as(NativeVerifyingKey).opening == OpeningParameters(Code(2, 60, 8), 6, 5, 3)
    assert commitment.key_as(NativeVerifyingKey).copies == CopiesCommitment(Code(2, 60, 8), 9, 0, 0, bytes(range(32)))


@pytest.mark.parametrize("name", ["sumcheck", "ezkl"])
def test_the_names_that_the_key_had_before_are_refused_with_the_new_one(name: str) -> None:
    with pytest.raises(AttributeError, match=f"no attribute '{name}': it is now .key"):
        getattr(COMMITMENT, name)


def test_a_key_of_the_other_backend_is_not_mistaken() -> None:
    assert COMMITMENT.backend == "ezkl"
    with pytest.raises(WrongKeyError, match="for backend 'ezkl'; one for 'native'"):
        _ = COMMITMENT.key_as(NativeVerifyingKey)
    with pytest.raises(WrongKeyError, match="for backend 'native'; one for 'ezkl'"):
        _ = native().key_as(EzklVerifyingKey)


@pytest.mark.parametrize("name", NATIVE.__struct_fields__)
def test_every_member_of_the_native_key_changes_the_digest(name: str) -> None:
    value = bytes(32) if name in ("root", "link") else getattr(NATIVE, name) + 1
    assert native(**{name: value}).digest != native().digest


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"root": bytes(31)}, "32 bytes, not 31"),
        ({"rows": 0}, "empty or too large"),
        ({"rows": 8}, "8 rows, where the program's weights fill 9"),
        ({"rows": 10}, "10 rows, where the program's weights fill 9"),
        ({"rows": 2**63 - 1}, "empty or too large"),
        ({"log_columns": 3}, "9 rows, where the program's weights fill 5"),
        ({"log_columns": -1}, "is not a code"),
        ({"log_columns": 8}, "is not a code"),
        ({"log_columns": 2**40}, "is not a code"),
        ({"log_length": 25}, "is not a code"),
        ({"log_length": 6}, "corrects nothing"),
        ({"blinding": 252}, "corrects nothing"),
        ({"blinding": -1}, "is not a code"),
        ({"blinding": 59}, "do not hide the weights for 10 proofs of 6 columns"),
        ({"proofs": 11}, "do not hide the weights for 11 proofs"),
        ({"proofs": 0}, "do not hide the weights for 0 proofs"),
        ({"proofs": -1}, "do not hide the weights for -1 proofs"),
        ({"queries": 7}, "do not hide the weights for 10 proofs of 7 columns"),
        ({"queries": 0}, "from 1 to 65536 queries"),
        ({"queries": -1}, "from 1 to 65536 queries"),
        ({"query_grinding": -1}, "bits of grinding"),
        ({"weight_grinding": 60}, "bits of grinding"),
        ({"log_copies": 1}, "several copies have a link"),
        ({"log_copies": 21, "link": LINK}, "in 1 to 1,048,576 copies"),
        ({"log_copies": -1}, "in 1 to 1,048,576 copies"),
        ({"log_copies": 1, "link": LINK, "link_nonce": -1}, "in 1 to 1,048,576 copies"),
        ({"link": LINK}, "one copy has none"),
        ({"link_nonce": 1}, "one copy has none"),
        ({"log_copies": 1, "link": LINK, "link_nonce": 2**64 - 1}, "have 8 columns at least"),
        ({"log_copies": 1, "link": b"\xff" * 21, "log_columns": 3, "rows": 6}, "not one element of the field"),
        ({"log_copies": 1, "link": LINK, "log_columns": 3, "rows": 5}, "5 rows, where the program's weights fill 6"),
        ({"log_copies": 1, "link": LINK, "queries": 0}, "from 1 to 65536 queries"),
        ({"log_copies": 1, "link": LINK, "proofs": 21, "log_columns": 3, "rows": 6}, "do not hide the weights for 21"),
    ],
)
def test_impossible_native_keys_are_named(changes: dict[str, Any], message: str) -> None:
    members = [changes.get(name, getattr(NATIVE, name)) for name in NATIVE.__struct_fields__]
    payload = encode(PACKED, ["sumcheck", *members])
    with pytest.raises(MalformedCommitmentError, match=message):
        Commitment.from_bytes(rewrap(payload))


@given(st.lists(st.integers(-(2**63), 2**64 - 1) | st.integers(-2, 30) | st.binary(max_size=33), max_size=13))
def test_any_native_key_is_possible_or_refused_by_name(members: list[Any]) -> None:
    try:
        commitment = Commitment.from_bytes(rewrap(encode(PACKED, ["sumcheck", *members])))
    except MalformedCommitmentError:
        return
    key = commitment.key_as(NativeVerifyingKey)
    assert key.proofs <= key.blinding // key.queries << key.log_copies


def test_a_commitment_made_in_memory_is_checked_on_request() -> None:
    native().check()
    with pytest.raises(MalformedCommitmentError, match="fill 9"):
        native(rows=8).check()


def test_a_program_without_weights_has_no_native_commitment() -> None:
    program = COMMITMENT.program
    bare = msgspec.structs.replace(program, weights=(), nodes=(), tables=(), outputs=(0,))
    for rows in (0, 1):
        with pytest.raises(MalformedCommitmentError, match=r"empty|fill 0"):
            Commitment(bare, msgspec.structs.replace(NATIVE, rows=rows)).check()


def test_a_key_that_is_nested_too_deeply_is_refused() -> None:
    """No decoder that skips it may run out of stack."""
    program = msgspec.msgpack.encode(encode_program(COMMITMENT.program))
    payload = b"\x92" + program + b"\x92" + msgspec.msgpack.encode("ezkl") + b"\x91" * 10**6 + b"\xc0"
    with pytest.raises(MalformedCommitmentError):
        Commitment.from_bytes(rewrap(payload))


@pytest.mark.parametrize("key", [["native", 1], ["plonk"], [], [3], "ezkl", None, {"ezkl": 1}])
def test_a_key_of_no_backend_is_refused(key: Any) -> None:
    """Also one that is tagged with a name that only callers use."""
    with pytest.raises(MalformedCommitmentError):
        Commitment.from_bytes(rewrap(encode(PACKED, key)))


def with_range_proof(data: bytes) -> Commitment:
    """With random symbols for one opening more than the proofs."""
    key = msgspec.structs.replace(NATIVE, blinding=NATIVE.queries * (NATIVE.proofs + 1))
    return Commitment(COMMITMENT.program, key, data)


def test_a_proof_about_the_weights_is_read_and_does_not_change_the_digest() -> None:
    with_proof, without = with_range_proof(b"proof"), with_range_proof(b"")
    assert Commitment.from_bytes(with_proof.to_bytes()).range_proof == b"proof"
    assert Commitment.from_bytes(without.to_bytes()).range_proof == b""
    assert with_proof.digest == without.digest, "the proof is bound to the digest, and cannot be part of it"
    assert with_proof != without
    assert len({with_proof, with_range_proof(b"proof"), without}) == 2


def test_no_proof_has_one_encoding() -> None:
    commitment = with_range_proof(b"")
    packed = pack_program(commitment.program)
    assert commitment.to_bytes() == rewrap(msgspec.msgpack.encode((packed, commitment.key, b"")))
    with pytest.raises(MalformedCommitmentError):
        Commitment.from_bytes(rewrap(msgspec.msgpack.encode((packed, commitment.key))))


def test_a_commitment_of_ezkl_carries_no_proof_about_its_weights() -> None:
    with pytest.raises(MalformedCommitmentError, match="carry no proof about their weights"):
        Commitment.from_bytes(Commitment(COMMITMENT.program, KEY, b"proof").to_bytes())


def squares(count: int) -> Program:
    """Each node squares the one before, and says that it is zero: 7, 14, 28, ... bits."""
    x = Tensor("x", (1,), 0, -127, 127)
    nodes = tuple(Einsum(Tensor(f"square {i}", (1,), 0, 0, 0), "a,a->a", (i, i)) for i in range(count))
    return Program(1, (x,), (), (), nodes, (count,))


def test_values_that_leave_the_field_of_ezkl_are_refused() -> None:
    assert 2 * MAX_MAGNITUDE < SCALAR_MODULUS
    Commitment(squares(5), KEY).check()
    with pytest.raises(MalformedCommitmentError, match=r"square 5: .* bits"):
        Commitment(squares(6), KEY).check()


def test_with_ezkl_a_lookup_that_no_output_needs_bounds_nothing() -> None:
    """ezkl may leave it out. The native prover shows all of them."""
    one = squares(6)
    unused = Lookup(Tensor("unused", (1,), 0, 0, 0), 5, 0, 0)
    seen = msgspec.structs.replace(one, tables=(Table("t", 0, (0,)),), nodes=(*one.nodes, unused))
    derived_bounds(seen, MAX_MAGNITUDE)
    with pytest.raises(MalformedCommitmentError, match=r"square 5: .* bits"):
        Commitment(seen, KEY).check()
