"""Canonical bytes of a program, and its digest.

MessagePack as msgspec writes it: integers in their shortest form, arrays in place of maps, no floats. Decoding
encodes again and compares, so one program has one encoding and a digest names exactly one program.
"""

import msgspec
from blake3 import blake3

from zkinfer.circuit.program import Node, Program, Tensor
from zkinfer.circuit.validate import validate
from zkinfer.errors import ArtifactError, ZkinferError

DIGEST_CONTEXT = "zkinfer 2026 program digest v1"
MAX_PROGRAM_BYTES = 1 << 30

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Program)


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
    try:
        program = _decoder.decode(data)
    except (msgspec.MsgspecError, ZkinferError, ValueError, RecursionError) as error:
        raise ArtifactError(f"not a zkinfer program: {error}") from None
    validate(program)
    if encode_program(program) != data:
        raise ArtifactError("the program is not in canonical form: it was edited or written by another tool")
    return program


def program_digest(program: Program) -> bytes:
    """32 bytes that name the program: architecture, Q-formats, bounds, tables and batch size; no weights."""
    digest: bytes = blake3(encode_program(program), derive_key_context=DIGEST_CONTEXT).digest()
    return digest
