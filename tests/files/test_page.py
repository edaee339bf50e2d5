"""docs/protocol/files.md says what the code does: each sentence here is read from the page, or built as it says."""

import re
from pathlib import Path
from typing import get_args

import msgspec
import numpy as np
import pytest
from blake3 import blake3

import zkinfer
from zkinfer.circuit import encoding
from zkinfer.circuit.encoding import encode_program, program_digest
from zkinfer.circuit.program import PROGRAM_VERSION, Einsum, Lookup, Node, Program, Scales, Tensor, Term, View
from zkinfer.circuit.steps import STEPS, Reshape, Slice
from zkinfer.circuit.table import Table
from zkinfer.files.commitment import Commitment
from zkinfer.files.kinds import COMMITMENT, PROOF, ROTATION
from zkinfer.files.native_key import NativeVerifyingKey
from zkinfer.files.statement import Statement
from zkinfer.typing import IntArray

PACKAGE = Path(zkinfer.__file__).parent
PAGE = re.sub(r"\s+", " ", (PACKAGE.parent / "docs" / "protocol" / "files.md").read_text())
CONTEXT = re.compile(r"zkinfer 2026 [a-z0-9 ]+?(?= ?[`\"])")

PROGRAM = Program(
    version=PROGRAM_VERSION,
    inputs=(Tensor("x", (1, 2), 4, -15, 15, Scales(-1, (0, 3))),),
    weights=(Tensor("w", (3, 2), 6, -7, 7),),
    tables=(Table("relu", -4, (0, 0, 0, 0, 0, 1, 2, 3)),),
    nodes=(
        Einsum(Tensor("product", (1, 3), 10, -210, 210), "bi,oi->bo", (0, 1)),
        View(Tensor("moved", (2,), 10, -210, 215), (Term(2, 1, (Reshape((3,)), Slice(0, 2, 2, -1))),), 5),
        Lookup(Tensor("y", (2,), 4, 0, 3), source=3, table=0, shift=6),
    ),
    outputs=(4,),
)
KEY = NativeVerifyingKey(bytes(range(32)), 1, 3, 300, 10, 150, 8, 0, 1)


def kdf(context: str, data: bytes) -> bytes:
    return blake3(data, derive_key_context=context).digest()


def test_a_program_is_the_arrays_of_the_page() -> None:
    assert encode_program(PROGRAM) == msgspec.msgpack.encode(
        [
            1,
            [["x", [1, 2], 4, -15, 15, [-1, [0, 3]]]],
            [["w", [3, 2], 6, -7, 7]],
            [["relu", -4, [0, 0, 0, 0, 0, 1, 2, 3]]],
            [
                ["einsum", ["product", [1, 3], 10, -210, 210], "bi,oi->bo", [0, 1]],
                ["view", ["moved", [2], 10, -210, 215], [[2, 1, [["reshape", [3]], ["slice", 0, 2, 2, -1]]]], 5],
                ["lookup", ["y", [2], 4, 0, 3], 3, 0, 6],
            ],
            [4],
        ]
    )


@pytest.mark.parametrize("kind", [*get_args(Node), *STEPS, NativeVerifyingKey], ids=lambda kind: kind.__name__)
def test_every_kind_of_node_and_step_is_on_the_page(kind: type[msgspec.Struct]) -> None:
    fields = ", ".join(kind.__struct_fields__)
    assert f'`["{kind.__struct_config__.tag}", {fields}]`' in PAGE


def test_every_use_of_the_hash_is_on_the_page_and_no_other() -> None:
    source = "\n".join(path.read_text() for path in sorted(PACKAGE.rglob("*.py")))
    assert set(CONTEXT.findall(source)) == set(CONTEXT.findall(PAGE[PAGE.index("## All uses of BLAKE3") :]))
    assert set(CONTEXT.findall(PAGE)) <= set(CONTEXT.findall(source))


def test_versions_and_limits_are_those_of_the_page() -> None:
    versions = COMMITMENT.version, PROOF.version, ROTATION.version
    assert "version: {} for commitments, {} for proofs, {} for rotations".format(*versions) in PAGE
    assert (encoding.FREE_BYTES, encoding.MAX_UNPACKED_BYTES, encoding.MAX_PACKED_ENTRIES) == (
        1 << 22,
        1 << 26,
        1 << 25,
    )
    assert "that inflate to more than 2^22 bytes more than they are" in PAGE


def test_digests_are_those_of_the_page() -> None:
    commitment = Commitment(PROGRAM, KEY)
    key = ["sumcheck", KEY.root, 1, 3, 300, 10, 150, 8, 0, 1, 0, b"", 0]
    fingerprint = msgspec.msgpack.encode([encode_program(PROGRAM), key])
    assert commitment.digest == kdf("zkinfer 2026 commitment fingerprint v1", fingerprint)
    assert program_digest(PROGRAM) == kdf("zkinfer 2026 program digest v1", encode_program(PROGRAM))

    x: IntArray = np.array([[[1, -2]], [[3, 4]]])
    hidden, context = bytes([7] * 32), b"request 1"
    values = kdf("zkinfer 2026 public values v1", b"".join(int(i).to_bytes(8, "little", signed=True) for i in x.flat))
    statement = Statement(commitment, 2, (x,), (hidden,), context)
    assert statement.digest() == kdf(
        "zkinfer 2026 statement of runs v1",
        (1).to_bytes(4, "little")
        + program_digest(PROGRAM)
        + commitment.digest
        + (2).to_bytes(8, "little")
        + bytes([0, 1])
        + values
        + hidden
        + len(context).to_bytes(8, "little")
        + context,
    )
    assert statement.parts() == tuple(
        kdf("zkinfer 2026 part of a statement v1", part) for part in (values, hidden, context)
    )
