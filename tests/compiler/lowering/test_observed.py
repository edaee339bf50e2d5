"""Observed ranges: derived ones stay until a measured one replaces them."""

from zkinfer.compiler.lowering.builder import Builder
from zkinfer.compiler.lowering.observed import ObservedRanges


def test_a_value_without_one_has_its_proven_range() -> None:
    value = Builder().input("x", (2,), 4, -16, 32)
    assert ObservedRanges().of(value) == (-1.0, 2.0)


def test_the_first_derived_range_stays() -> None:
    value = Builder().input("x", (2,), 4, -16, 32)
    ranges = ObservedRanges()
    ranges.add(value, (-0.5, 0.5))
    ranges.add(value, (-0.25, 0.25))
    assert ranges.of(value) == (-0.5, 0.5)


def test_a_measured_range_replaces_a_derived_one() -> None:
    value = Builder().input("x", (2,), 4, -16, 32)
    ranges = ObservedRanges()
    ranges.add(value, (-0.5, 0.5))
    ranges.replace(value, (0.0, 1.0))
    ranges.add(value, (-0.5, 0.5))
    assert ranges.of(value) == (0.0, 1.0)


def test_ranges_belong_to_their_values() -> None:
    builder = Builder()
    a, b = builder.input("a", (2,), 4, -16, 32), builder.input("b", (2,), 4, -16, 32)
    ranges = ObservedRanges()
    ranges.replace(a, (0.0, 1.0))
    assert ranges.of(b) == (-1.0, 2.0)
