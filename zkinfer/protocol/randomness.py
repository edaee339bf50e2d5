"""The prover's secret randomness: a stream of BLAKE3 under a key from the operating system."""

import secrets

import numpy as np
from blake3 import blake3

from zkinfer.protocol.field.params import P
from zkinfer.typing import ByteArray, IntArray

SEED_BYTES = 32

_WORD_BYTES = 8
_MASK = (1 << P.bit_length()) - 1


class Randomness:
    """Uniform bytes and field elements, to be computationally indistinguishable from random.

    Args:
        seed: 32 secret bytes, never to be used twice; by default fresh ones from the operating system. A fixed seed
            makes reproducible test vectors, and commitments that hide nothing from those who know it.
    """

    def __init__(self, seed: bytes | None = None) -> None:
        self._stream = blake3(key=secrets.token_bytes(SEED_BYTES) if seed is None else seed)
        self._position = 0

    def octets(self, count: int) -> ByteArray:
        """Uniform bytes, shape (count,)."""
        data = self._stream.digest(count, seek=self._position)
        self._position += count
        return np.frombuffer(data, dtype=np.uint8)

    def elements(self, rows: int, columns: int) -> IntArray:
        """Uniform canonical elements, shape (rows, columns): words of 50 bits, drawn again when not below P."""
        values = self._words(rows * columns)
        while len(wrong := np.flatnonzero(values >= P)):
            values[wrong] = self._words(len(wrong))
        return values.reshape(rows, columns)

    def _words(self, count: int) -> IntArray:
        return self.octets(_WORD_BYTES * count).view("<i8").astype(np.int64) & _MASK
