"""Random samples that anyone can draw again, and what such a sample shows.

A sample of a list is drawn without replacement from a published seed, every subset of its size being as likely as every
other. If `wrong` items of the list are wrong, none of them is in a sample of n with the hypergeometric probability

    C(items - wrong, n) / C(items, n).

Whoever made the list must not have known the seed: else only the items that are not drawn need be wrong.
"""

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
from blake3 import blake3

from zkinfer.counts import counted
from zkinfer.errors import InvalidInputError
from zkinfer.typing import IntArray

CONTEXT = "zkinfer 2026 sample v1"
SEED_BYTES = 32
MAX_ITEMS = 1 << 48

_WORD_BYTES = 8
_FEWEST_WORDS = 64
_BLOCK = 1 << 16
"""Logarithms that are summed at a time."""

_ROUNDING = 1e-9
"""Relative: far above the rounding of a sum of logarithms, far below any difference that matters."""


def draw(seed: bytes, items: int, size: int) -> IntArray:
    """The sample that a seed stands for: `size` different numbers below `items`, in increasing order.

    Words of 8 bytes are read, as little-endian integers, from BLAKE3 in key derivation mode (context `CONTEXT`) of the
    seed and `items` (8 bytes); of each the lowest bits, as many as `items - 1` has, are kept. Numbers that are not
    below `items` and numbers that were drawn before are skipped. Where the sample is more than half of the items, those
    that are left out are drawn instead.

    Args:
        seed: SEED_BYTES bytes.
        items: at least 1, at most MAX_ITEMS.
        size: from 0 to `items`.

    Returns:
        int64, shape (size,).

    Raises:
        InvalidInputError: an argument is out of range.
    """
    if len(seed) != SEED_BYTES:
        raise InvalidInputError(f"the seed of a sample has {SEED_BYTES} bytes, not {len(seed)}")
    _check_size(items, size)
    if 2 * size > items:
        return np.setdiff1d(np.arange(items), _drawn(seed, items, items - size), assume_unique=True)
    return _drawn(seed, items, size)


def _drawn(seed: bytes, items: int, size: int) -> IntArray:
    stream = blake3(seed + items.to_bytes(_WORD_BYTES, "little"), derive_key_context=CONTEXT)
    mask = (1 << (items - 1).bit_length()) - 1
    found = np.zeros(0, dtype=np.int64)
    position = 0
    while len(found) < size:
        octets = _WORD_BYTES * (_FEWEST_WORDS + 2 * (size - len(found)))
        words = np.frombuffer(stream.digest(octets, seek=position), dtype="<u8") & np.uint64(mask)
        position += octets
        candidates = np.concatenate([found, words[words < items].astype(np.int64)])
        _, first = np.unique(candidates, return_index=True)
        found = candidates[np.sort(first)[:size]]
    return np.sort(found)


def miss_probability(items: int, wrong: int, size: int) -> float:
    """The probability that a sample of `size` of the items holds none of the `wrong` ones.

    Computed as the product of (items - wrong - i) / (items - i) for i < size, or the same with wrong and size exchanged
    where that is shorter, in logarithms.

    Raises:
        InvalidInputError: not 0 <= wrong, size <= items.
    """
    _check_size(items, size)
    _check_size(items, wrong)
    if wrong > items - size:
        return 0.0
    fewer, more = sorted((wrong, size))
    logarithm = math.fsum(
        float(np.log1p(-more / (items - np.arange(start, min(start + _BLOCK, fewer)))).sum())
        for start in range(0, fewer, _BLOCK)
    )
    return math.exp(logarithm)


def sample_size(items: int, rate: float, confidence: float) -> int:
    """The least sample that holds a wrong item with that confidence, if at least that rate of the items is wrong.

    Args:
        rate: in (0, 1]. A rate that is less than one item counts as one.
        confidence: in (0, 1).

    Raises:
        InvalidInputError: an argument is out of range.
    """
    wrong = wrong_items(items, rate)
    check_confidence(confidence)
    return least(items, lambda size: _finds(items, wrong, size, confidence))


def least(most: int, enough: Callable[[int], bool]) -> int:
    """The least number from 1 to `most` that is enough, as is every larger one; `most` is taken to be."""
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def detectable(items: int, size: int, confidence: float) -> int:
    """The least number of wrong items of which a sample of that size, at least 1, holds one with that confidence.

    Raises:
        InvalidInputError: an argument is out of range.
    """
    _check_size(items, size)
    check_confidence(confidence)
    if not size:
        raise InvalidInputError("a sample of no items finds nothing")
    return least(items, lambda wrong: _finds(items, wrong, size, confidence))


def wrong_items(items: int, rate: float) -> int:
    """The least number of items that is at least that rate of them, and not 0.

    The rate is taken as the decimal number that is written for it, so that 0.07 of 100 is 7.

    Raises:
        InvalidInputError: the rate is not in (0, 1], or there are no items.
    """
    _check_size(items, 0)
    check_rate(rate)
    return max(1, math.ceil(Fraction(repr(float(rate))) * items))


def check_rate(rate: float) -> None:
    """Raises InvalidInputError: not in (0, 1]."""
    if not 0 < rate <= 1:
        raise InvalidInputError(f"a rate of wrong answers lies above 0 and is at most 1, got {rate}")


def check_confidence(confidence: float) -> None:
    """Raises InvalidInputError: not in (0, 1)."""
    if not 0 < confidence < 1:
        raise InvalidInputError(f"a confidence lies between 0 and 1, got {confidence}")


def _finds(items: int, wrong: int, size: int, confidence: float) -> bool:
    return miss_probability(items, wrong, size) <= (1 - confidence) * (1 + _ROUNDING)


def _check_size(items: int, size: int) -> None:
    if not 1 <= items <= MAX_ITEMS:
        raise InvalidInputError(f"from 1 to 2^48 items can be sampled, not {items}")
    if not 0 <= size <= items:
        raise InvalidInputError(
            f"{size:,} of {counted(items, 'item')} cannot be: at least 0, and not more than there are"
        )
