"""Outputs, indices, limbs and counts are those of the definitions, in Python integers."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zkinfer.circuit.program import rounding_half
from zkinfer.circuit.table import Table
from zkinfer.errors import InvalidInputError, ShapeError
from zkinfer.execution import tables
from zkinfer.execution.tables import AppliedTable
from zkinfer.jit.threads import threads
from zkinfer.native.kernels import columns
from zkinfer.native.kernels.columns import count, trace_lookup
from zkinfer.typing import Array, FloatArray


def lines(number: int, size: int) -> list[FloatArray]:
    return [np.full(size, np.nan) for _ in range(number)]


@settings(max_examples=150, deadline=None)
@given(
    lo=st.integers(-300, 300),
    length=st.integers(1, 300),
    limb_bits=st.lists(st.integers(1, 12), max_size=4),
    dtype=st.sampled_from([np.int16, np.int64]),
    identity=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_outputs_indices_and_limbs_are_those_of_the_definition(
    lo: int, length: int, limb_bits: list[int], dtype: type, identity: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    entries = range(lo, lo + length) if identity else [int(v) for v in rng.integers(-(2**40), 2**40, length)]
    table, shift = Table("table", lo, tuple(entries)), sum(limb_bits)
    half = rounding_half(shift)
    least = max((lo << shift) - half, np.iinfo(dtype).min)
    most = min(((lo + length) << shift) - half - 1, np.iinfo(dtype).max)
    x: Array = rng.integers(least, most, 57 if least <= most else 0, endpoint=True).astype(dtype)
    if x.size:
        x[:2] = least, most
    out, index, *limbs = lines(2 + len(limb_bits), x.size)
    trace_lookup(x, AppliedTable(table), shift, limb_bits, out, index, limbs)
    for k, value in enumerate(x.tolist()):
        position, rest = divmod(value + half, 1 << shift)
        assert index[k] == position
        assert out[k] == entries[position - lo]
        for bits, limb in zip(limb_bits, limbs, strict=True):
            rest, low = divmod(rest, 1 << bits)
            assert limb[k] == low
        assert rest == 0


def test_extremes_of_shift_and_value() -> None:
    table = AppliedTable(Table("sign", -1, (-5, 0, 5)))
    x = np.array([-(2**62) + 1, -(2**61) - 1, -(2**61), 0, 2**61 - 1, 2**61, 2**62 - 1])
    out, index, low, high = lines(4, x.size)
    trace_lookup(x, table, 62, (31, 31), out, index, [low, high])
    assert index.tolist() == [-1, -1, 0, 0, 0, 1, 1]
    assert out.tolist() == [-5, -5, 0, 0, 0, 5, 5]
    remainders = [int(a) + (int(b) << 31) for a, b in zip(low, high, strict=True)]
    assert remainders == [(int(v) + 2**61) % 2**62 for v in x]


def test_the_index_is_optional() -> None:
    out, limb = lines(2, 3)
    table = AppliedTable(Table("identity", -2, (-2, -1, 0, 1)))
    trace_lookup(np.array([-4, 0, 1]), table, 1, (1,), out, None, [limb])
    assert out.tolist() == [-2, 0, 1]
    assert limb.tolist() == [1, 1, 0]


@pytest.mark.parametrize(
    ("limb_bits", "number"), [((3,), 1), ((2, 3), 2), ((4,), 2), ((4, 0), 2), ((5, -1), 2), ((2, 2), 1)]
)
def test_limbs_that_are_not_the_remainder_are_refused(limb_bits: tuple[int, ...], number: int) -> None:
    out, *limbs = lines(1 + number, 2)
    table = AppliedTable(Table("zero", 0, (0,)))
    with pytest.raises(InvalidInputError, match="limbs"):
        trace_lookup(np.zeros(2, dtype=np.int64), table, 4, limb_bits, out, None, limbs)


def test_arrays_of_another_form_are_refused() -> None:
    table, x = AppliedTable(Table("zero", 0, (0,))), np.zeros(4, dtype=np.int64)
    for out in (np.empty(3), np.empty((4, 1)), np.empty(8)[::2]):
        with pytest.raises(ShapeError):
            trace_lookup(x, table, 0, (), out, None, ())
        with pytest.raises(ShapeError):
            trace_lookup(x, table, 0, (), np.empty(4), out, ())
        with pytest.raises(ShapeError):
            trace_lookup(x, table, 1, (1,), np.empty(4), None, (out,))
    with pytest.raises(ShapeError):
        trace_lookup(x[::2], table, 0, (), np.empty(2), None, ())


@settings(max_examples=100, deadline=None)
@given(start=st.integers(-400, 400), length=st.integers(1, 400), size=st.integers(0, 50), seed=st.integers(0, 2**32))
def test_counts(start: int, length: int, size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, before = rng.integers(start, start + length, size), rng.integers(0, 9, length)
    counts = before.astype(np.float64)
    count(values.astype(np.float64), start, counts)
    occurrences = Counter(values.tolist())
    assert (counts - before).tolist() == [occurrences[start + i] for i in range(length)]


@pytest.mark.parametrize("wrong", [-4.0, 5.0, 2.0**53, -(2.0**53), np.nan, np.inf])
@pytest.mark.parametrize("place", [0, 1, 2, 3, 4])
def test_numbers_that_no_counter_is_for_are_refused_and_nothing_is_counted(wrong: float, place: int) -> None:
    values, counts = np.zeros(5), np.zeros(8)
    values[place] = wrong
    with pytest.raises(InvalidInputError, match="1 values are not from -3 to 4"):
        count(values, -3, counts)
    assert not counts.any()


def test_long_tables_are_counted_alike() -> None:
    values = np.random.default_rng(0).integers(0, columns.LONG, 1000).astype(np.float64)
    counts = np.zeros(columns.LONG)
    count(values, 0, counts)
    np.testing.assert_array_equal(counts, np.bincount(values.astype(np.int64), minlength=columns.LONG))


def test_threads_divide_the_work_and_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (columns, tables):
        monkeypatch.setattr(module, "GRAIN", 64)
    rng = np.random.default_rng(0)
    table, x = AppliedTable(Table("down", -8, tuple(range(8, -8, -1)))), rng.integers(-128, 120, 5000)
    results = []
    for number in (1, 2, 5):
        with threads(number):
            out, index, limb = lines(3, x.size)
            trace_lookup(x, table, 4, (4,), out, index, [limb])
            counts = np.zeros(16)
            count(limb, 0, counts)
            results.append(np.concatenate([out, index, limb, counts]))
    assert all((result == results[0]).all() for result in results)
    assert counts.sum() == x.size
