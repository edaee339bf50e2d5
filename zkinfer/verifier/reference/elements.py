"""Field elements and their bytes: docs/protocol/field.md, sections "Elements" and "Bytes".

The arithmetic is that of `zkinfer.protocol.field.scalar`; here are sums, polynomials, and the decoding of bytes.
"""

from collections.abc import Iterable, Sequence

from zkinfer.errors import MalformedProofError
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, ZERO, Ext, ext_add, ext_inv, ext_neg

BASE_BYTES = 7
ELEMENT_BYTES = 21
FIELD_SIZE = P**3
"""|K|, the number of elements of the extension."""

MINUS_ONE = ext_neg(ONE)
HALF = ext_inv((2, 0, 0))

Point = tuple[Ext, ...]


def integer(value: int) -> Ext:
    """The residue of an integer, as an element of K."""
    return (value % P, 0, 0)


def total(elements: Iterable[Ext]) -> Ext:
    """The sum of elements."""
    a = b = c = 0
    for x, y, z in elements:
        a, b, c = a + x, b + y, c + z
    return (a % P, b % P, c % P)


def evaluate(coefficients: Sequence[Ext], x: int) -> Ext:
    """sum over i of coefficients[i] * x^i, for x in F."""
    a = b = c = 0
    for p, q, r in reversed(coefficients):
        a, b, c = (a * x + p) % P, (b * x + q) % P, (c * x + r) % P
    return (a, b, c)


def base_dot(weights: Sequence[Ext], values: Sequence[int]) -> Ext:
    """sum over i of weights[i] * values[i], values in F."""
    result = ZERO
    for (a, b, c), value in zip(weights, values, strict=True):
        result = ext_add(result, (a * value % P, b * value % P, c * value % P))
    return result


def decode_base(data: bytes) -> list[int]:
    """Elements of F from their bytes, whose number is a multiple of `BASE_BYTES`.

    Raises:
        MalformedProofError: an integer is P or more, which no encoder writes.
    """
    numbers = [int.from_bytes(data[i : i + BASE_BYTES], "little") for i in range(0, len(data), BASE_BYTES)]
    if any(n >= P for n in numbers):
        raise MalformedProofError("an element of the field is not canonical")
    return numbers


def decode_elements(data: bytes) -> list[Ext]:
    """Elements of K from their bytes, whose number is a multiple of `ELEMENT_BYTES`.

    Raises:
        MalformedProofError: an integer is P or more.
    """
    numbers = decode_base(data)
    return [(numbers[i], numbers[i + 1], numbers[i + 2]) for i in range(0, len(numbers), 3)]


class ByteReader:
    """Takes a part of a proof apart from the front.

    Args:
        data: the bytes.
        name: of the part, for error messages.
    """

    def __init__(self, data: bytes, name: str) -> None:
        self._data, self._name = data, name

    def take(self, count: int) -> bytes:
        """The next bytes.

        Raises:
            MalformedProofError: there are fewer.
        """
        piece, self._data = self._data[:count], self._data[count:]
        if len(piece) != count:
            raise MalformedProofError(f"{self._name} is too short")
        return piece

    def elements(self, count: int) -> list[Ext]:
        """The next elements of K.

        Raises:
            MalformedProofError: there are fewer, or one is not canonical.
        """
        return decode_elements(self.take(ELEMENT_BYTES * count))

    def finish(self) -> None:
        """Check that nothing is left.

        Raises:
            MalformedProofError: bytes are left.
        """
        if self._data:
            raise MalformedProofError(f"{self._name} is too long")
