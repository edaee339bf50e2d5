"""The statement that a proof is checked against: written once, for prover and verifier.

The verifier builds it from what its caller hands in, never from the proof. Its digest covers, in this order:
protocol version, program digest, commitment digest (which covers weights, keys and visibility), and the
caller's context. The values themselves stand beside the digest in the public instances.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from zkinfer.commitment import Commitment
from zkinfer.errors import InvalidInputError

PROTOCOL_VERSION = 1
STATEMENT_CONTEXT = "zkinfer 2026 statement v1"
MAX_CONTEXT_BYTES = 1 << 16

STATEMENT_WORDS = 11
STATEMENT_WORD_BITS = 24
"""The 256-bit digest as eleven words that single-precision tensors carry exactly."""


def statement_digest(commitment: Commitment, context: bytes) -> bytes:
    """32 bytes that bind version, program, commitment and context.

    Args:
        commitment: the published commitment.
        context: a nonce or request id, at most `MAX_CONTEXT_BYTES`.

    Raises:
        InvalidInputError: the context is longer.
    """
    if len(context) > MAX_CONTEXT_BYTES:
        raise InvalidInputError(f"a context of {len(context)} bytes is over the limit of {MAX_CONTEXT_BYTES}")
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
    inputs: Sequence[npt.NDArray[np.int64]],
    outputs: Sequence[npt.NDArray[np.int64]],
) -> list[int]:
    """The public instances of an ezkl proof, in order: statement words, inputs, outputs; negative ones as they are."""
    values = list(statement_words(digest))
    for array in (*inputs, *outputs):
        values.extend(int(x) for x in array.ravel())
    return values
