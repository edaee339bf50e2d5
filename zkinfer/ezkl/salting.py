"""Committed vectors: where the data and the salt lie.

ezkl cuts a committed vector into columns of `capacity(k)` elements and commits to each column without blinding
(KZG), then opens each at one random point a proof. Column by column, the salt makes the commitment and `s - 1`
openings independent of the data when `s` uniform elements lie in the column: the s equations that they give about
the salt form a Cauchy matrix, which is invertible.
"""

from dataclasses import dataclass

import numpy as np
from blake3 import blake3

from zkinfer.errors import ResourceError
from zkinfer.ezkl.verifier.bn254 import SCALAR_MODULUS
from zkinfer.ezkl.verifier.kzg import UNUSABLE_ROWS
from zkinfer.typing import IntArray

SALT_CONTEXT = "zkinfer 2026 weight commitment salt v1"


def capacity(logrows: int) -> int:
    """Elements of a committed column of 2**logrows rows."""
    return (1 << logrows) - UNUSABLE_ROWS


@dataclass(frozen=True)
class SaltedVector:
    """The layout of a committed vector: in each column data first, then salt.

    Attributes:
        count: elements of data.
        salt: elements of salt in each column.
        logrows: k; a column holds `capacity(logrows)` elements, all of them used in every column but the last.

    Raises:
        ResourceError: the salt leaves no room for data in a column.
    """

    count: int
    salt: int
    logrows: int

    def __post_init__(self) -> None:
        if self.salt >= capacity(self.logrows):
            raise ResourceError(
                f"{self.salt:,} elements of salt do not fit a column of 2**{self.logrows} rows; ask for fewer proofs"
            )

    @property
    def columns(self) -> int:
        """Columns that hold data or salt; at least one."""
        return max(1, -(-self.count // (capacity(self.logrows) - self.salt)))

    @property
    def salt_count(self) -> int:
        """Elements of salt in all."""
        return self.columns * self.salt

    @property
    def length(self) -> int:
        """Elements of the whole vector."""
        return self.count + self.salt_count

    @property
    def data_positions(self) -> IntArray:
        """Where each element of data lies."""
        column, row = np.divmod(np.arange(self.count, dtype=np.int64), capacity(self.logrows) - self.salt)
        positions: IntArray = column * capacity(self.logrows) + row
        return positions

    def fill(self, data: list[int], salt: tuple[int, ...]) -> list[int]:
        """The vector, as residues modulo the group order.

        Args:
            data: `count` integers.
            salt: `salt_count` residues.
        """
        room = capacity(self.logrows) - self.salt
        vector: list[int] = []
        for column in range(self.columns):
            vector += [value % SCALAR_MODULUS for value in data[column * room : (column + 1) * room]]
            vector += salt[column * self.salt : (column + 1) * self.salt]
        return vector


def salt_from_seed(seed: bytes, count: int) -> tuple[int, ...]:
    """Uniform field elements: 64 bytes of BLAKE3 output each, reduced, so that the bias is below 2**-256."""
    stream = blake3(seed, derive_key_context=SALT_CONTEXT).digest(length=64 * count)
    return tuple(int.from_bytes(stream[i : i + 64], "little") % SCALAR_MODULUS for i in range(0, 64 * count, 64))


def felt(value: int) -> str:
    """A field element as ezkl reads it: 32 bytes, little-endian, hex."""
    element: bytes = (value % SCALAR_MODULUS).to_bytes(32, "little")
    return element.hex()
