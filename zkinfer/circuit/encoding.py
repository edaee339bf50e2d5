"""Canonical bytes of a program, and its digest.

MessagePack as msgspec writes it: integers in their shortest form, arrays in place of maps, no floats. Decoding
encodes again and compares, so one program has one encoding and a digest names exactly one program.

Where bytes count, a program is packed: its tables as the differences of differences of neighbours, which are small and
repeat, then compressed by zlib. Digests are of the program's canonical bytes and never of packed ones, since what zlib
makes of them depends on its version.
"""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

import msgspec
import numpy as np
from blake3 import blake3

from zkinfer.circuit.program import Node, Program, Tensor
from zkinfer.circuit.table import Entries, Table
from zkinfer.circuit.validate import validate
from zkinfer.counts import counted
from zkinfer.errors import ArtifactError, ZkinferError

DIGEST_CONTEXT = "zkinfer 2026 program digest v1"
MAX_PROGRAM_BYTES = 1 << 30
MAX_UNPACKED_BYTES = 1 << 26
"""What packed bytes may inflate to."""

MAX_PACKED_ENTRIES = 1 << 25
"""Entries of all tables of a packed program together: what reading it takes memory for."""

FREE_BYTES = 1 << 22
"""Packed bytes inflate to at most so many more than they are. An inflated byte takes up to a microsecond to read and,
of tables, 18 bytes of memory, of tensors and nodes 28, which a short file may not ask for. Beyond that, what zlib would
make shorter is not compressed."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Program)
_table_decoder = msgspec.msgpack.Decoder(Table)
_Parts: TypeAlias = tuple[int, msgspec.Raw, msgspec.Raw, tuple[msgspec.Raw, ...], msgspec.Raw, msgspec.Raw]
_parts_decoder = msgspec.msgpack.Decoder(_Parts)

_PIECE = 1 << 12
"""Entries that are encoded at a time."""


def encode_program(program: Program) -> bytes:
    """The canonical bytes: the same for the same program on every machine."""
    return b"".join(encoded_pieces(program))


def encoded_pieces(program: Program) -> Iterator[bytes | memoryview]:
    """The canonical bytes piece by piece: of a table of millions of entries some at a time."""
    tables = (piece for table in program.tables for piece in _table_pieces(table))
    return _framed(program, len(program.tables), tables)


def _framed(program: Program, count: int, tables: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    """The bytes of a program with so many tables, whose bytes are given; its own are left out."""
    inputs, weights = ([_tensor(tensor) for tensor in tensors] for tensors in (program.inputs, program.weights))
    yield _array_header(6) + b"".join(map(_encoder.encode, (program.version, inputs, weights))) + _array_header(count)
    yield from tables
    yield _encoder.encode([_node(node) for node in program.nodes]) + _encoder.encode(program.outputs)


def _table_pieces(table: Table) -> Iterator[bytes]:
    yield _array_header(3) + _encoder.encode(table.name) + _encoder.encode(table.lo) + _array_header(len(table.values))
    for start in range(0, len(table.values), _PIECE):
        entries = table.array[start : start + _PIECE].tolist()
        yield _encoder.encode(entries)[len(_array_header(len(entries))) :]


def _array_header(count: int) -> bytes:
    """What MessagePack writes in front of so many members."""
    if count < 1 << 4:
        return bytes([0x90 | count])
    return b"\xdc" + count.to_bytes(2, "big") if count < 1 << 16 else b"\xdd" + count.to_bytes(4, "big")


def _tensor(tensor: Tensor) -> tuple[object, ...]:
    """The fields of a tensor as they are written: without scales where it has none."""
    *fields, scales = msgspec.structs.astuple(tensor)
    return tuple(fields) if scales is None else (*fields, scales)


def _node(node: Node) -> tuple[object, ...]:
    out, *fields = msgspec.structs.astuple(node)
    return (node.__struct_config__.tag, _tensor(out), *fields)


def decode_program(data: bytes) -> Program:
    """A validated program from its canonical bytes.

    Raises:
        ArtifactError: not the canonical encoding of a well-formed program.
    """
    if len(data) > MAX_PROGRAM_BYTES:
        raise ArtifactError(f"a program of {counted(len(data), 'byte')} is over the limit of {MAX_PROGRAM_BYTES:,}")
    program = _decode(data)
    validate(program)
    if encode_program(program) != data:
        raise ArtifactError("the program is not in canonical form: it was edited or written by another tool")
    return program


def _decode(data: bytes) -> Program:
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, ZkinferError, ValueError, RecursionError) as error:
        raise ArtifactError(f"not a zkinfer program: {error}") from None


def pack_program(program: Program) -> bytes:
    """The program in few bytes; `unpack_program` reads them.

    Raises:
        ArtifactError: it has more, or longer, tables than `unpack_program` accepts.
    """
    _check_entries(program.tables)
    packed_tables = tuple(map(_with_differences, program.tables))
    data = encode_program(msgspec.structs.replace(program, tables=packed_tables))
    if len(data) > MAX_UNPACKED_BYTES:
        raise ArtifactError(f"a program of {counted(len(data), 'byte')} is over the limit of {MAX_UNPACKED_BYTES:,}")
    packed = zlib.compress(data, 9)
    return packed if len(data) <= _most_inflated(packed) else zlib.compress(data, 0)


def unpack_program(data: bytes) -> Program:
    """A validated program from packed bytes. Inflating stops at what so many bytes may hold.

    Raises:
        ArtifactError: not the packed bytes of a well-formed program, or too many.
    """
    inflator, most = zlib.decompressobj(), _most_inflated(data)
    try:
        inflated = inflator.decompress(data, most + 1)
    except zlib.error as error:
        raise ArtifactError(f"not a packed program: {error}") from None
    if len(inflated) > most:
        raise ArtifactError(f"a packed program of {counted(len(data), 'byte')} that inflates to more than {most:,}")
    if not inflator.eof or inflator.unused_data:
        raise ArtifactError("not a packed program: its compressed bytes are cut off, or others follow")
    program = _unpacked(inflated)
    validate(program)
    return program


def _unpacked(inflated: bytes) -> Program:
    """The program of packed bytes, table by table, so that no more than one is there twice.

    Raises:
        ArtifactError: the bytes are not the canonical ones of a program, or there are too many entries.
    """
    version, inputs, weights, packed_tables, nodes, outputs = _parts(inflated)
    bare = _decode(_encoder.encode((version, inputs, weights, [], nodes, outputs)))
    tables: list[Table] = []
    canonical = b"".join(_framed(bare, len(packed_tables), map(memoryview, packed_tables))) == inflated
    for raw in packed_tables:
        packed = _decode_table(raw)
        canonical = canonical and b"".join(_table_pieces(packed)) == memoryview(raw)
        tables.append(_with_sums(packed))
        _check_entries(tables)
    if not canonical:
        raise ArtifactError("the program is not in canonical form: it was edited or written by another tool")
    return msgspec.structs.replace(bare, tables=tuple(tables))


def _decode_table(raw: msgspec.Raw) -> Table:
    try:
        return _table_decoder.decode(raw)
    except (msgspec.MsgspecError, ZkinferError, ValueError) as error:
        raise ArtifactError(f"not a zkinfer program: {error}") from None


def _most_inflated(packed: bytes) -> int:
    """What a packed program of so many bytes may inflate to."""
    return min(MAX_UNPACKED_BYTES, FREE_BYTES + len(packed))


def _parts(data: bytes) -> _Parts:
    """The bytes of a program's parts, found without making them.

    Raises:
        ArtifactError: not a program.
    """
    try:
        return _parts_decoder.decode(data)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ArtifactError(f"not a zkinfer program: {error}") from None


def _check_entries(tables: Sequence[Table]) -> None:
    entries = sum(len(table.values) for table in tables)
    if entries > MAX_PACKED_ENTRIES:
        raise ArtifactError(f"tables of {entries:,} entries are over the limit of {MAX_PACKED_ENTRIES:,} of a program")


def _with_differences(table: Table) -> Table:
    """Twice, each value becomes its difference to the one before, modulo 2^64; the first stays."""
    once = np.diff(table.array, prepend=np.int64(0))
    return Table(table.name, table.lo, Entries(np.diff(once, prepend=np.int64(0))))


def _with_sums(table: Table) -> Table:
    """The inverse of `_with_differences`."""
    sums = np.cumsum(table.array)
    return Table(table.name, table.lo, Entries(np.cumsum(sums, out=sums)))


def program_digest(program: Program) -> bytes:
    """32 bytes that name the program: architecture, Q-formats, bounds, tables and batch size; no weights."""
    hasher = blake3(derive_key_context=DIGEST_CONTEXT)
    for piece in encoded_pieces(program):
        hasher.update(piece)
    digest: bytes = hasher.digest()
    return digest
