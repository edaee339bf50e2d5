"""Powers and logarithms of integers: the same relative error for all sizes, and bounds that hold for all."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zkinfer.circuit.bounds import check_bounds
from zkinfer.circuit.derived_bounds import derived_bounds
from zkinfer.circuit.evaluate import evaluate
from zkinfer.circuit.program import Lookup, Program
from zkinfer.circuit.qformat import dequantize
from zkinfer.circuit.validate import validate
from zkinfer.compiler.approx.forms import form_of
from zkinfer.compiler.approx.functions import Function, X, log, maximum, reciprocal, rsqrt, sqrt
from zkinfer.compiler.lowering.affine import AffineMap
from zkinfer.compiler.lowering.builder import Builder
from zkinfer.compiler.lowering.precision import Precision
from zkinfer.compiler.lowering.relative import LARGEST, Relative
from zkinfer.protocol.field.params import P
from zkinfer.typing import FloatArray, IntArray

BITS = 12
PRECISION = Precision(activation_bits=10, weight_bits=10, max_table_entries=1 << BITS)
TOLERANCE = 2.0 ** -(BITS - 4)
"""An index of a mantissa is off by at most half of a unit of 2^(bits - 5), and an entry by as much."""

NUMBERS = 40
COUNT = 64


class Emitted:
    """A function of integers up to a number of bits, as a program."""

    def __init__(self, function: Function, bits: int = NUMBERS, frac_bits: int = 20, tables: int = BITS) -> None:
        builder = Builder()
        x = builder.input("x", (COUNT,), frac_bits, 0, (1 << bits) - 1)
        precision = Precision(activation_bits=10, weight_bits=10, max_table_entries=1 << tables)
        relative, form = Relative(builder, precision, "y"), form_of(function)
        assert form is not None
        number = relative.positive(x, form)
        assert number is not None
        if form.logarithm:
            y, self.rest = relative.logarithm(number, form, 12)
        else:
            y, scale = relative.power(number, form)
            self.rest = AffineMap(scale)
        self.program: Program = builder.finish([y]).program
        validate(self.program)
        check_bounds(self.program, [])
        derived_bounds(self.program, P // 2)

    def __call__(self, x: IntArray) -> FloatArray:
        rows = np.resize(x, (1, COUNT)).astype(np.int64)
        values = evaluate(self.program, [], [rows])[-1]
        real = dequantize(values, self.program.output_tensors[0])
        return (float(self.rest.scale) * real + float(self.rest.offset))[0, : len(x)]


POWERS = {"root": sqrt(X), "inverse root": rsqrt(X), "of a mean": rsqrt(X * Fraction(1, 3))}
EMITTED = {name: Emitted(function) for name, function in POWERS.items()}
RECIPROCAL = Emitted(reciprocal, bits=36)
LOGARITHM = Emitted(log)


def of_size(size: float) -> IntArray:
    """Integers around a power of two."""
    steps = np.unique(np.rint(2.0 ** (size + np.linspace(-0.5, 0.5, COUNT))).astype(np.int64))
    return np.clip(steps, 1, None)


@pytest.mark.parametrize("name", POWERS)
@given(size=st.floats(0, NUMBERS - 1))
@settings(max_examples=30, deadline=None)
def test_powers_have_the_same_relative_error_for_all_sizes(name: str, size: float) -> None:
    x = of_size(size)
    expected = POWERS[name](x / 2.0**20)
    assert np.abs(EMITTED[name](x) / expected - 1).max() < TOLERANCE


@given(size=st.floats(8, 35))
@settings(max_examples=30, deadline=None)
def test_reciprocals_have_it_for_as_many_sizes_as_the_field_holds(size: float) -> None:
    x = of_size(size)
    assert np.abs(RECIPROCAL(x) * x / 2.0**20 - 1).max() < TOLERANCE


def test_reciprocals_of_smaller_numbers_saturate() -> None:
    smallest = RECIPROCAL(np.arange(4))
    assert (smallest >= RECIPROCAL(np.array([256]))[0]).all()
    assert np.isfinite(smallest).all()


@given(size=st.floats(0, NUMBERS - 1))
@settings(max_examples=30, deadline=None)
def test_logarithms_have_the_same_error_for_all_sizes(size: float) -> None:
    x = of_size(size)
    assert np.abs(LOGARITHM(x) - np.log(x / 2.0**20)).max() < 2 * TOLERANCE + 4 * 2.0**-12


def test_zero() -> None:
    assert EMITTED["root"](np.array([0]))[0] == 0
    eps = Emitted(rsqrt(X + 2.0**-18), bits=30)
    assert eps(np.array([0]))[0] == pytest.approx(2.0**9, rel=TOLERANCE)
    assert eps(np.array([12]))[0] == pytest.approx(2.0**8, rel=TOLERANCE)


@pytest.mark.parametrize("eps", [1e-5, 1e-7, 1e-12])
def test_a_shift_below_the_last_digit_is_kept(eps: float) -> None:
    """One unit is 2^-20, a million times the smallest of these."""
    emitted = Emitted(log(X + eps), bits=16)
    assert emitted(np.array([0]))[0] == pytest.approx(np.log(eps), abs=2 * TOLERANCE)
    assert emitted(np.array([1]))[0] == pytest.approx(np.log(2.0**-20 + eps), abs=2 * TOLERANCE)


@pytest.mark.parametrize("tables", [9, 11, 13])
def test_tables_of_all_sizes_serve(tables: int) -> None:
    emitted = Emitted(rsqrt(X), tables=tables)
    assert all(len(table.values) <= 1 << tables for table in emitted.program.tables)
    x = np.concatenate([of_size(size) for size in (0, 9, 17.3, 38)])[::5]
    assert np.abs(emitted(x) * np.sqrt(x / 2.0**20) - 1).max() < 2.0 ** -(tables - 4)


@pytest.mark.parametrize("name", POWERS)
def test_the_largest_numbers_stay_within_the_field(name: str) -> None:
    """Of numbers of 48 bits, too: an even shift would bring them to 50 bits."""
    widest = Emitted(POWERS[name], bits=48, tables=16)
    x = np.concatenate([of_size(size) for size in (0, 20, 33.3, 47)])[::4]
    assert np.abs(widest(x) / POWERS[name](x / 2.0**20) - 1).max() < 2.0**-12


def test_the_tables_of_all_numbers_are_the_same() -> None:
    pairs = [(rsqrt(X), rsqrt(4 * X + 1)), (rsqrt(X * Fraction(1, 3)), rsqrt(X * 5 + 1)), (sqrt(X), sqrt(X * 3 + 1))]
    for first, second in pairs:
        assert Emitted(first).program.tables == Emitted(second, bits=33, frac_bits=8).program.tables


def test_numbers_that_cannot_be_small_take_fewer_steps() -> None:
    lookups = {
        shift: sum(isinstance(node, Lookup) for node in Emitted(rsqrt(X + shift), bits=30).program.nodes)
        for shift in (2.0**-20, 1.0, 1000.0)
    }
    assert lookups[2.0**-20] > lookups[1.0] > lookups[1000.0] > 0


def test_what_may_be_negative_or_too_large_is_refused() -> None:
    builder = Builder()
    relative = Relative(builder, PRECISION, "y")
    positive = builder.input("x", (1,), 0, 0, LARGEST // 2)
    signed = builder.input("z", (1,), 0, -1, 100)

    def accepted(function: Function, value: object = positive) -> bool:
        form = form_of(function)
        assert form is not None
        return relative.positive(signed if value is signed else positive, form) is not None

    assert accepted(sqrt(X))
    assert accepted(sqrt(X), signed) is False
    assert not accepted(sqrt(X - 1))
    assert not accepted(sqrt(1 - X))
    assert not accepted(sqrt(X + LARGEST))
    # A maximum that more than 0 falls below.
    assert accepted(1 / maximum(X, 1))
    assert not accepted(1 / maximum(X, 2))
