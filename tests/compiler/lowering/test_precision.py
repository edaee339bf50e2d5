"""Q-formats: as fine as the width allows, with room for what was seen."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkinfer.circuit.bounds import round_outward
from zkinfer.compiler.lowering.precision import (
    EZKL,
    HEADROOM,
    HEADROOM_BITS,
    MAX_FRAC_BITS,
    NATIVE,
    Precision,
    activation_format,
    frac_bits_for,
    input_format,
    preset,
    weight_frac_bits,
)
from zkinfer.errors import InvalidInputError

BITS = st.integers(2, 16)
NARROW = st.integers(2, HEADROOM_BITS - 1)
WIDE = st.integers(HEADROOM_BITS, 16)
ENDS = st.floats(-1e6, 1e6).filter(lambda x: x == 0 or abs(x) > 1e-6)


@given(st.floats(1e-6, 1e6), BITS)
def test_the_largest_magnitude_fits_and_twice_the_resolution_would_not(magnitude: float, bits: int) -> None:
    frac_bits = frac_bits_for(magnitude, bits)
    assert magnitude * 2.0**frac_bits <= 2**bits
    assert magnitude * 2.0 ** (frac_bits + 1) > 2**bits or frac_bits == MAX_FRAC_BITS


@given(ENDS, ENDS, NARROW)
def test_an_activation_takes_no_more_levels_than_its_bits_allow(a: float, b: float, bits: int) -> None:
    lo, hi = min(a, b), max(a, b)
    frac_bits, low, high = activation_format(lo, hi, bits)
    assert high - low < 2**bits
    # What was seen saturates by one unit at most.
    assert low <= math.ceil(lo * 2.0**frac_bits) + 1
    assert high >= math.floor(hi * 2.0**frac_bits) - 1
    # The other half of the resolution is used: with one more digit it would not fit.
    used = max(hi, 0.0) - min(lo, 0.0)
    assert used * 2.0 ** (frac_bits + 1) > 2**bits * 0.75 - 4 or frac_bits == MAX_FRAC_BITS or used == 0


@given(ENDS, ENDS, WIDE)
def test_a_wide_activation_has_room_beyond_what_was_seen(a: float, b: float, bits: int) -> None:
    lo, hi = min(a, b, 0.0), max(a, b, 0.0)
    frac_bits, low, high = activation_format(lo, hi, bits)
    assert high - low < 2**bits
    assert low <= HEADROOM * lo * 2.0**frac_bits + 1
    assert high >= HEADROOM * hi * 2.0**frac_bits - 1
    assert frac_bits >= input_format(lo, hi, bits).frac_bits - 1


@given(ENDS, ENDS, WIDE)
def test_an_input_has_none(a: float, b: float, bits: int) -> None:
    lo, hi = min(a, b, 0.0), max(a, b, 0.0)
    frac_bits, low, high = input_format(lo, hi, bits)
    step = 2.0 ** max(math.frexp(max(hi, -lo))[1] - 2, -frac_bits)
    assert low * 2.0**-frac_bits >= lo - step
    assert high * 2.0**-frac_bits <= hi + step


@given(ENDS, ENDS, BITS)
def test_the_bounds_of_an_activation_are_published_as_they_are(a: float, b: float, bits: int) -> None:
    _, low, high = activation_format(min(a, b), max(a, b), bits)
    assert round_outward((low, high)) == (low, high)


@pytest.mark.parametrize(
    ("lo", "hi", "expected"),
    [
        (0.0, 1.0, (8, 0, 255)),
        (-1.0, 1.0, (7, -127, 127)),
        (0.0, 5.5, (5, 0, 255)),
        (-0.17, 6.0, (5, -7, 223)),
        (-1.0, 0.0, (8, -255, 0)),
        (0.0, 0.0, (8, 0, 255)),
        (2.0, 3.0, (6, 0, 255)),
    ],
)
def test_formats_of_eight_bits(lo: float, hi: float, expected: tuple[int, int, int]) -> None:
    assert activation_format(lo, hi, 8) == expected


@given(ENDS, ENDS, BITS)
def test_the_bounds_of_an_input_hold_what_was_seen(a: float, b: float, bits: int) -> None:
    lo, hi = min(a, b), max(a, b)
    frac_bits, low, high = input_format(lo, hi, bits)
    assert low <= round(lo * 2.0**frac_bits) <= round(hi * 2.0**frac_bits) <= high
    assert high - low <= 2**bits + 2


@pytest.mark.parametrize(
    ("lo", "hi", "expected"), [(0.0, 1.0, (8, 0, 256)), (0.0, 16.0, (4, 0, 256)), (-1.0, 1.0, (7, -128, 128))]
)
def test_inputs_include_their_largest_value(lo: float, hi: float, expected: tuple[int, int, int]) -> None:
    assert input_format(lo, hi, 8) == expected


def test_weights_include_powers_of_two() -> None:
    assert weight_frac_bits(1.0, 8) == 7
    assert weight_frac_bits(1.01, 8) == 6


class TestPrecision:
    def test_presets_are_named_for_backends(self) -> None:
        assert preset("native") is NATIVE
        assert preset("ezkl") is EZKL
        with pytest.raises(InvalidInputError, match="there is no precision 'halo2'; there are 'native' and 'ezkl'"):
            preset("halo2")

    def test_the_preset_for_ezkl_suits_a_column_of_two_to_the_eleven_rows(self) -> None:
        assert EZKL.max_table_entries < 2**11

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"activation_bits": 1}, "activation_bits is a whole number from 2 to 24, got 1"),
            ({"activation_bits": 8.0}, "activation_bits is a whole number"),
            ({"weight_bits": True}, "weight_bits is a whole number"),
            ({"weight_bits": 25}, "weight_bits is a whole number from 2 to 24"),
            ({"max_table_entries": 0}, "max_table_entries is a whole number"),
            ({"ranges": "99.5%"}, "ranges is one of full, mse, 99%, 99.9%, 99.99%, got '99.5%'"),
            ({"activation_bits": 16}, "need tables of 32,768 entries or more: raise max_table_entries from 2032"),
        ],
    )
    def test_fields_out_of_range_are_refused(self, fields: dict[str, Any], message: str) -> None:
        with pytest.raises(InvalidInputError, match=message):
            msgspec.structs.replace(EZKL, **fields)

    def test_single_tensors_have_widths_of_their_own(self) -> None:
        precision = Precision(activation_bits=8, weight_bits=7, max_table_entries=512, tensors={"hidden": 6, "w": 5})
        assert [precision.activation_bits_of(name) for name in ("hidden", "other")] == [6, 8]
        assert [precision.weight_bits_of(name) for name in ("w", "other")] == [5, 7]

    def test_a_width_out_of_range_names_its_tensor(self) -> None:
        with pytest.raises(
            InvalidInputError, match="the width of tensor 'hidden' is a whole number from 2 to 24, got 1"
        ):
            msgspec.structs.replace(EZKL, tensors={"hidden": 1})
