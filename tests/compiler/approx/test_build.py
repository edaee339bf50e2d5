"""Tables against mpmath: every entry correctly rounded, every error bound true and tight."""

import math
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Any, cast

import mpmath
import numpy as np
import pytest
from blake3 import blake3
from compiler.approx.references import BITS, JUMPS, NAMES, REFERENCES, correctly_rounded, real
from hypothesis import example, given, settings
from hypothesis import strategies as st

from zkinfer.circuit.table import MAX_SHIFT, MAX_TABLE_ENTRIES
from zkinfer.compiler.approx import functions
from zkinfer.compiler.approx.build import BuiltTable, build_table
from zkinfer.compiler.approx.functions import Decreasing, Function, Increasing, Lipschitz, X, constant, custom
from zkinfer.errors import BoundsError, InvalidInputError, NotFiniteError
from zkinfer.typing import FloatArray

INT16 = {"out_lo": -(2**15), "out_hi": 2**15 - 1}


PINNED = {
    "gelu": "2fd4c6e4e36c804d6bb4a71876312cac",
    "gelu_tanh": "c2e9e9e509cc5ed719c9f519c8f157e6",
    "silu": "9b8ec1eda1e7e74f9cfad21ca9e9752c",
    "tanh": "345e47124ae78232b37c15fb8c2ca22f",
    "sigmoid": "2e51f711eabda377bc0b49a752951c4e",
    "exp": "ec2406bf6de734a683be363448f9846a",
    "reciprocal": "a2d024963bdd9eae3639266981e3409c",
    "rsqrt": "c7bec7838e8c4187d34da0905c98deb2",
    "log": "c985c47066f967622c353ecfeed9d45f",
    "erf": "a724b6e6c99c58a3c995631fae4d4eaf",
}
"""Digests of the entries of one table of each principal function: the same on every machine."""


def _scaled_arctan(factor: float, x: FloatArray) -> FloatArray:
    return factor * np.arctan(x)


def table_of(function: Function, **changes: Any) -> BuiltTable:
    """Indices -512 to 511 in steps of 1/64 (x from -8 to 8), int16 outputs with 12 fraction bits."""
    arguments = {"in_frac_bits": 10, "shift": 4, "index_lo": -512, "index_hi": 511, "out_frac_bits": 12, **INT16}
    return build_table(function, **(arguments | changes))


def points(built: BuiltTable) -> list[Fraction]:
    """The real number of every index."""
    step = Fraction(2) ** (built.shift - built.in_frac_bits)
    return [i * step for i in range(built.table.lo, built.table.hi + 1)]


def indices(runs: tuple[tuple[int, int], ...]) -> set[int]:
    return {i for first, last in runs for i in range(first, last + 1)}


