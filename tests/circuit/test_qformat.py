"""Between real numbers and a circuit's integers: exact, to nearest, and never silently out of range."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkinfer.circuit.program import MAX_MAGNITUDE, Scales, Tensor
from zkinfer.circuit.qformat import as_array, as_arrays, as_batch, dequantize, frac_bits_of, quantize, saturated
from zkinfer.errors import InputRangeError, InvalidInputError, NotFiniteError, ShapeError


def _tensor(frac_bits: int, lo: int = 1 - MAX_MAGNITUDE, hi: int = MAX_MAGNITUDE - 1) -> Tensor:
    return Tensor("x", (1, 3), frac_bits, lo, hi)


def _nearest_even(x: float, frac_bits: int) -> int:
    """The same in exact rational arithmetic: Python rounds a Fraction to nearest, ties to even."""
    return round(Fraction(x) * Fraction(2) ** frac_bits)


@given(x=st.floats(-1e6, 1e6), frac_bits=st.integers(-20, 40))
def test_quantize_is_exact_rounding_to_nearest_even(x: float, frac_bits: int) -> None:
    assert quantize(np.array([x]), _tensor(frac_bits))[0] == _nearest_even(x, frac_bits)


@given(x=st.floats(allow_nan=False, allow_infinity=False), frac_bits=st.sampled_from([-512, -30, 0, 30, 512]))
def test_numbers_and_scales_of_any_size_saturate(x: float, frac_bits: int) -> None:
    """Also where the scaled number is infinite, or so small that it has fewer bits."""
    lo, hi = -(1 << 52), (1 << 52) - 1
    expected = min(max(_nearest_even(x, frac_bits), lo), hi)
    assert quantize(np.array([x]), _tensor(frac_bits, lo, hi), saturate=True)[0] == expected


@given(integer=st.integers(-(2**53), 2**53), frac_bits=st.integers(-100, 100))
def test_dequantized_integers_quantize_to_themselves(integer: int, frac_bits: int) -> None:
    tensor = _tensor(frac_bits)
    reals = dequantize(np.array([integer]), tensor)
    assert Fraction(float(reals[0])) == Fraction(integer) / Fraction(2) ** frac_bits
    assert quantize(reals, tensor)[0] == integer


def test_ties_go_to_even() -> None:
    np.testing.assert_array_equal(quantize(np.array([0.5, 1.5, 2.5, -0.5, -1.5]), _tensor(0)), [0, 2, 2, 0, -2])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8, np.uint64, np.bool_])
def test_every_real_dtype_is_taken(dtype: type) -> None:
    result = quantize(np.array([0, 1, 1], dtype=dtype), _tensor(4))
    assert result.dtype == np.int64
    np.testing.assert_array_equal(result, [0, 16, 16])


def test_the_shape_is_kept() -> None:
    assert quantize(np.zeros((5, 1, 2)), _tensor(4)).shape == (5, 1, 2)
    assert quantize(np.zeros(()), _tensor(4)).shape == ()
    assert quantize(np.zeros((0, 3)), _tensor(4)).shape == (0, 3)


def test_out_of_range_says_how_many_where_and_what_range() -> None:
    x = np.array([[0.0, 8.5, -1.0], [-100.0, 0.0, 7.0]])
    with pytest.raises(InputRangeError) as caught:
        quantize(x, _tensor(4, -128, 127))
    message = str(caught.value)
    assert "from -8 to 7.9375" in message
    assert "2 of 6 values (the first at index (0, 1)) are outside" in message
    assert "-100" in message
    assert "calibration" in message


def test_the_place_is_that_of_the_sample_also_in_runs() -> None:
    """Runs of two samples each: sample 3 is the second one of run 1."""
    tensor = Tensor("x", (2, 3), 4, -128, 127)
    runs = np.zeros((2, 2, 3))
    runs[1, 1, 2] = 100
    with pytest.raises(InputRangeError, match=r"1 of 12 values \(the first at index \(3, 2\)\) is outside"):
        quantize(runs, tensor)
    with pytest.raises(InputRangeError, match=r"the first at index \(3, 2\)"):
        quantize(runs.reshape(4, 3), tensor)


@pytest.mark.parametrize(("frac_bits", "remedy"), [(4, "Rescale the data"), (0, "Correct numbers that choose rows")])
def test_whole_numbers_need_not_be_rescaled(frac_bits: int, remedy: str) -> None:
    with pytest.raises(InputRangeError, match=f"{remedy}.*, or compile with calibration data"):
        quantize(np.array([1000]), _tensor(frac_bits, -128, 127))


def test_saturate_clips_to_the_bounds() -> None:
    x = np.array([0.0, 8.5, -100.0, 1e300, -1e300])
    np.testing.assert_array_equal(quantize(x, _tensor(4, -128, 127), saturate=True), [0, 127, -128, 127, -128])
    assert saturated(x, _tensor(4, -128, 127))[1] == 4


@pytest.mark.parametrize("hi", [2**53, 2**60 - 1, MAX_MAGNITUDE - 1])
def test_bounds_beyond_float64_are_compared_as_integers(hi: int) -> None:
    tensor = _tensor(0, 0, hi)
    beyond = float(2 ** hi.bit_length())
    with pytest.raises(InputRangeError):
        quantize(np.array([beyond]), tensor)
    assert quantize(np.array([beyond]), tensor, saturate=True)[0] == hi


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("saturate", [False, True])
def test_not_finite_is_refused_even_when_saturating(bad: float, saturate: bool) -> None:
    with pytest.raises(NotFiniteError, match=r"1 of 3 values \(the first at index \(1,\)\) is NaN or infinite"):
        quantize(np.array([0.0, bad, 1.0]), _tensor(4), saturate=saturate)


@pytest.mark.parametrize("array", [np.array([1j]), np.array(["1"]), np.array([None]), np.array(["2020"], "M8[Y]")])
def test_other_dtypes_are_refused(array: np.ndarray) -> None:
    with pytest.raises(InvalidInputError, match="real numbers"):
        quantize(array, _tensor(4))
    with pytest.raises(InvalidInputError, match="real numbers"):
        as_array(array)


def test_arrays_come_in_many_forms() -> None:
    x, ids = np.zeros((2, 3)), np.zeros((2,), dtype=np.int64)
    for form in ([x, ids], (x, ids), {"ids": ids, "x": x}):
        got = as_arrays(form, ["x", "ids"])
        assert [a.shape for a in got] == [(2, 3), (2,)]
    assert [a.shape for a in as_arrays(x, ["x"])] == [(2, 3)]
    assert [a.shape for a in as_arrays([[0.5, 1.0]], ["x"])] == [(2,)]


def test_torch_tensors_are_taken() -> None:
    torch = pytest.importorskip("torch")
    np.testing.assert_array_equal(as_array(torch.tensor([1.5], requires_grad=True)), [1.5])
    np.testing.assert_array_equal(as_array(torch.tensor([1.5], dtype=torch.bfloat16)), [1.5])
    with pytest.raises(InvalidInputError):
        as_array(torch.tensor([1.5j]))


def test_a_list_of_samples_is_told_from_a_list_of_inputs() -> None:
    with pytest.raises(ShapeError, match=r"numpy\.stack"):
        as_arrays([np.zeros(3), np.zeros(3)], ["x"])


def test_ragged_lists_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="not an array of numbers"):
        as_arrays([[[1.0], [1.0, 2.0]]], ["x"])


@pytest.mark.parametrize("names", [{"x"}, {"x", "y"}, {"x", "ids", "more"}])
def test_a_mapping_names_exactly_the_inputs(names: set[str]) -> None:
    with pytest.raises(InvalidInputError, match=r"\['x', 'ids'\]"):
        as_arrays({name: np.zeros(1) for name in names}, ["x", "ids"])


def test_one_sample_needs_no_batch_axis_where_the_batch_is_1() -> None:
    assert as_batch(np.zeros(3), (1, 3), "x").shape == (1, 3)
    assert as_batch(np.zeros((7, 3)), (1, 3), "x").shape == (7, 3)
    assert as_batch(np.zeros((7, 3)), (2, 3), "x").shape == (7, 3)
    with pytest.raises(ShapeError, match=r"x takes an array of shape \(samples, 3\), got \(3,\)"):
        as_batch(np.zeros(3), (2, 3), "x")


@pytest.mark.parametrize("shape", [(7, 4), (3, 1), (1, 1, 3), (), (0, 3)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError):
        as_batch(np.zeros(shape), (1, 3), "x")


FEATURES = Tensor("x", (1, 3), 2, -128, 127, Scales(-1, (0, 10, 4)))


@given(x=st.lists(st.floats(-31, 31), min_size=3, max_size=3))
def test_each_feature_is_rounded_in_its_own_format(x: list[float]) -> None:
    reals = np.ldexp(np.array([x]), [0, -10, -4])
    integers = quantize(reals, FEATURES)
    assert integers[0].tolist() == [_nearest_even(r, f) for r, f in zip(reals[0], (2, 12, 6), strict=True)]
    np.testing.assert_array_equal(quantize(dequantize(integers, FEATURES), FEATURES), integers)


def test_scales_follow_their_axis_under_any_leading_axes() -> None:
    channels = Tensor("x", (1, 2, 4), 0, -128, 127, Scales(-2, (0, 3)))
    assert frac_bits_of(channels).tolist() == [[0], [3]]
    for lead in ((), (1,), (5, 1)):
        integers = quantize(np.ones((*lead, 2, 4)), channels)
        assert (integers[..., 0, :] == 1).all()
        assert (integers[..., 1, :] == 8).all()


@pytest.mark.parametrize("shape", [(), (2,), (3, 1), (1, 4)])
def test_an_array_without_the_features_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="scales for 3 features"):
        quantize(np.zeros(shape), FEATURES)


def test_the_range_is_that_of_the_feature() -> None:
    with pytest.raises(InputRangeError, match=r"from -0\.03125 to 0\.0310059 at index \(1, 1\)"):
        quantize(np.array([[0.0, 0.03, 1.0], [31.0, 0.04, -1.0]]), FEATURES)
    clipped = quantize(np.array([[40.0, 0.04, -9.0]]), FEATURES, saturate=True)
    assert clipped.tolist() == [[127, 127, -128]]
