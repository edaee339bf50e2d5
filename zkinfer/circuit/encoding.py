"""Canonical bytes of a program, and its digest.

MessagePack as msgspec writes it: integers in their shortest form, arrays in place of maps, no floats. Decoding
encodes again and compares, so one program has one encoding and a digest names exactly one program.

Where bytes count, a program is packed: its tables as the differences of differences of neighbours, which are small and
repeat, then compressed by zlib. Digests are of the program's canonical bytes and never of packed ones, since what zlib
makes of them depends on its version.
"""

import zlib

import msgspec
import numpy as np
from blake3 import blake3

from zkinfer.circuit.program import Node, Program, Tensor
from zkinfer.circuit.table import Table
from zkinfer.circuit.validate import validate
from zkinfer.errors import ArtifactError, ZkinferError
from zkinfer.typing import IntArray

DIGEST_CONTEXT = "zkinfer 2026 program digest v1"
MAX_PROGRAM_BYTES = 1 << 30
MAX_UNPACKED_BYTES = 1 << 26
"""What packed bytes may inflate to."""

MAX_PACKED_ENTRIES = 1 << 25
"""Entries of all tables of a packed program together: what reading it takes memory for."""

FREE_BYTES, BYTES_PER_BYTE = 1 << 22, 16
"""Packed bytes inflate to at most so many, and so many more for each of them: tensors, nodes and entries of tables take
up to a second and 300 MB for each `FREE_BYTES`, which a short file may not ask for. What zlib would make shorter is not
compressed."""

LISTED_PER_BYTE = 2
"""Of those, so many for each packed byte may be of tensors and nodes: one of theirs takes three times the memory that
one of a table takes, and a model of a few kilobytes has few of them."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Program)
_parts = msgspec.msgpack.Decoder(tuple[int, msgspec.Raw, msgspec.Raw, msgspec.Raw, msgspec.Raw, msgspec.Raw])


def encode_program(program: Program) -> bytes:
    """The canonical bytes: the same for the same program on every machine."""
    return _encoder.encode(
        (
            program.version,
            [_tensor(tensor) for tensor in program.inputs],
            [_tensor(tensor) for tensor in program.weights],
            program.tables,
            [_node(node) for node in program.nodes],
            program.outputs,
        )
    )


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
        raise ArtifactError(f"a program of {len(data)} bytes is over the limit of {MAX_PROGRAM_BYTES}")
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
    data = encode_program(_with_differences(program))
    if len(data) > MAX_UNPACKED_BYTES:
        raise ArtifactError(f"a program of {len(data)} bytes is over the limit of {MAX_UNPACKED_BYTES}")
    _check_entries(program)
    packed = zlib.compress(data, 9)
    fits = len(data) <= _most_inflated(packed) and _listed_bytes(data) <= _most_listed(packed)
    return packed if fits else zlib.compress(data, 0)


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
        raise ArtifactError(f"a packed program of {len(data)} bytes that inflates to more than {most}")
    if not inflator.eof or inflator.unused_data:
        raise ArtifactError("not a packed program: its compressed bytes are cut off, or others follow")
    if _listed_bytes(inflated) > _most_listed(data):
        raise ArtifactError(
            f"a packed program of {len(data)} bytes with more than {_most_listed(data)} bytes of tensors and nodes"
        )
    packed = _decode(inflated)
    if encode_program(packed) != inflated:
        raise ArtifactError("the program is not in canonical form: it was edited or written by another tool")
    _check_entries(packed)
    program = _with_sums(packed)
    validate(program)
    return program


def _most_inflated(packed: bytes) -> int:
    """What a packed program of so many bytes may inflate to."""
    return min(MAX_UNPACKED_BYTES, FREE_BYTES + BYTES_PER_BYTE * len(packed))


def _most_listed(packed: bytes) -> int:
    """How many bytes of tensors and nodes a packed program of so many bytes may have."""
    return FREE_BYTES + LISTED_PER_BYTE * len(packed)


def _listed_bytes(data: bytes) -> int:
    """The bytes of a program's tensors, nodes and outputs, found without making them.

    Raises:
        ArtifactError: not a program.
    """
    try:
        _, inputs, weights, _, nodes, outputs = _parts.decode(data)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ArtifactError(f"not a zkinfer program: {error}") from None
    return sum(len(memoryview(part)) for part in (inputs, weights, nodes, outputs))


def _check_entries(program: Program) -> None:
    entries = sum(len(table.values) for table in program.tables)
    if entries > MAX_PACKED_ENTRIES:
        raise ArtifactError(f"tables of {entries} entries are over the limit of {MAX_PACKED_ENTRIES} of a program")


def _with_differences(program: Program) -> Program:
    """Twice, each value of a table becomes its difference to the one before, modulo 2^64; the first stays."""
    return _with_tables(program, [_differences(_differences(table.array)).tolist() for table in program.tables])


def _differences(values: IntArray) -> IntArray:
    return np.diff(values, prepend=np.int64(0))


def _with_sums(program: Program) -> Program:
    """The inverse of `_with_differences`."""
    return _with_tables(program, [np.cumsum(np.cumsum(table.array)).tolist() for table in program.tables])


def _with_tables(program: Program, values: list[list[int]]) -> Program:
    tables = zip(program.tables, values, strict=True)
    return msgspec.structs.replace(
        program, tables=tuple(Table(table.name, table.lo, tuple(found)) for table, found in tables)
    )


def program_digest(program: Program) -> bytes:
    """32 bytes that name the program: architecture, Q-formats, bounds, tables and batch size; no weights."""
    digest: bytes = blake3(encode_program(program), derive_key_context=DIGEST_CONTEXT).digest()
    return digest