class TestEntries:
    @pytest.mark.parametrize("name", NAMES)
    @pytest.mark.parametrize(
        "form",
        [
            {},
            {"out_frac_bits": 0},
            {"out_frac_bits": 40, "out_lo": -(2**52), "out_hi": 2**52, "index_lo": -100, "index_hi": 99},
            {"in_frac_bits": 3, "shift": 0, "index_lo": -200, "index_hi": 200, "out_frac_bits": 2},
            {"in_frac_bits": -3, "shift": 0, "index_lo": -20, "index_hi": 20, "out_frac_bits": -2},
        ],
        ids=["16 bits", "integers", "40 bits", "coarse input", "negative fraction bits"],
    )
    def test_every_entry_is_correctly_rounded(self, name: str, form: dict[str, int]) -> None:
        function, reference = REFERENCES[name]
        built = table_of(function, **form)
        lo, hi = form.get("out_lo", INT16["out_lo"]), form.get("out_hi", INT16["out_hi"])
        undefined = indices(built.undefined)
        for index, (x, entry) in enumerate(zip(points(built), built.table.values, strict=True), built.table.lo):
            if index not in undefined:
                assert entry == correctly_rounded(reference, x, built.out_frac_bits, lo, hi), float(x)

    @pytest.mark.parametrize("name", PINNED)
    def test_the_whole_domain_of_16_bit_inputs(self, name: str) -> None:
        function, reference = REFERENCES[name]
        built = table_of(function, in_frac_bits=12, shift=3, index_lo=-(2**12), index_hi=2**12)
        undefined = indices(built.undefined)
        for index, (x, entry) in enumerate(zip(points(built), built.table.values, strict=True), built.table.lo):
            if index not in undefined:
                assert entry == correctly_rounded(reference, x, 12, INT16["out_lo"], INT16["out_hi"])

    def test_ties_go_up_on_both_sides_of_zero(self) -> None:
        built = table_of(X / 2, in_frac_bits=0, shift=0, index_lo=-3, index_hi=3, out_frac_bits=0)
        assert built.table.values == (-1, -1, 0, 0, 1, 1, 2)

    @pytest.mark.parametrize("form", [X / 3 * 3, (X + 1) ** 2 / (X + 1) - 1, X * X * X / (X * X)])
    def test_ties_behind_fractions_that_float64_cannot_hold_are_recognized(self, form: Function) -> None:
        built = table_of(form.on(0.25, 20), in_frac_bits=2, shift=0, index_lo=1, index_hi=80, out_frac_bits=1)
        assert built.table.values == tuple((i + 1) // 2 for i in range(1, 81))

    def test_ties_behind_irrational_numbers_count_as_ties(self) -> None:
        root = functions.sqrt(constant(2))
        built = table_of(X * root / root, in_frac_bits=1, shift=0, index_lo=-5, index_hi=5, out_frac_bits=0)
        assert built.table.values == tuple(math.floor(Fraction(i, 2) + Fraction(1, 2)) for i in range(-5, 6))

    def test_entries_do_not_depend_on_the_last_bits_of_float64(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What another machine's exp returns may differ by a few units in the last place: the table does not."""
        form = {"out_frac_bits": 44, "out_lo": -(2**52), "out_hi": 2**52}
        here = table_of(functions.silu, **form)
        exp = np.exp

        def other_exp(x: Any) -> Any:
            values = exp(x)
            return values * (1 + 2.0**-51 * np.sign(np.sin(1e6 * values)))

        monkeypatch.setattr(np, "exp", other_exp)
        assert functions.silu([0.3]) != exp(0.3) * 0.3 / (1 + exp(0.3))
        assert table_of(functions.silu, **form).table == here.table

    @pytest.mark.parametrize("name", PINNED)
    def test_entries_are_the_same_on_every_machine(self, name: str) -> None:
        built = table_of(
            REFERENCES[name][0],
            in_frac_bits=12,
            shift=2,
            index_lo=-(2**13),
            index_hi=2**13 - 1,
            out_frac_bits=24,
            out_lo=-(2**31),
            out_hi=2**31 - 1,
        )
        entries = built.table.array.astype("<i8").tobytes()
        assert blake3(entries).hexdigest()[:32] == PINNED[name]

    def test_the_name_is_the_functions_own_or_as_given(self) -> None:
        assert table_of(functions.gelu).table.name == "gelu"
        assert table_of(functions.gelu, name="other").table.name == "other"

    @settings(max_examples=40)
    @example("acosh", 8, 2, 0, 12, -300, 300)  # from 0 to 50/64, where it is nowhere defined
    @given(
        st.sampled_from(NAMES),
        st.integers(-4, 12),
        st.integers(0, 6),
        st.integers(-40, 40),
        st.integers(-6, 20),
        st.integers(-300, 0),
        st.integers(0, 300),
    )
    def test_random_formats(
        self, name: str, in_frac_bits: int, shift: int, first: int, out_frac_bits: int, out_lo: int, out_hi: int
    ) -> None:
        function, reference = REFERENCES[name]
        build = partial(
            build_table,
            function,
            in_frac_bits=in_frac_bits,
            shift=shift,
            index_lo=first,
            index_hi=first + 50,
            out_frac_bits=out_frac_bits,
            out_lo=out_lo,
            out_hi=out_hi,
        )
        step = Fraction(2) ** (shift - in_frac_bits)
        if not any(index * step in function.domain for index in range(first, first + 51)):
            with pytest.raises(InvalidInputError, match="nowhere on the table's points"):
                build()
            return
        built = build()
        undefined = indices(built.undefined)
        for index, (x, entry) in enumerate(zip(points(built), built.table.values, strict=True), first):
            if index not in undefined:
                assert entry == correctly_rounded(reference, x, out_frac_bits, out_lo, out_hi)


def measured_error(built: BuiltTable, reference: Callable[[Any], Any], lo: int, hi: int, samples: int) -> float:
    """The largest error at evenly spaced points of every index's interval, ends included, in mpmath."""
    worst = mpmath.mpf(0)
    step = Fraction(2) ** (built.shift - built.in_frac_bits)
    undefined = indices(built.undefined)
    with mpmath.workprec(BITS):
        unit = mpmath.mpf(2) ** -built.out_frac_bits
        for index, entry in enumerate(built.table.values, built.table.lo):
            if index in undefined:
                continue
            for k in range(samples):
                x = (index - Fraction(1, 2) + Fraction(k, samples - 1)) * step
                if x in built.function.domain:
                    y = min(max(reference(real(x)), lo * unit), hi * unit)
                    worst = max(worst, abs(y - entry * unit))
        return float(worst)


class TestErrors:
    @pytest.mark.parametrize("name", NAMES)
    @pytest.mark.parametrize(
        "form",
        [
            {"shift": 8, "index_lo": -32, "index_hi": 31},
            {"shift": 6, "index_lo": 3, "index_hi": 60, "out_frac_bits": 5},
            {"shift": 9, "index_lo": -16, "index_hi": 15, "out_lo": -3000, "out_hi": 2500},
        ],
        ids=["fine output", "coarse output", "saturating"],
    )
    def test_the_bound_is_true_and_tight(self, name: str, form: dict[str, int]) -> None:
        function, reference = REFERENCES[name]
        built = table_of(function, **form)
        lo, hi = form.get("out_lo", INT16["out_lo"]), form.get("out_hi", INT16["out_hi"])
        measured = measured_error(built, reference, lo, hi, samples=9)
        assert built.proven
        assert measured <= built.max_error
        # A jump is as large just before it as at it, and the samples meet it only by luck.
        assert built.max_error <= (1.02 * measured + 1e-12 if name not in JUMPS else 1.0 + measured)

    @pytest.mark.parametrize("name", NAMES)
    def test_the_bound_at_the_indices_themselves(self, name: str) -> None:
        function, reference = REFERENCES[name]
        built = table_of(function)
        lo, hi = INT16["out_lo"], INT16["out_hi"]
        undefined = indices(built.undefined)
        worst = 0.0
        with mpmath.workprec(BITS):
            for index, (x, entry) in enumerate(zip(points(built), built.table.values, strict=True), built.table.lo):
                if index not in undefined:
                    y = min(max(mpmath.ldexp(reference(real(x)), 12), mpmath.mpf(lo)), mpmath.mpf(hi))
                    worst = max(worst, float(abs(y - entry)) / 4096)
        assert worst <= built.entry_error <= worst * (1 + 1e-9) + 1e-15
        assert built.entry_error <= 2.0**-13 * (1 + 1e-9)
        assert built.entry_error <= built.max_error

    def test_identity_has_exactly_half_an_index_of_error(self) -> None:
        built = table_of(X, in_frac_bits=4, shift=4, index_lo=-5, index_hi=5, out_frac_bits=0)
        assert built.table.values == tuple(range(-5, 6))
        assert built.max_error == pytest.approx(0.5, rel=1e-12)
        assert built.entry_error == 0

    def test_a_constant_has_no_error(self) -> None:
        built = table_of(constant(3))
        assert built.max_error == built.entry_error == 0

    def test_a_flat_maximum_inside_an_interval_is_found(self) -> None:
        # Above zero only between 1/8 and 3/8; zero at the index itself, and clamped to zero at both ends.
        bump = 1 - (8 * X - 2) ** 2
        built = table_of(bump, in_frac_bits=0, shift=0, index_lo=0, index_hi=0, out_frac_bits=1, out_lo=0, out_hi=9)
        assert built.table.values == (0,)
        assert built.max_error == pytest.approx(1.0, rel=0.01)

    def test_a_pole_between_two_indices_counts_for_each_on_its_own_side(self) -> None:
        # 1 / (x - 1/2) on indices 0 and 1: the error of each is that against the end it saturates toward.
        pole = 1 / (X - 0.5)
        for index, out in ((0, -2), (1, 2)):
            built = table_of(
                pole, in_frac_bits=0, shift=0, index_lo=index, index_hi=index, out_frac_bits=0, out_lo=-4, out_hi=4
            )
            assert built.table.values == (out,)
            assert built.max_error == pytest.approx(2.0, rel=1e-9)

    def test_a_function_that_leaves_and_returns_between_indices_does_not_hide(self) -> None:
        # Zero at every index, large between: only an enclosure of the whole interval sees it.
        bumps = custom("bumps", lambda x: np.sin(np.pi * x) ** 2, Lipschitz(math.pi))
        built = table_of(bumps, in_frac_bits=0, shift=0, index_lo=-4, index_hi=4)
        assert set(built.table.values) == {0}
        assert 1.0 <= built.max_error <= 1.01


class TestSaturation:
    def test_entries_beyond_the_outputs_are_the_ends_and_are_listed(self) -> None:
        built = table_of(X, in_frac_bits=0, shift=0, index_lo=-5, index_hi=5, out_frac_bits=0, out_lo=-2, out_hi=3)
        assert built.table.values == (-2, -2, -2, -2, -1, 0, 1, 2, 3, 3, 3)
        assert built.saturated == ((-5, -3), (4, 5))
        # The error is that against the clamped function.
        assert built.max_error == pytest.approx(0.5, rel=1e-12)

    def test_nothing_saturates_where_the_value_is_the_end_itself(self) -> None:
        built = table_of(X, in_frac_bits=0, shift=0, index_lo=-2, index_hi=3, out_frac_bits=0, out_lo=-2, out_hi=3)
        assert built.saturated == ()

    def test_overflow_of_float64_saturates(self) -> None:
        built = table_of(functions.exp, in_frac_bits=0, shift=0, index_lo=-1000, index_hi=1000)
        assert built.table.values[0] == 0
        assert built.table.values[-1] == INT16["out_hi"]
        assert built.saturated == ((3, 1000),)
        assert math.isfinite(built.max_error)


class TestOutsideTheDomain:
    def test_log_is_minus_infinity_at_zero_and_below(self) -> None:
        built = table_of(functions.log)
        assert built.undefined == ((-512, 0),)
        assert set(built.table.values[:513]) == {INT16["out_lo"]}

    def test_log_of_zero_is_below_every_output_however_wide(self) -> None:
        built = table_of(functions.log, out_lo=-(2**52), out_hi=2**52)
        assert built.table.values[512] == -(2**52)

    def test_a_pole_is_approached_from_above(self) -> None:
        built = table_of(functions.reciprocal)
        assert built.undefined == ((0, 0),)
        assert built.table.values[512] == INT16["out_hi"]
        falling = table_of(-1 / X)
        assert falling.table.values[512] == INT16["out_lo"]

    def test_the_limit_need_not_be_infinite(self) -> None:
        # sqrt is 0 at the end of its domain; x log x has no value there, and the limit 0.
        built = table_of(functions.sqrt)
        assert built.undefined == ((-512, -1),)
        assert set(built.table.values[:513]) == {0}

    def test_a_limit_that_interval_arithmetic_leaves_open_is_the_nearest_entry(self) -> None:
        built = table_of(X * functions.log)
        assert built.undefined == ((-512, 0),)
        assert set(built.table.values[:513]) == {built.table.values[513]}

    def test_a_gap_belongs_half_to_each_side(self) -> None:
        # Defined up to -1 and from 2; the middle is 1/2, and the limits are -5 and 5.
        sides = functions.sqrt(functions.maximum(-1 - X, X - 2)) + 5 * functions.sign(X)
        built = table_of(sides, in_frac_bits=1, shift=0, index_lo=-4, index_hi=6)
        assert built.undefined == ((-1, 3),)
        assert [value / 4096 for value in built.table.values[3:8]] == [-5, -5, 5, 5, 5]

    def test_the_error_ignores_undefined_indices_and_the_undefined_part_of_the_others(self) -> None:
        half = functions.sqrt(X - Fraction(1, 4))
        built = table_of(half, in_frac_bits=0, shift=0, index_lo=-3, index_hi=1)
        assert built.undefined == ((-3, 0),)
        # Index 1 stands for 1/2 to 3/2, all inside.
        assert built.max_error == pytest.approx(math.sqrt(0.75) - math.sqrt(0.25), abs=2**-12)

    def test_a_table_without_any_defined_index_is_refused(self) -> None:
        with pytest.raises(InvalidInputError, match="nowhere on the table's points"):
            table_of(functions.log, index_hi=0)


class TestCustom:
    def test_without_a_promise_nothing_is_proven(self) -> None:
        built = table_of(custom("sine", np.sin))
        assert not built.proven
        assert built.max_error == pytest.approx(2**-7, rel=0.05)
        assert list(built.table.values) == [math.floor(math.sin(float(x)) * 4096 + 0.5) for x in points(built)]

    @pytest.mark.parametrize(
        "promise", [Lipschitz(1.0), lambda lo, hi: (np.sin(lo) - (hi - lo), np.sin(lo) + (hi - lo))]
    )
    def test_with_a_promise_the_error_is_proven(self, promise: Any) -> None:
        built = table_of(custom("sine", np.sin, promise))
        assert built.proven
        assert 2**-7 <= built.max_error <= 1.05 * 2**-7

    def test_monotone_promises(self) -> None:
        for sign, promise in ((1, Increasing()), (-1, Decreasing())):
            built = table_of(custom("arctan", partial(_scaled_arctan, sign), promise))
            assert built.proven
            assert 2**-7 <= built.max_error <= 1.05 * 2**-7

    def test_with_a_reference_entries_are_correctly_rounded(self) -> None:
        built = table_of(
            custom("sine", np.sin, Lipschitz(1.0), exact=mpmath.sin), out_frac_bits=45, out_lo=-(2**52), out_hi=2**52
        )
        for x, entry in zip(points(built), built.table.values, strict=True):
            assert entry == correctly_rounded(mpmath.sin, x, 45, -(2**52), 2**52)

    def test_composed_with_other_functions(self) -> None:
        built = table_of(X * custom("bounded", np.arctan, Increasing()) / 16 + functions.gelu / 2)
        assert built.proven
        x = np.array([float(p) for p in points(built)])
        assert np.abs(np.array(built.table.values) / 4096 - built.function(x)).max() <= 2**-13 + 1e-12

    def test_a_domain_of_its_own(self) -> None:
        built = table_of(custom("arcsine", np.arcsin, Increasing(), domain=(-1, 1)))
        assert built.undefined == ((-512, -65), (65, 511))
        assert set(built.table.values[:449]) == {math.floor(-math.pi / 2 * 4096 + 0.5)}

    @pytest.mark.parametrize("promise", [None, Lipschitz(1.0), Increasing()])
    def test_nan_is_refused_with_the_place(self, promise: Any) -> None:
        with pytest.raises(NotFiniteError, match=r"'root' is nan at -8.0; give it the domain"):
            table_of(custom("root", np.sqrt, promise))

    def test_a_scalar_function_is_refused(self) -> None:
        with pytest.raises(InvalidInputError, match=r"failed on an array of shape .*np\.vectorize"):
            table_of(custom("scalar", cast("Callable[[FloatArray], FloatArray]", math.sin)))

    @pytest.mark.parametrize("bad", [lambda x: 1.0, lambda x: x[:-1], lambda x: x.astype(str), lambda x: x + 1j])
    def test_what_is_no_array_of_the_same_shape_is_refused(self, bad: Any) -> None:
        with pytest.raises(InvalidInputError, match=r"returned dtype .*np\.vectorize"):
            table_of(custom("bad", bad))

    def test_a_function_of_the_whole_array_is_refused(self) -> None:
        with pytest.raises(InvalidInputError, match="element by element"):
            table_of(custom("softmax", lambda x: np.exp(x) / np.exp(x).sum()))

    @pytest.mark.parametrize(
        "lie",
        [
            Lipschitz(0.5),
            Decreasing(),
            lambda lo, hi: (np.minimum(lo, hi) - 1e-3, np.minimum(lo, hi) - 5e-4),
        ],
        ids=["too small a constant", "the wrong direction", "an interval beside the function"],
    )
    def test_a_false_promise_is_caught_at_samples(self, lie: Any) -> None:
        with pytest.raises(InvalidInputError, match=r"outside its own enclosure .* does not hold"):
            table_of(custom("identity", lambda x: x, lie))

    def test_an_enclosure_of_the_wrong_shape_is_refused(self) -> None:
        with pytest.raises(InvalidInputError, match="must return arrays lo <= hi"):
            table_of(custom("identity", lambda x: x, lambda lo, hi: (hi.max(), lo.min())))

    def test_a_reference_of_another_function_is_caught(self) -> None:
        with pytest.raises(InvalidInputError, match="must be the same function"):
            table_of(custom("sine", np.sin, Lipschitz(1.0), exact=mpmath.cos))

    def test_a_callable_may_write_into_its_argument(self) -> None:
        def overwrite(x: Any) -> Any:
            x *= 2
            return x

        assert table_of(custom("double", overwrite, Increasing())).table.values[0] == -(2**15)


class TestArguments:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"index_lo": 1, "index_hi": 0}, "needs index_lo <= index_hi, got 1 and 0"),
            ({"out_lo": 1, "out_hi": 0}, "needs out_lo <= out_hi, got 1 and 0"),
            ({"index_lo": 2**50, "index_hi": 2**50 + 1}, "indices are at most"),
            ({"out_hi": 2**53}, "outputs are at most"),
            ({"shift": -1}, "a shift is from 0"),
            ({"shift": MAX_SHIFT + 1}, "a shift is from 0"),
            ({"in_frac_bits": 300}, "in_frac_bits is at most"),
            ({"out_frac_bits": -300}, "out_frac_bits is at most"),
        ],
    )
    def test_ranges_are_checked(self, changes: dict[str, int], message: str) -> None:
        with pytest.raises(InvalidInputError, match=message):
            table_of(functions.gelu, **changes)

    def test_too_many_entries(self) -> None:
        with pytest.raises(BoundsError, match="use a larger shift"):
            table_of(functions.gelu, index_lo=0, index_hi=MAX_TABLE_ENTRIES)

    def test_one_entry(self) -> None:
        assert table_of(functions.gelu, index_lo=5, index_hi=5).table.values == (
            correctly_rounded(REFERENCES["gelu"][1], Fraction(5, 64), 12, -(2**15), 2**15),
        )
