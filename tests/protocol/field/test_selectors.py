"""Selectors against their definition."""

import numpy as np
from support.random_contractions import random_ext

from zkinfer.protocol.field.scalar import ONE, ZERO, eq
from zkinfer.protocol.field.selectors import Selectors


def test_each_is_the_eq_of_bits_and_coordinates() -> None:
    """In any order, and again."""
    rng = np.random.default_rng(0)
    point = [random_ext(rng) for _ in range(5)]
    selectors = Selectors(point)
    ranges = [(bits, number) for bits in range(6) for number in range(1 << bits)]
    for bits, number in (*(ranges[i] for i in rng.permutation(len(ranges))), *ranges):
        binary = [ONE if number >> (bits - 1 - j) & 1 else ZERO for j in range(bits)]
        assert selectors.at(bits, number) == eq(binary, point[:bits])
