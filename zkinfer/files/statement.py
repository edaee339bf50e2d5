"""The statement that a proof is checked against: written once, for prover and verifier.

The verifier builds it from what its caller hands in. Of the proof it takes the outputs that are claimed and the
commitments to values that are hidden, both of which are then proven.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from blake3 import blake3

from zkinfer.counts import counted
from zkinfer.errors import InvalidInputError
from zkinfer.files.commitment import Commitment
from zkinfer.typing import IntArray

PROTOCOL_VERSION = 1
RUNS_STATEMENT_CONTEXT = "zkinfer 2026 statement of runs v1"
VALUES_CONTEXT = "zkinfer 2026 public values v1"
PARTS_CONTEXT = "zkinfer 2026 part of a statement v1"
RANGES_CONTEXT = "zkinfer 2026 statement of weight ranges v1"
MAX_CONTEXT_BYTES = 1 << 16
MAX_RUNS = 1 << 20
"""Runs of the program that one proof may cover."""

MAX_UNSTATED_RUNS = 1 << 12
"""Runs that are checked where nothing that the verifier's caller hands in bounds their number, unless it wants more."""

Shown: TypeAlias = IntArray | bytes
"""A public value: its integers, int64 of shape (runs, *tensor.shape). A hidden one: its 32-byte commitment."""


def check_context(context: bytes) -> None:
    """Raises InvalidInputError where a context is not bytes, or longer than `MAX_CONTEXT_BYTES`."""
    if not isinstance(context, (bytes, bytearray, memoryview)):
        raise InvalidInputError(
            f'a context is bytes, such as b"request 1" or text.encode(), got {type(context).__name__}'
        )
    if len(context) > MAX_CONTEXT_BYTES:
        raise InvalidInputError(
            f"a context of {counted(len(context), 'byte')} is over the limit of {MAX_CONTEXT_BYTES:,}"
        )


def ranges_statement(commitment: Commitment) -> bytes:
    """32 bytes that name the statement that a commitment's weights lie within the bounds that its program says."""
    digest: bytes = blake3(commitment.digest, derive_key_context=RANGES_CONTEXT).digest()
    return digest


@dataclass(frozen=True, eq=False)
class Statement:
    """The program of a commitment, run `runs` times with the committed weights, maps these inputs to these outputs.

    Attributes:
        commitment: the published commitment.
        runs: how many, from 1 to `MAX_RUNS`.
        inputs: one an input of the program.
        outputs: one an output of the program.
        context: a nonce or request id.

    Raises:
        InvalidInputError: the context is longer than `MAX_CONTEXT_BYTES`, or there are no or too many runs.
    """

    commitment: Commitment
    runs: int
    inputs: tuple[Shown, ...]
    outputs: tuple[Shown, ...]
    context: bytes

    def __post_init__(self) -> None:
        check_context(self.context)
        if not 1 <= self.runs <= MAX_RUNS:
            raise InvalidInputError(f"a proof covers 1 to {MAX_RUNS:,} runs of the circuit, not {self.runs:,}")

    def parts(self) -> tuple[bytes, bytes, bytes]:
        """Digests of inputs, outputs and context, 32 bytes each: they tell which of them two statements differ in.

        Like a proof itself, they let anyone who holds them test a guess of a public value, and tell nothing of a hidden
        one beside its commitment.
        """
        inputs, outputs = (
            b"".join(digests) for digests in (self._digests[: len(self.inputs)], self._digests[len(self.inputs) :])
        )
        first, second, third = (
            blake3(data, derive_key_context=PARTS_CONTEXT).digest() for data in (inputs, outputs, self.context)
        )
        return first, second, third

    def digest(self) -> bytes:
        """32 bytes that bind all of it.

        Over, in this order: protocol version (4 bytes, as all integers little-endian), program digest, commitment
        digest, runs (8 bytes), one byte for each input and then for each output (0 public, 1 private), 32 bytes for
        each input and then for each output, length of the context (8 bytes), context. The 32 bytes of a public value
        are a hash of its integers, 8 bytes each, row-major; those of a private one are its commitment. The program
        tells how many there are.
        """
        values = (*self.inputs, *self.outputs)
        hasher = blake3(derive_key_context=RUNS_STATEMENT_CONTEXT)
        hasher.update(PROTOCOL_VERSION.to_bytes(4, "little"))
        hasher.update(self.commitment.program_digest)
        hasher.update(self.commitment.digest)
        hasher.update(self.runs.to_bytes(8, "little"))
        hasher.update(bytes(isinstance(value, bytes) for value in values))
        for one in self._digests:
            hasher.update(one)
        hasher.update(len(self.context).to_bytes(8, "little"))
        hasher.update(self.context)
        digest: bytes = hasher.digest()
        return digest

    @cached_property
    def _digests(self) -> tuple[bytes, ...]:
        """What binds each input, then each output: hashed once, although several digests are over them."""
        values = (*self.inputs, *self.outputs)
        return tuple(value if isinstance(value, bytes) else _values_digest(value) for value in values)


def _values_digest(integers: IntArray) -> bytes:
    data = np.ascontiguousarray(integers, dtype="<i8").reshape(-1).view(np.uint8).data
    digest: bytes = blake3(data, derive_key_context=VALUES_CONTEXT).digest()
    return digest
