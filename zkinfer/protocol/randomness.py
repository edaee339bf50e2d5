"""The prover's secret randomness: a stream of BLAKE3 under a key from the operating system."""

import secrets
from collections.abc import Callable

import numpy as np
from blake3 import blake3

from zkinfer.protocol.field.params import P
from zkinfer.typing import Array, ByteArray, IntArray

SEED_BYTES = 32

_WORD_BYTES = 8
_BLOCK_WORDS = 1 << 18
"""Words drawn at a time: they stay in the caches."""

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
        values = np.empty((rows, columns), dtype=np.int64)
        self.fill(values)
        return values

    def fill(self, out: Array, convert: Callable[[IntArray], Array] = np.asarray) -> None:
        """Writes what `elements` gives into a contiguous array, a block at a time.

        Args:
            out: shape (rows, columns).
            convert: makes what is written of canonical elements, shape (n,); it is called with words up to 2^50, too,
                and what it makes of those from P on is overwritten.
        """
        flat = out.reshape(-1)
        wrong = [np.zeros(0, dtype=np.int64)]
        for start in range(0, flat.size, _BLOCK_WORDS):
            values = self._words(min(_BLOCK_WORDS, flat.size - start))
            wrong.append(np.flatnonzero(values >= P) + start)
            flat[start : start + len(values)] = convert(values)
        places = np.concatenate(wrong)
        while len(places):
            values = self._words(len(places))
            flat[places[values < P]] = convert(values[values < P])
            places = places[values >= P]

    def _words(self, count: int) -> IntArray:
        words: IntArray = self.octets(_WORD_BYTES * count).view("<i8") & _MASK
        return words
