"""The tuner against exhaustive search, and the reference cost model."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from zkinfer.circuit.lookup import lookup
from zkinfer.compiler.approx import functions
from zkinfer.compiler.approx.build import build_table
from zkinfer.compiler.approx.cost import CostModel, ElementCount, LookupSize
from zkinfer.compiler.approx.functions import X, custom
from zkinfer.compiler.approx.tuner import TunedTable, integer_error, tune
from zkinfer.errors import InvalidInputError, ToleranceError

INT12 = {"in_frac_bits": 8, "in_lo": -2048, "in_hi": 2047}


def tuned(function: Any = functions.gelu, **changes: Any) -> TunedTable:
    arguments: dict[str, Any] = {**INT12, "max_error": 1e-2, "elements": 1000, "cost": ElementCount()}
    return tune(function, **(arguments | changes))


@dataclass(frozen=True)
class Dear:
    """A backend to which one property of a lookup is all that matters."""

    what: str
    unit: str = "units"

    def lookup(self, size: LookupSize) -> float:
        return float(getattr(size, self.what))


def observed_error(table: TunedTable, function: Any, in_lo: int, in_hi: int, in_frac_bits: int) -> float:
    """Over every integer between the bounds, as the circuit computes it."""
    n = np.arange(in_lo, in_hi + 1)
    outputs = lookup(n, table.built.table, table.built.shift)
    return float(np.abs(outputs / 2.0**table.built.out_frac_bits - function(n / 2.0**in_frac_bits)).max())


class TestAccuracy:
    @pytest.mark.parametrize("max_error", [1e-1, 1e-2, 1e-3, 1e-5])
    @pytest.mark.parametrize("name", ["gelu", "silu", "sigmoid", "tanh", "relu", "exp"])
    def test_the_error_over_every_input_is_within_what_was_asked_for(self, name: str, max_error: float) -> None:
        function = getattr(functions, name)
        table = tuned(function, max_error=max_error)
        observed = observed_error(table, function, -2048, 2047, 8)
        assert observed <= table.error <= max_error
        assert table.error <= 1.3 * observed

    def test_one_output_bit_less_would_not_do(self) -> None:
        table = tuned(max_error=1e-3)
        last = table.trials[-1]
        assert (last.shift, last.out_frac_bits) == (table.built.shift, table.built.out_frac_bits - 1)
        assert not last.accepted

    def test_without_a_shift_only_the_outputs_are_rounded(self) -> None:
        table = tuned(max_error=1e-9)
        assert table.built.shift == 0
        assert table.error == integer_error(table.built) == table.built.entry_error < table.built.max_error

    def test_a_range_of_outputs_makes_the_unbounded_bounded(self) -> None:
        bounds = {"in_lo": 0, "in_hi": 2048, "max_error": 0.02}
        with pytest.raises(ToleranceError, match="an out_range where the function is unbounded"):
            tuned(functions.rsqrt, max_entries=256, **bounds)
        table = tuned(functions.rsqrt, max_entries=256, out_range=(0.0, 0.7), **bounds)
        assert table.error <= 0.02
        assert max(table.built.table.values) == round(0.7 * 2**table.built.out_frac_bits)

    def test_accuracies_above_one_give_negative_output_bits(self) -> None:
        table = tuned(1000 * X, max_error=300.0)
        assert table.built.out_frac_bits < 0
        assert observed_error(table, 1000 * X, -2048, 2047, 8) <= 300

    def test_functions_without_a_promise_are_tuned_but_not_proven(self) -> None:
        table = tuned(custom("sine", np.sin))
        assert not table.built.proven
        assert table.error <= 1e-2


class TestCost:
    def test_no_cheaper_shift_is_accurate_enough(self) -> None:
        cost = ElementCount()
        table = tuned(max_error=4e-3, cost=cost)
        for shift in range(12):
            first, last = (-2048 + (1 << shift >> 1)) >> shift, (2047 + (1 << shift >> 1)) >> shift
            price = cost.lookup(LookupSize(1000, -2048, 2047, shift, last - first + 1))
            if price < table.cost:
                built = build_table(
                    functions.gelu,
                    in_frac_bits=8,
                    shift=shift,
                    index_lo=first,
                    index_hi=last,
                    out_frac_bits=20,
                    out_lo=-(2**40),
                    out_hi=2**40,
                )
                assert integer_error(built) > 4e-3

    def test_a_backend_decides_what_is_cheap(self) -> None:
        # Few entries: the coarsest table that is accurate enough. No shift: the largest.
        coarse = tuned(functions.sigmoid, cost=Dear("entries"))
        fine = tuned(functions.sigmoid, cost=Dear("shift"))
        assert coarse.built.shift > 0
        assert fine.built.shift == 0
        assert len(coarse.built.table.values) < len(fine.built.table.values)
        assert fine.unit == "units"

    def test_many_elements_justify_a_larger_table_without_remainders(self) -> None:
        assert tuned(elements=100).built.shift > 0
        assert tuned(elements=10**6).built.shift == 0

    def test_infinite_cost_excludes(self) -> None:
        table = tuned(elements=10**6, cost=ElementCount(max_entries=2100))
        assert len(table.built.table.values) == 1025

    def test_the_models_agree_with_the_protocol(self) -> None:
        models: list[CostModel] = [ElementCount(), Dear("entries")]
        assert [m.unit for m in models] == ["rows", "units"]


class TestElementCount:
    def test_without_a_shift_elements_and_table(self) -> None:
        assert ElementCount().lookup(LookupSize(100, -8, 7, 0, 16)) == 116

    def test_a_remainder_costs_one_entry_a_limb_and_its_range_table(self) -> None:
        assert ElementCount(limb_bits=4).lookup(LookupSize(100, -128, 127, 3, 33)) == 200 + 33 + 8
        assert ElementCount(limb_bits=4).lookup(LookupSize(100, -1024, 1023, 9, 5)) == 400 + 5 + 16

    def test_tables_that_are_too_long_cannot_be_proven(self) -> None:
        assert ElementCount(max_entries=15).lookup(LookupSize(1, -8, 7, 0, 16)) == math.inf


class TestReport:
    def test_the_trials_are_shown_as_a_table(self) -> None:
        table = tuned(max_error=1e-3)
        lines = str(table).splitlines()
        assert lines[0].split() == ["shift", "out", "bits", "entries", "rows", "error"]
        assert len(lines) == 1 + len(table.trials)
        accepted = [t for t in table.trials if t.accepted]
        assert (accepted[-1].shift, accepted[-1].out_frac_bits) == (table.built.shift, table.built.out_frac_bits)
        assert accepted[-1].cost == table.cost
        assert "within 0.001" in str(table)
        assert "above 0.001" in str(table)


class TestRefusals:
    def test_what_cannot_be_reached_names_the_best(self) -> None:
        with pytest.raises(
            ToleranceError, match=r"error of 0\.001 is not reached; the best of \d+ formats has 0\.\d+ \(shift"
        ):
            tuned(max_error=1e-3, max_entries=64)

    def test_no_table_fits_at_all(self) -> None:
        with pytest.raises(ToleranceError, match="no table of at most 4096 entries covers"):
            tuned(max_entries=4096, cost=ElementCount(max_entries=0))

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"max_error": 0.0}, "an accuracy is a number above 0"),
            ({"max_error": math.nan}, "an accuracy is a number above 0"),
            ({"max_error": math.inf}, "an accuracy is a number above 0"),
            ({"in_lo": 1, "in_hi": 0}, "bounds need in_lo <= in_hi"),
            ({"out_range": (1.0, 1.0)}, "outputs need a range"),
            ({"max_entries": 0}, "max_entries is from 1"),
        ],
    )
    def test_arguments_are_checked(self, changes: dict[str, Any], message: str) -> None:
        with pytest.raises(InvalidInputError, match=message):
            tuned(**changes)
