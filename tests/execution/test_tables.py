"""The numba kernels against the definition in plain Python."""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from zkinfer.circuit import lookup as slow
from zkinfer.circuit.table import MAX_SHIFT, Table
from zkinfer.errors import BoundsError, InvalidInputError
from zkinfer.execution import tables as kernels
from zkinfer.typing import IntArray

SMALLEST, LARGEST = -(2**63), 2**63 - 1


def table(lo: int, hi: int) -> Table:
    """Distinct values, so that a wrong index shows."""
    return Table("distinct", lo, tuple(7 * i * i + 3 * i - 5 for i in range(lo, hi + 1)))


def assert_same(x: IntArray, t: Table, shift: int) -> None:
    expected, multiplicities = slow.lookup_histogram(x, t, shift)
    y, counts = kernels.lookup_histogram(x, t, shift)
    for result in (y, kernels.lookup(x, t, shift)):
        assert result.dtype == np.int64
        assert result.shape == x.shape
        np.testing.assert_array_equal(result, expected)
    assert counts.dtype == np.int64
    np.testing.assert_array_equal(counts, multiplicities)


@pytest.fixture(params=[1, 2], ids=["1 thread", "2 threads"])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Both ways of dividing the work, at sizes that plain Python can follow."""
    monkeypatch.setattr(kernels, "PARALLEL_ELEMENTS", 16)
    monkeypatch.setattr(numba, "get_num_threads", lambda: request.param)
    return request.param


class TestAgainstTheDefinition:
    @pytest.mark.parametrize("shift", [0, 1, 2, 5])
    @pytest.mark.parametrize("bounds", [(-8, 7), (0, 15), (-21, -3), (5, 5)])
    def test_every_value_of_the_domain(self, shift: int, bounds: tuple[int, int], threads: int) -> None:
        lo, hi = bounds
        half = 2 ** (shift - 1) if shift else 0
        x = np.arange((lo << shift) - half, (hi << shift) + 2**shift - half, dtype=np.int64)
        assert_same(x, table(lo, hi), shift)
        _, counts = kernels.lookup_histogram(x, table(lo, hi), shift)
        assert set(counts.tolist()) == {2**shift}

    @given(st.data())
    def test_random_tables_shifts_and_arrays(self, data: st.DataObject) -> None:
        shift = data.draw(st.integers(0, MAX_SHIFT))
        lo = data.draw(st.integers(-(2**63) >> shift, (2**63 - 1) >> shift))
        hi = min(lo + data.draw(st.integers(0, 50)), (2**63 - 1) >> shift)
        half = 2 ** (shift - 1) if shift else 0
        first, last = max((lo << shift) - half, SMALLEST), min((hi << shift) + 2**shift - half - 1, LARGEST)
        x = data.draw(hnp.arrays(np.int64, hnp.array_shapes(min_dims=0, max_side=5), elements=st.integers(first, last)))
        assert_same(x, Table("t", lo, tuple(range(hi - lo + 1))), shift)

    def test_a_long_random_array(self, threads: int) -> None:
        x = np.random.default_rng(3).integers(-5000, 5000, 20_011)
        assert_same(x, table(-700, 700), 3)

    def test_real_threads_on_a_long_array(self) -> None:
        x = np.random.default_rng(4).integers(-100, 100, 4 * kernels.PARALLEL_ELEMENTS + 1)
        t = table(-100, 100)
        before = numba.get_num_threads()
        try:
            results = []
            for count in (1, numba.config.NUMBA_NUM_THREADS):
                numba.set_num_threads(count)
                results.append(kernels.lookup_histogram(x, t, 0))
        finally:
            numba.set_num_threads(before)
        for y, counts in results:
            np.testing.assert_array_equal(y, t.array[x + 100])
            np.testing.assert_array_equal(counts, np.bincount(x + 100, minlength=201))


class TestShapesAndStrides:
    @pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 0, 2), (2, 3, 4)])
    def test_any_shape(self, shape: tuple[int, ...]) -> None:
        assert_same(np.full(shape, 3, dtype=np.int64), table(-4, 4), 0)

    @pytest.mark.parametrize(
        "view",
        [
            lambda a: a.T,
            lambda a: a[::2, ::-3],
            lambda a: a[:, 1],
            lambda a: np.broadcast_to(a[0], (5, *a[0].shape)),
            np.asfortranarray,
        ],
        ids=["transposed", "strided", "column", "broadcast", "Fortran order"],
    )
    def test_any_strides(self, view: Callable[[IntArray], IntArray]) -> None:
        array = np.arange(-60, 60, dtype=np.int64).reshape(8, 15)
        assert_same(view(array), table(-60, 60), 0)

    def test_read_only_inputs_stay_as_they_are(self) -> None:
        x = np.arange(10, dtype=np.int64)
        x.setflags(write=False)
        assert_same(x, table(0, 9), 0)
        np.testing.assert_array_equal(x, np.arange(10))

    def test_the_result_is_not_the_input(self) -> None:
        x = np.zeros(4, dtype=np.int64)
        y = kernels.lookup(x, Table("one", 0, (1,)), 0)
        assert x.tolist() == [0, 0, 0, 0]
        assert y.tolist() == [1, 1, 1, 1]


class TestNearTheEndsOfInt64:
    """x + half does not fit int64 there; the result has to be right all the same."""

    @pytest.mark.parametrize("shift", [1, 2, 31, 61, 62])
    @pytest.mark.parametrize("x", [SMALLEST, SMALLEST + 1, LARGEST - 1, LARGEST])
    def test_extreme_values(self, shift: int, x: int) -> None:
        index = (x + 2 ** (shift - 1)) >> shift
        t = Table("t", index, (42,))
        assert_same(np.array([x]), t, shift)

    @pytest.mark.parametrize("lo", [SMALLEST, LARGEST - 2])
    def test_tables_at_the_ends(self, lo: int) -> None:
        assert_same(np.array([lo, lo + 1, lo + 2]), Table("t", lo, (1, 2, 3)), 0)

    @pytest.mark.parametrize("lo", [SMALLEST, -1, 0, LARGEST - 2])
    @pytest.mark.parametrize("x", [SMALLEST, -2, 3, LARGEST])
    def test_nothing_wraps_around_into_the_table(self, lo: int, x: int) -> None:
        t = Table("t", lo, (1, 2, 3))
        if lo <= x <= t.hi:
            assert_same(np.array([x]), t, 0)
        else:
            with pytest.raises(BoundsError):
                kernels.lookup(np.array([x]), t, 0)

    @pytest.mark.parametrize("lo", [SMALLEST - 1, LARGEST - 1, 2**70])
    def test_tables_beyond_int64_are_refused(self, lo: int) -> None:
        with pytest.raises(InvalidInputError, match="more than int64 holds"):
            kernels.lookup(np.zeros(1, dtype=np.int64), Table("t", lo, (1, 2, 3)), 0)


class TestOutOfRange:
    @pytest.mark.parametrize("function", [kernels.lookup, kernels.lookup_histogram, slow.lookup, slow.lookup_histogram])
    @pytest.mark.parametrize("x", [-15, 18, SMALLEST, LARGEST])
    def test_one_step_beyond_either_end_is_refused(self, function: Callable[..., Any], x: int) -> None:
        # Behind a shift by 2, indices -3 to 4 are the values -14 to 17.
        t = table(-3, 4)
        function(np.array([-14, 17]), t, 2)
        with pytest.raises(BoundsError):
            function(np.array([0, x, 0]), t, 2)

    def test_the_message_says_how_many_where_and_what(self, threads: int) -> None:
        x = np.zeros((10, 30), dtype=np.int64)
        x[4, 7] = -99
        x[9, 29] = 50
        with pytest.raises(
            BoundsError,
            match=r"'distinct' covers indices -3 to 4 after a shift by 2; 2 of 300 elements are outside, the first at "
            r"position \(4, 7\): -99\.",
        ):
            kernels.lookup_histogram(x, table(-3, 4), 2)

    def test_positions_are_those_of_the_array_that_was_given(self) -> None:
        x = np.arange(12, dtype=np.int64).reshape(3, 4).T
        with pytest.raises(BoundsError, match=r"1 of 12 elements are outside, the first at position \(3, 2\): 11"):
            kernels.lookup(x, table(0, 10), 0)

    def test_a_scalar(self) -> None:
        with pytest.raises(BoundsError, match=r"first at position \(\): 9"):
            kernels.lookup(np.array(9), table(0, 3), 0)


class TestArguments:
    @pytest.mark.parametrize("dtype", [np.int32, np.uint64, np.float64, np.bool_, object])
    def test_other_dtypes_are_refused(self, dtype: Any) -> None:
        with pytest.raises(InvalidInputError, match="looked up with int64 arrays"):
            kernels.lookup(np.zeros(3, dtype=dtype), table(0, 3), 0)

    @pytest.mark.parametrize("shift", [-1, MAX_SHIFT + 1])
    def test_shifts_out_of_range_are_refused(self, shift: int) -> None:
        with pytest.raises(InvalidInputError, match="a shift is from 0 to 62"):
            kernels.lookup_histogram(np.zeros(3, dtype=np.int64), table(0, 3), shift)
