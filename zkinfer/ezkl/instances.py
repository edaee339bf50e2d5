"""The statement of an ezkl proof as public instances: the numbers that its verifier is given."""

from collections.abc import Sequence

from blake3 import blake3

from zkinfer.files.commitment import Commitment
from zkinfer.files.statement import PROTOCOL_VERSION, check_context
from zkinfer.typing import IntArray

STATEMENT_CONTEXT = "zkinfer 2026 statement v1"
STATEMENT_WORDS = 11
STATEMENT_WORD_BITS = 24
"""The 256-bit digest of a statement as eleven words that single-precision tensors carry exactly."""


def statement_digest(commitment: Commitment, context: bytes) -> bytes:
    """What a proof binds beside its values, which are public instances themselves: 32 bytes.

    Over protocol version, program digest, commitment digest (which covers weights and keys) and context.

    Args:
        commitment: the published commitment.
        context: a nonce or request id, at most `MAX_CONTEXT_BYTES`.

    Raises:
        InvalidInputError: the context is longer.
    """
    check_context(context)
    hasher = blake3(derive_key_context=STATEMENT_CONTEXT)
    hasher.update(PROTOCOL_VERSION.to_bytes(4, "little"))
    hasher.update(commitment.program_digest)
    hasher.update(commitment.digest)
    hasher.update(len(context).to_bytes(8, "little"))
    hasher.update(context)
    digest: bytes = hasher.digest()
    return digest


def statement_words(digest: bytes) -> tuple[int, ...]:
    """A digest as `STATEMENT_WORDS` integers below 2**24, least significant first."""
    number = int.from_bytes(digest, "little")
    mask = (1 << STATEMENT_WORD_BITS) - 1
    return tuple((number >> (STATEMENT_WORD_BITS * i)) & mask for i in range(STATEMENT_WORDS))


def public_instances(
    digest: bytes,
    inputs: Sequence[IntArray],
    outputs: Sequence[IntArray],
) -> list[int]:
    """The public instances of a proof, in order: statement words, inputs, outputs. They may be negative.

    Args:
        digest: of the statement, 32 bytes.
        inputs, outputs: one integer array for each input and output of the program, read row by row.
    """
    values = list(statement_words(digest))
    for array in (*inputs, *outputs):
        values.extend(int(x) for x in array.ravel())
    return values
