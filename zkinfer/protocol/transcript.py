"""The Fiat-Shamir transcript: a chain of keyed BLAKE3 calls that turns messages into challenges.

The state is 32 bytes. Every call hashes one frame under the state as key, and the first 32 bytes of the output are
the next state; what follows, as many bytes as are needed, is the call's randomness:

    frame  = operation (1 byte) || len(label) (4 bytes) || label || payload
    output = BLAKE3 keyed with the state, over the frame, extended to any length
    state' = output[:32],  randomness = output[32:]

    operation  payload
    ABSORB     the data (its length is the rest of the frame's)
    EXT        number of elements (8 bytes)
    INDICES    bound (8 bytes) || number of indices (8 bytes)
    GRIND      bits (4 bytes) || nonce (8 bytes)

Integers are little-endian. The label's length is written and the payload is all that follows it, so different calls
have different frames, and the state depends on every call before, its kind, label and data, in order. The first state
is BLAKE3 in key derivation mode, context `CONTEXT`, of the domain.

Challenges are exactly uniform given a random output: words of the randomness are masked to the bit length that is
needed and those out of range are skipped.

There is no way to copy or rewind a transcript: prover and verifier make the same calls, in the same order, once.
"""

import itertools
from collections.abc import Iterable
from functools import lru_cache
from importlib.util import find_spec

from blake3 import blake3

from zkinfer.errors import InvalidInputError, InvalidProofError
from zkinfer.protocol.field.encoding import BASE_BYTES, encode_base, encode_ext
from zkinfer.protocol.field.params import DEGREE, P
from zkinfer.protocol.field.scalar import Ext

CONTEXT = "zkinfer 2026 transcript v1"
STATE_BYTES = 32
INDEX_BYTES = 8
NONCE_BYTES = 8
MAX_GRINDING_BITS = 40

BLOCK_BYTES = 64
"""Of BLAKE3: the longest frame that is hashed at once."""

ABSORB, EXT, INDICES, GRIND = b"\x01", b"\x02", b"\x03", b"\x04"


class Transcript:
    """One run of a protocol, seen as the sequence of its messages and challenges.

    Args:
        domain: names the protocol and its version; transcripts of different domains are unrelated.
    """

    def __init__(self, domain: bytes) -> None:
        self._state: bytes = blake3(domain, derive_key_context=CONTEXT).digest()

    def absorb(self, label: str, *pieces: bytes) -> None:
        """Bind a message; where it has several pieces, these follow one another, and where they end is not bound."""
        output = self._output(_frame_start(ABSORB, label))
        for piece in pieces:
            output.update(piece)
        self._state = output.digest(STATE_BYTES)

    def absorb_base(self, label: str, values: Iterable[int]) -> None:
        """Bind canonical base field elements, in their canonical bytes."""
        self.absorb(label, encode_base(values))

    def absorb_ext(self, label: str, values: Iterable[Ext]) -> None:
        """Bind canonical extension field elements, in their canonical bytes."""
        self.absorb(label, encode_ext(values))

    def challenge_ext(self, label: str) -> Ext:
        """One uniform extension field element."""
        return self.challenge_exts(label, 1)[0]

    def challenge_exts(self, label: str, count: int) -> list[Ext]:
        """Independent uniform extension field elements."""
        flat = self._words(_frame(EXT, label, _u64(count)), BASE_BYTES, P, DEGREE * count)
        return [(flat[i], flat[i + 1], flat[i + 2]) for i in range(0, len(flat), DEGREE)]

    def challenge_indices(self, label: str, bound: int, count: int) -> list[int]:
        """Independent uniform integers in [0, bound); they may repeat.

        Raises:
            InvalidInputError: bound is not in [1, 2^64).
        """
        if not 1 <= bound < 1 << 64:
            raise InvalidInputError(f"no indices below {bound}")
        return self._words(_frame(INDICES, label, _u64(bound) + _u64(count)), INDEX_BYTES, bound, count)

    def solve(self, label: str, bits: int) -> int:
        """The smallest nonce whose output begins with `bits` zero bits; takes about 2^bits hashes. Binds nothing.

        Raises:
            InvalidInputError: bits is not in [0, MAX_GRINDING_BITS].
        """
        prefix = _grinding_prefix(label, bits)
        if find_spec("numba") is not None and len(prefix) + NONCE_BYTES <= BLOCK_BYTES:
            # Only provers come here. Verifiers have no kernels.
            from zkinfer.protocol.merkle.grinding import smallest_nonce

            return smallest_nonce(self._state, prefix, bits)
        begun = self._output(prefix)
        return next(n for n in itertools.count() if _solves(begun.copy().update(_u64(n)), bits))

    def grind(self, label: str, bits: int) -> int:
        """Find a nonce with `solve`, and bind it.

        Raises:
            InvalidInputError: bits is not in [0, MAX_GRINDING_BITS].
        """
        nonce = self.solve(label, bits)
        self.check_grind(label, bits, nonce)
        return nonce

    def check_grind(self, label: str, bits: int, nonce: int) -> None:
        """Bind the nonce that a prover found with `solve`.

        Raises:
            InvalidProofError: the nonce is not 64 bits long or does not solve the puzzle; nothing is bound.
            InvalidInputError: bits is not in [0, MAX_GRINDING_BITS].
        """
        prefix = _grinding_prefix(label, bits)
        if not 0 <= nonce < 1 << 64 or not _solves(self._output(prefix + _u64(nonce)), bits):
            raise InvalidProofError(f"the nonce of {label!r} does not show {bits} bits of work")
        self._advance(prefix + _u64(nonce))

    def _output(self, frame: bytes) -> blake3:
        return blake3(frame, key=self._state)

    def _advance(self, frame: bytes) -> None:
        self._state = self._output(frame).digest(STATE_BYTES)

    def _words(self, frame: bytes, size: int, bound: int, count: int) -> list[int]:
        """Advances the state; the first words of `size` bytes that are below bound, masked to the bits of bound - 1."""
        output = self._output(frame)
        data = output.digest(STATE_BYTES + size * count)  # enough, if no word is skipped
        self._state = data[:STATE_BYTES]
        words, position = _words_below(bound, data[STATE_BYTES:], size), len(data)
        while len(words) < count:
            data = output.digest(size * (count - len(words)), seek=position)
            words += _words_below(bound, data, size)
            position += len(data)
        return words


def _words_below(bound: int, data: bytes, size: int) -> list[int]:
    mask = (1 << (bound - 1).bit_length()) - 1
    words = [int.from_bytes(data[i : i + size], "little") & mask for i in range(0, len(data), size)]
    return [word for word in words if word < bound]


def _solves(output: blake3, bits: int) -> bool:
    """Whether the randomness begins, in little-endian order, with that many zero bits."""
    word = int.from_bytes(output.digest(8, seek=STATE_BYTES), "little")
    return word & ((1 << bits) - 1) == 0


def _grinding_prefix(label: str, bits: int) -> bytes:
    if not 0 <= bits <= MAX_GRINDING_BITS:
        raise InvalidInputError(f"{bits} bits of grinding are out of the range 0 to {MAX_GRINDING_BITS}")
    return _frame(GRIND, label, bits.to_bytes(4, "little"))


def _frame(operation: bytes, label: str, payload: bytes) -> bytes:
    return _frame_start(operation, label) + payload


@lru_cache(maxsize=256)
def _frame_start(operation: bytes, label: str) -> bytes:
    name = label.encode()
    return b"".join((operation, len(name).to_bytes(4, "little"), name))


def _u64(value: int) -> bytes:
    return value.to_bytes(8, "little")
