"""How the remainder of a rounding shift is cut into limbs, each of which is looked up in a table of its range."""

from zkinfer.circuit.table import MAX_SHIFT
from zkinfer.errors import InvalidInputError

MAX_LIMB_BITS = 20
"""Bits of the largest limb; this keeps the tables of ranges small."""


def limb_bits(shift: int, elements: int) -> tuple[int, ...]:
    """How a remainder in [0, 2^shift) is cut into limbs: the bits of each, least significant first; () for shift 0.

    All limbs have the same number of bits, at most `MAX_LIMB_BITS`, except the last, which has what is left. Of these
    divisions that one is taken whose cost is least, and of equal costs the one with the fewest limbs. The cost is the
    number of limbs times `elements`, plus twice the rows of the ranges: 2^b for each different number b of bits, since
    limbs of as many bits share their range.

    Args:
        shift: bits of the remainder, 0 to `MAX_SHIFT`.
        elements: remainders to be cut, at least 0.

    Raises:
        InvalidInputError: the shift or the number of elements is out of range.
    """
    if not 0 <= shift <= MAX_SHIFT or elements < 0:
        raise InvalidInputError(
            f"a shift is from 0 to {MAX_SHIFT}, got {shift}, and elements at least 0, got {elements}"
        )

    def cost(limbs: tuple[int, ...]) -> int:
        return len(limbs) * elements + 2 * sum(1 << bits for bits in set(limbs))

    divisions = []
    for bits in range(1, min(shift, MAX_LIMB_BITS) + 1):
        full, left = divmod(shift, bits)
        divisions.append((bits,) * full + (left,) * (left > 0))
    return min(divisions, key=lambda limbs: (cost(limbs), len(limbs)), default=())
