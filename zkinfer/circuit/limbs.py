"""How the remainders of rounding shifts are cut into limbs, each of which is looked up in a table of its range.

A range costs its rows once, and each limb an entry for every element. All limbs of as many bits share their range,
whatever they are limbs of, so the cuts of a program are chosen together: one range of 2^16 rows that saves a limb of
all its tensors is cheap, where for each of them alone it would be too large.
"""

from collections import Counter
from collections.abc import Mapping

from zkinfer.circuit.table import MAX_SHIFT
from zkinfer.errors import InvalidInputError

MAX_LIMB_BITS = 20
"""Bits of the largest limb; this keeps the tables of ranges small."""

ROUNDS = 3
"""How often the widths of all shifts are chosen anew."""

Limbs = tuple[int, ...]


def limb_cuts(elements: Mapping[int, int]) -> dict[int, Limbs]:
    """How remainders in [0, 2^s) are cut into limbs, for each shift s: the bits of each, least significant first.

    Limbs of width w: all have w bits, at most `MAX_LIMB_BITS`, except the last, which has what is left; there are none
    for shift 0. The cost of a choice of widths is the number of all limbs, plus twice the rows of their ranges: 2^b for
    each different number b of bits. First one width is taken for all shifts, that of the least cost. Then, `ROUNDS`
    times for each shift from the least to the largest, the width is taken that makes the cost least as long as the
    others stay. Of equal costs, each time, the one with the fewest limbs is taken, and of those the smallest width.

    Args:
        elements: for each shift, 0 to `MAX_SHIFT`, how many remainders there are, at least 0.

    Raises:
        InvalidInputError: a shift or a number of elements is out of range.
    """
    for shift, count in elements.items():
        if not 0 <= shift <= MAX_SHIFT or count < 0:
            raise InvalidInputError(
                f"a shift is from 0 to {MAX_SHIFT}, got {shift}, and elements at least 0, got {count}"
            )

    def cost(cuts: Mapping[int, Limbs]) -> tuple[int, int]:
        limbs = sum(len(cut) * elements[shift] for shift, cut in cuts.items())
        rows = sum(1 << bits for bits in set().union(*cuts.values()))
        return limbs + 2 * rows, sum(map(len, cuts.values()))

    widths = range(1, MAX_LIMB_BITS + 1)
    cuts = min(({shift: _cut(shift, width) for shift in sorted(elements)} for width in widths), key=cost)
    # What one shift changes, others left as they are, is its own limbs and the ranges that it alone has.
    users = Counter(bits for cut in cuts.values() for bits in set(cut))
    for shift in list(cuts) * ROUNDS:
        users.subtract(set(cuts[shift]))

        def added(limbs: Limbs, shift: int = shift) -> tuple[int, int]:
            rows = sum(1 << bits for bits in set(limbs) if not users[bits])
            return len(limbs) * elements[shift] + 2 * rows, len(limbs)

        cuts[shift] = min((_cut(shift, width) for width in widths), key=added)
        users.update(set(cuts[shift]))
    return cuts


def limb_bits(shift: int, elements: int) -> Limbs:
    """As `limb_cuts`, of so many remainders that share no range with others.

    Raises:
        InvalidInputError: the shift or the number of elements is out of range.
    """
    return limb_cuts({shift: elements})[shift]


def _cut(shift: int, width: int) -> Limbs:
    full, left = divmod(shift, width)
    return (width,) * full + (left,) * (left > 0)
