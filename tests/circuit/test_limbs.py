"""Remainders are cut into the cheapest limbs that make up every one of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkinfer.circuit.limbs import MAX_LIMB_BITS, limb_bits, limb_cuts
from zkinfer.circuit.table import MAX_SHIFT
from zkinfer.errors import InvalidInputError


def divisions(shift: int) -> set[tuple[int, ...]]:
    """All that the rule allows: equal limbs but for the last, which is not larger."""
    found: set[tuple[int, ...]] = set()
    for width in range(1, MAX_LIMB_BITS + 1):
        for count in range(shift // width + 1):
            last = shift - count * width
            if 0 < last <= width:
                found.add((width,) * count + (last,))
    return found


def cost(limbs: tuple[int, ...], elements: int) -> int:
    return len(limbs) * elements + 2 * sum(1 << bits for bits in set(limbs))


@pytest.mark.parametrize("shift", range(1, MAX_SHIFT + 1))
def test_limbs_are_the_cheapest_that_the_rule_allows(shift: int) -> None:
    for elements in (0, 1, 17, 1000, 2**16, 2**20, 2**22 + 5, 2**30):
        limbs = limb_bits(shift, elements)
        allowed = divisions(shift)
        assert limbs in allowed
        best = min(cost(other, elements) for other in allowed)
        assert cost(limbs, elements) == best
        assert len(limbs) == min(len(other) for other in allowed if cost(other, elements) == best)


@pytest.mark.parametrize(
    ("shift", "elements", "limbs"),
    [
        (0, 1000, ()),
        (1, 1000, (1,)),
        (8, 10**6, (8,)),
        (16, 1 << 20, (16,)),
        (16, 1 << 14, (8, 8)),
        (17, 1 << 14, (9, 8)),
        (20, 1 << 30, (20,)),
        (21, 1 << 30, (11, 10)),
        (12, 0, (1,) * 12),
    ],
)
def test_limbs_by_example(shift: int, elements: int, limbs: tuple[int, ...]) -> None:
    assert limb_bits(shift, elements) == limbs


@given(shift=st.integers(0, 40), elements=st.integers(0, 2**30), data=st.data())
def test_limbs_make_up_every_remainder(shift: int, elements: int, data: st.DataObject) -> None:
    """Digits of the limbs' ranges give every remainder in [0, 2^shift) once, and nothing else."""
    limbs = limb_bits(shift, elements)
    remainder = data.draw(st.integers(0, 2**shift - 1))
    digits, rest = [], remainder
    for bits in limbs:
        digits.append(rest % 2**bits)
        rest >>= bits
    assert rest == 0
    starts = [sum(limbs[:i]) for i in range(len(limbs))]
    assert sum(digit << start for digit, start in zip(digits, starts, strict=True)) == remainder
    assert sum((2**bits - 1) << start for bits, start in zip(limbs, starts, strict=True)) == 2**shift - 1


def cost_of_all(cuts: dict[int, tuple[int, ...]], elements: dict[int, int]) -> int:
    ranges = {bits for limbs in cuts.values() for bits in limbs}
    return sum(len(limbs) * elements[shift] for shift, limbs in cuts.items()) + 2 * sum(1 << bits for bits in ranges)


counts = st.dictionaries(st.integers(1, 40), st.integers(1, 2**22), min_size=1, max_size=6)


@given(elements=counts)
def test_chosen_together_limbs_cost_at_most_what_they_cost_with_one_width_for_all(elements: dict[int, int]) -> None:
    cuts = limb_cuts(elements)
    assert all(cuts[shift] in divisions(shift) for shift in elements)
    for width in range(1, MAX_LIMB_BITS + 1):
        common = {s: (width,) * (s // width) + ((s % width,) if s % width else ()) for s in elements}
        assert cost_of_all(cuts, elements) <= cost_of_all(common, elements)


@given(elements=counts)
def test_the_order_in_which_shifts_are_named_changes_nothing(elements: dict[int, int]) -> None:
    assert limb_cuts(elements) == limb_cuts(dict(reversed(elements.items())))


def test_tensors_that_could_not_pay_for_a_range_alone_share_one() -> None:
    alone = {16: 1 << 16, 24: 1 << 16, 32: 1 << 16}
    assert all(max(limb_bits(*item)) < 16 for item in alone.items())
    assert limb_cuts(alone) == {16: (16,), 24: (16, 8), 32: (16, 16)}


def test_a_shift_with_few_remainders_takes_what_ranges_there_are() -> None:
    assert limb_cuts({16: 1 << 20, 19: 1})[19] == (16, 3)


@pytest.mark.parametrize(("shift", "elements"), [(-1, 5), (MAX_SHIFT + 1, 5), (3, -1)])
def test_shifts_and_elements_out_of_range_are_refused(shift: int, elements: int) -> None:
    with pytest.raises(InvalidInputError):
        limb_bits(shift, elements)
