"""Tables of a circuit: as fine as useful, never larger than allowed, refused when too coarse."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zkinfer.circuit.bounds import check_bounds
from zkinfer.circuit.evaluate import evaluate
from zkinfer.circuit.program import Lookup, Program, rounding_half
from zkinfer.compiler.approx.functions import Function, X, exp, minimum, relu, rsqrt
from zkinfer.compiler.lowering.builder import Builder, ProgramValue
from zkinfer.compiler.lowering.precision import EZKL, NATIVE, Format, Precision, activation_format
from zkinfer.compiler.lowering.tables import (
    SATURATION_UNITS,
    choose_shift,
    entries,
    function_lookup,
    least_shift,
    shared_indices,
    slope_and_size,
)
from zkinfer.errors import BoundsError

COARSE = msgspec.structs.replace(EZKL, max_table_entries=256)


def source(lo: int, hi: int, frac_bits: int) -> ProgramValue:
    return Builder().input("source", (4,), frac_bits, lo, hi)


@given(st.integers(-(10**9), 10**9), st.integers(0, 10**9), st.integers(16, 1 << 16))
def test_the_least_shift_fits_and_one_less_does_not(lo: int, width: int, most: int) -> None:
    bounds = (lo, lo + width)
    shift = least_shift(bounds, most)
    assert entries(bounds, shift) <= most
    assert shift == 0 or entries(bounds, shift - 1) > most


@given(st.integers(-(1 << 17), 1 << 17), st.integers(0, 1 << 17))
def test_shared_indices_are_more_but_fill_no_more_rows(lo: int, width: int) -> None:
    first, last = shared_indices((lo, lo + width), (0, 0))
    assert first <= lo
    assert lo + width <= last
    assert (last - first).bit_length() == width.bit_length()
    assert shared_indices((first, last), (0, 0)) == (first, last)


def test_shared_indices_are_at_least_the_levels_of_the_output() -> None:
    assert shared_indices((-3, 3), (-127, 127)) == (-128, 127)


def test_requantizations_of_sources_with_other_bounds_share_a_table() -> None:
    builder, out = Builder(), Format(4, -40, 40)

    def table(precision: Precision, hi: int) -> int:
        value = builder.input(f"x{hi}", (4,), 8, -hi, hi)
        node = builder.node(function_lookup(builder, precision, "y", value, X, (-2.0, 2.0), out))
        assert isinstance(node, Lookup)
        return node.table

    assert table(NATIVE, 600) == table(NATIVE, 700)
    # Tables of ezkl are columns, which are not filled up.
    assert table(EZKL, 600) != table(EZKL, 700)


@pytest.mark.parametrize(("frac_bits", "hi"), [(20, 1 << 22), (23, 1 << 25), (30, 1 << 32)])
def test_rescaling_rounds_once_and_shares_one_table(frac_bits: int, hi: int) -> None:
    """Whatever is dropped, an index is a unit of the output."""
    builder = Builder()
    value = builder.input("x", (4,), frac_bits, -hi, hi)
    node = builder.node(function_lookup(builder, NATIVE, "y", value, X, (-3.0, 3.0), Format(12, -32767, 32767)))
    assert isinstance(node, Lookup)
    assert node.shift == frac_bits - 12
    (table,) = builder.finish([builder.value(1)]).program.tables
    assert (table.lo, table.values) == (-32768, (-32767, *range(-32767, 32768)))


def test_of_a_coarse_index_no_zero_digits_are_kept() -> None:
    """Sixteen times the range fits a table at an index of 16 units: the result has the unit of the index."""
    out = Format(12, -32767, 32767)
    results = {}
    for index_units in (False, True):
        builder = Builder()
        value = builder.input("x", (4,), 20, -(7 << 24), 7 << 24)
        y = function_lookup(builder, NATIVE, "y", value, X, (-3.0, 3.0), out, index_units=index_units)
        built = builder.finish([y])
        x = np.array([[-(7 << 24), -5000, 1_234_567, 7 << 24]])
        integers = evaluate(built.program, built.weights, [x])[built.program.outputs[0]]
        results[index_units] = (y, np.ldexp(integers.astype(float), -y.frac_bits))
    (fine, reals), (coarse, same) = results[False], results[True]
    assert fine.frac_bits - coarse.frac_bits == 4
    assert coarse.tensor.hi == fine.tensor.hi >> 4
    # Beyond the ends, the last level that both have.
    assert np.abs(reals - same).max() < 2.0**-8
    assert reals[0, 1:3] == pytest.approx(same[0, 1:3], abs=0)


def test_what_is_no_power_of_two_times_its_source_keeps_its_format() -> None:
    builder, out = Builder(), Format(12, -32767, 32767)
    value = builder.input("x", (4,), 20, -(1 << 27), (1 << 27) - 1)
    for function in (X * 3, X + 1, exp):
        y = function_lookup(builder, NATIVE, "y", value, function, (-3.0, 3.0), out, index_units=True)
        assert y.frac_bits == 12


def test_every_integer_has_its_own_entry_where_they_fit() -> None:
    assert choose_shift("y", source(-100, 100, 0), relu, (-100.0, 100.0), Format(-4, 0, 7), EZKL) == 0


def test_the_index_is_two_digits_finer_than_the_output() -> None:
    wide = source(-(1 << 15), 1 << 15, 14)
    # An output unit is 2**-6, the index step 2**-8 = 2**(6 - 14).
    fine = msgspec.structs.replace(EZKL, max_table_entries=1 << 17)
    assert choose_shift("y", wide, relu, (-2.0, 2.0), Format(6, 0, 127), fine) == 0
    half = msgspec.structs.replace(EZKL, max_table_entries=1 << 14)
    assert choose_shift("y", wide, relu, (-2.0, 2.0), Format(6, 0, 127), half) == 6
    # Half the slope, one more digit dropped.
    assert choose_shift("y", wide, relu(X / 2), (-2.0, 2.0), Format(6, 0, 127), half) == 7


def test_the_table_is_never_larger_than_allowed() -> None:
    wide = source(-(1 << 20), 1 << 20, 14)
    shift = choose_shift("y", wide, relu, (-16.0, 16.0), Format(4, 0, 255), COARSE)
    assert entries((-(1 << 20), 1 << 20), shift) <= 256


def test_a_constant_function_takes_the_smallest_table() -> None:
    wide = source(-(1 << 20), 1 << 20, 14)
    assert choose_shift("y", wide, relu, (-16.0, -8.0), Format(4, 0, 255), COARSE) == least_shift(
        (-(1 << 20), 1 << 20), 256
    )


def test_too_coarse_a_table_is_refused_with_the_size_that_would_do() -> None:
    wide = source(-(1 << 20), 1 << 20, 14)
    out = activation_format(-1.0, 1.0, 8)
    with pytest.raises(BoundsError, match=r"y: on calibration data .* -1 to 1, .* within -64 to 64, .*256") as caught:
        choose_shift("y", wide, X, (-1.0, 1.0), out, COARSE)
    advised = int(str(caught.value).partition("max_table_entries=")[2].split()[0])
    choose_shift("y", wide, X, (-1.0, 1.0), out, msgspec.structs.replace(EZKL, max_table_entries=advised))
    with pytest.raises(BoundsError):
        choose_shift("y", wide, X, (-1.0, 1.0), out, msgspec.structs.replace(EZKL, max_table_entries=advised // 2))


def test_few_levels_are_enough_for_a_function_that_hardly_changes() -> None:
    # As the reciprocal root of a variance that is nearly the same for every sample.
    wide = source(0, 1 << 20, 14)
    assert choose_shift("y", wide, rsqrt, (30.0, 31.0), Format(10, 0, 255), COARSE) > 0


def test_slope_and_size_are_those_of_what_comes_out() -> None:
    assert slope_and_size(relu, (-2.0, 3.0), (0.0, 10.0)) == (1.0, 3.0)
    # Where the output saturates, the function is flat.
    slope, size = slope_and_size(exp, (-8.0, 8.0), (0.0, 1.0))
    assert 0.9 < slope <= 1.0
    assert size == 1.0


@pytest.mark.parametrize("most", [1 << 12, 1 << 11])
def test_where_a_function_leaves_its_format_is_kept(most: int) -> None:
    """Saturated are exactly the integers whose entry is off by more than a unit and a half."""
    builder = Builder()
    a = builder.input("a", (4,), 8, -1600, 1600)
    precision = msgspec.structs.replace(EZKL, max_table_entries=most)
    value = function_lookup(builder, precision, "y", a, X * X, (-3.0, 3.0), Format(0, 0, 9))
    built = builder.finish([value])
    (saturation,) = built.saturations
    (node,) = built.program.nodes
    assert isinstance(node, Lookup)
    assert (saturation.value, saturation.source) == (1, 0)
    assert (node.shift > 0) == (most < 3201)
    for integer in range(-1600, 1601):
        index = integer + rounding_half(node.shift) >> node.shift
        exact = (index * 2.0 ** (node.shift - 8)) ** 2
        assert saturation.count(np.array([integer])) == (exact > 9 + SATURATION_UNITS), integer
    assert saturation.count(np.arange(-1600, 1601)) == sum(saturation.count(np.array([i])) for i in range(-1600, 1601))


def test_an_end_that_is_one_unit_early_is_no_saturation() -> None:
    builder = Builder()
    a = builder.input("a", (4,), 4, -100, 100)
    value = function_lookup(builder, EZKL, "y", a, minimum(X, 1), (-6.0, 6.0), Format(6, -400, 63))
    assert builder.finish([value]).saturations == ()


def test_a_function_that_is_flat_by_itself_does_not_saturate() -> None:
    builder = Builder()
    a = builder.input("a", (4,), 4, -100, 100)
    value = function_lookup(builder, EZKL, "y", a, relu, (-6.0, 6.0), Format(4, 0, 127))
    assert builder.finish([value]).saturations == ()


def test_a_table_is_built_once() -> None:
    builder = Builder()
    a = builder.input("a", (4,), 4, -100, 100)
    b = builder.input("b", (4,), 4, -100, 100)
    out = Format(5, 0, 255)
    first = function_lookup(builder, EZKL, "first", a, relu, (-6.0, 6.0), out)
    second = function_lookup(builder, EZKL, "second", b, relu, (-6.0, 6.0), out)
    program = builder.finish([first, second]).program
    assert len(program.tables) == 1
    assert program.tables[0].name == "relu"


def _looked_up(
    span: int, precision: Precision, room: float = 1.25, function: Function = X, *, fine: bool = False
) -> tuple[Program, Format]:
    """A lookup of a value within 2^span units, observed within 2^20 of them, that is 1."""
    builder = Builder()
    wide = builder.input("x", (4,), 20, -(1 << span), 1 << span)
    out = activation_format(-1.0, 1.0, 16)
    value = function_lookup(builder, precision, "y", wide, function, (-1.0, 1.0), out, room, fine=fine)
    return builder.finish([value]).program, out


class TestClampedFirst:
    """Where a proven range that is too wide would cost digits of the index, a second lookup keeps them."""

    @pytest.mark.parametrize(("span", "lookups"), [(20, 1), (25, 1), (28, 2), (36, 2)])
    def test_the_index_is_fine_whatever_the_proven_range(self, span: int, lookups: int) -> None:
        program, out = _looked_up(span, NATIVE)
        assert sum(isinstance(node, Lookup) for node in program.nodes) == lookups
        x = np.linspace(-1, 1, 4)
        y = evaluate(program, [], [np.rint(np.ldexp(x, 20)).astype(np.int64)[None]])[-1][0]
        assert np.abs(np.ldexp(y.astype(np.float64), -out.frac_bits) - x).max() <= 2.0**-9

    def test_where_every_digit_counts(self) -> None:
        """As in a tensor with outlier channels, whose other channels are small."""
        program, out = _looked_up(25, NATIVE, fine=True)
        assert sum(isinstance(node, Lookup) for node in program.nodes) == 2
        x = np.linspace(-1, 1, 4)
        y = evaluate(program, [], [np.rint(np.ldexp(x, 20)).astype(np.int64)[None]])[-1][0]
        assert np.abs(np.ldexp(y.astype(np.float64), -out.frac_bits) - x).max() <= 2.0**-13

    def test_not_for_ezkl(self) -> None:
        program, _ = _looked_up(28, msgspec.structs.replace(NATIVE, relative=False))
        assert sum(isinstance(node, Lookup) for node in program.nodes) == 1

    @pytest.mark.parametrize("room", [1.25, 8.0])
    def test_a_value_has_the_room_that_is_asked_for(self, room: float) -> None:
        """A function that still rises there, as the order of logits beyond the calibrated range does."""
        program, out = _looked_up(32, NATIVE, room, X / 16)
        x = np.array([-1, 1, -1, 1]) * room * 0.99
        y = evaluate(program, [], [np.rint(np.ldexp(x, 20)).astype(np.int64)[None]])[-1][0]
        assert np.abs(np.ldexp(y.astype(np.float64), -out.frac_bits) - x / 16).max() <= 2.0**-9


WIDE = 40
"""Bits of values that were observed within a millionth of that."""


@given(st.integers(-(1 << WIDE), 1 << WIDE), st.sampled_from([1 << 12, 1 << 11]), st.integers(-24, -12))
@settings(max_examples=12, deadline=None)
def test_a_value_far_wider_than_observed_is_clamped_and_saturates(x: int, most: int, size: int) -> None:
    """As a saturating format does: what is within it is as fine as ever, and what is beyond it is its end."""
    builder, precision = Builder(), Precision(activation_bits=10, weight_bits=10, max_table_entries=most)
    wide = builder.input("x", (4,), WIDE, -(1 << WIDE), 1 << WIDE)
    reach = 2.0**size
    out = activation_format(-reach, reach, 10)
    y = function_lookup(builder, precision, "y", wide, X, (-reach, reach), out)
    program = builder.finish([y]).program
    check_bounds(program, [])
    assert all(len(table.values) <= most for table in program.tables)
    near = int(np.clip(x, -out.hi << (WIDE - out.frac_bits), out.hi << (WIDE - out.frac_bits)) // 3)
    values = evaluate(program, [], [np.array([[x, near, 1 << WIDE, -(1 << WIDE)]])])[-1][0]
    exact = np.array([x, near, 1 << WIDE, -(1 << WIDE)]) * 2.0 ** (out.frac_bits - WIDE)
    assert np.abs(values - np.clip(exact, out.lo, out.hi)).max() <= 2


def test_only_relative_precision_clamps() -> None:
    narrow = Precision(activation_bits=10, weight_bits=10, max_table_entries=1 << 11, relative=False)
    builder = Builder()
    wide = builder.input("x", (4,), WIDE, -(1 << WIDE), 1 << WIDE)
    with pytest.raises(BoundsError, match="weight decay"):
        function_lookup(
            builder, narrow, "y", wide, X, (-(2.0**-20), 2.0**-20), activation_format(-(2.0**-20), 2.0**-20, 10)
        )
