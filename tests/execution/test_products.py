"""Each way to compute an Einsum is chosen where it is exact, and is exact at the limit of where it is chosen."""

import math
import string
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zkinfer.execution.integer_product import IntegerProduct
from zkinfer.execution.narrow import smallest_type
from zkinfer.execution.operands import RUNS, Operand
from zkinfer.execution.products import (
    MAX_PRODUCTS,
    AxisSum,
    Elementwise,
    FloatProduct,
    PreparedEinsum,
    WideProduct,
    prepare_einsum,
)
from zkinfer.typing import IntArray

Way = type[PreparedEinsum]


def prepared(
    subscripts: str, arrays: Sequence[IntArray], magnitudes: Sequence[int], known: Sequence[int] = ()
) -> tuple[PreparedEinsum, list[IntArray]]:
    """The Einsum of arrays of shape (runs, ...), of which those that are known have one run."""
    terms, _, out = subscripts.partition("->")
    operands = [
        Operand(
            value=k,
            letters=letters if k in known else RUNS + letters,
            sizes=dict(zip(letters, array.shape[1:], strict=True)),
            interval=(-magnitude, magnitude),
            content=array[0] if k in known else None,
        )
        for k, (letters, array, magnitude) in enumerate(zip(terms.split(","), arrays, magnitudes, strict=True))
    ]
    sizes = {c: n for operand in operands for c, n in operand.sizes.items()}
    largest = math.prod(magnitudes) * math.prod(n for c, n in sizes.items() if c not in out)
    values = [array.astype(smallest_type(*operand.interval)) for array, operand in zip(arrays, operands, strict=True)]
    return prepare_einsum(RUNS + out, operands, (-largest, largest)), values


def assert_exact(subscripts: str, arrays: Sequence[IntArray], magnitudes: Sequence[int], known: Sequence[int]) -> Way:
    """The Einsum gives what Python's integers give; returns how."""
    way, values = prepared(subscripts, arrays, magnitudes, known)
    terms, _, out = subscripts.partition("->")
    names = ",".join(("" if k in known else "Z") + letters for k, letters in enumerate(terms.split(",")))
    objects = [(a[0] if k in known else a).astype(object) for k, a in enumerate(arrays)]
    expected = np.einsum(f"{names}->Z{out}", *objects)
    got = way(values)
    assert got.dtype == way.dtype
    np.testing.assert_array_equal(got, expected.astype(np.int64))
    return type(way)


def filled(shape: tuple[int, ...], magnitude: int, rng: np.random.Generator) -> IntArray:
    """Extremes of both signs, mostly of the same."""
    return np.where(rng.random(shape) < 0.1, -magnitude, magnitude)


SUBSCRIPTS = (
    "ab,cb->ac", "ab,bc->ac", "ab,cb->ca", "ab,ab->ab", "a,b->ab", "a,b->ba", "ab,ab->a", "ab,ab->",
    "hst,htd->shd", "gac,gbc->gab", "nab,b->na", "abc,ab->b", "abc,dc->ad", "ab,bcd->ac", "ab->a", "ab->ba", "abc->",
    "ga,ga->g", "xyab,ab->xy",
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    subscripts=st.sampled_from(SUBSCRIPTS),
    bits=st.tuples(st.integers(1, 28), st.integers(1, 28)),
    known=st.sampled_from([(), (0,), (1,)]),
    runs=st.integers(0, 3),
    seed=st.integers(0, 2**32),
)
def test_random_einsums(subscripts: str, bits: tuple[int, int], known: tuple[int, ...], runs: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = {letter: int(rng.integers(1, 6)) for letter in string.ascii_lowercase}
    terms = subscripts.partition("->")[0].split(",")
    known = known if len(terms) == 2 else ()
    shapes = [(1 if k in known else runs, *(sizes[c] for c in letters)) for k, letters in enumerate(terms)]
    magnitudes = [(1 << b) - 1 for b, _ in zip(bits, terms, strict=False)]
    arrays = [filled(shape, magnitude, rng) for shape, magnitude in zip(shapes, magnitudes, strict=True)]
    assert_exact(subscripts, arrays, magnitudes, known)


@pytest.mark.parametrize(
    ("magnitude", "way", "floats"),
    [
        (2**21 - 1, FloatProduct, np.float32),
        (2**21, FloatProduct, np.float64),
        (2**50 - 1, FloatProduct, np.float64),
        (2**50, WideProduct, None),
        (2**58, WideProduct, None),
    ],
)
@pytest.mark.parametrize("known", [(), (1,)])
def test_floats_are_used_exactly_where_they_hold_every_sum(
    magnitude: int, way: Way, floats: type | None, known: tuple[int, ...]
) -> None:
    """Eight summands of this magnitude: the sums end just below 2^24 and 2^53, or at them."""
    rng = np.random.default_rng(0)
    left, right = np.ones((2, 3, 8), dtype=np.int64), np.full((1 if known else 2, 4, 8), magnitude)
    right[..., 0] = -magnitude
    left[..., 3] = rng.choice([-1, 1], left.shape[:-1])
    chosen, _ = prepared("ab,cb->ac", [left, right], [1, magnitude], known)
    assert isinstance(chosen, way)
    assert floats is None or (isinstance(chosen, FloatProduct) and chosen.floats == floats)
    assert_exact("ab,cb->ac", [left, right], [1, magnitude], known)


def test_known_weights_allow_float32_where_their_bounds_do_not() -> None:
    """One large weight a row: the norms of the rows count, not the largest weight times the length."""
    right = np.zeros((1, 8, 8), dtype=np.int64)
    right[0] = np.diag(np.full(8, 2**17))
    left = np.full((2, 3, 8), 100)
    chosen, _ = prepared("ab,cb->ac", [left, right], [100, 2**17], (1,))
    assert isinstance(chosen, FloatProduct)
    assert chosen.floats == np.float32


@pytest.mark.parametrize(
    ("subscripts", "shapes", "known", "way"),
    [
        ("ab,cb->ac", [(3, 8), (4, 8)], (1,), IntegerProduct),
        ("cb,ab->ac", [(4, 8), (3, 8)], (0,), IntegerProduct),
        ("ngcpwqx,gfcwx->ngfpq", [(1, 2, 2, 3, 3, 3, 3), (2, 4, 2, 3, 3)], (1,), IntegerProduct),
        ("ngcpwqx,gfcwx->ngfpq", [(1, 6, 1, 3, 3, 3, 3), (6, 1, 1, 3, 3)], (1,), Elementwise),
        ("ab,ab->ab", [(3, 8), (3, 8)], (), Elementwise),
        ("ab,ab->ab", [(3, 8), (3, 8)], (0,), Elementwise),
        ("hst,htd->shd", [(2, 5, 5), (2, 5, 7)], (), FloatProduct),
        ("ab->b", [(3, 8)], (), AxisSum),
    ],
)
def test_ways(subscripts: str, shapes: list[tuple[int, ...]], known: tuple[int, ...], way: Way) -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.integers(-99, 100, (1 if k in known else 2, *shape)) for k, shape in enumerate(shapes)]
    assert assert_exact(subscripts, arrays, [99] * len(arrays), known) is way


def test_operands_whose_parts_do_not_fit_int16_are_multiplied_otherwise() -> None:
    beyond, right = 2**31 - 2**16, np.ones((1, 5, 9), dtype=np.int64)
    chosen, _ = prepared("ab,cb->ac", [np.full((2, 3, 9), beyond), right], [beyond, 1], (1,))
    assert isinstance(chosen, FloatProduct)


@pytest.mark.parametrize(
    ("size", "bits", "way"),
    [
        (8, 16, FloatProduct),
        (300, 16, IntegerProduct),
        (300, 17, IntegerProduct),
        (8, 8, IntegerProduct),
        (300, 8, IntegerProduct),
        (2000, 16, IntegerProduct),
        (2000, 17, FloatProduct),
        (8000, 16, FloatProduct),
    ],
)
def test_integers_are_multiplied_where_few_products_do(size: int, bits: int, way: Way) -> None:
    """Weights of 16 bits are two products for an axis of 300, and more for one of 2,000; activations of 17 bits double
    them. A single product is taken for the smallest operands as well, several are not."""
    top = (1 << (bits - 1)) - 1
    weight = 2**15 - 1 if bits > 8 else 2
    left, right = np.full((2, 1, size), -top), np.full((1, 100, size), weight)
    right[..., ::3] = -weight
    chosen, values = prepared("ab,cb->ac", [left, right], [top, weight], (1,))
    assert type(chosen) is way
    np.testing.assert_array_equal(chosen(values), left @ right[0].T)


def test_many_products_are_taken_where_float64_does_not_hold_the_sums() -> None:
    rng = np.random.default_rng(0)
    most, weight = 2**31 - 2**16 - 1, 2**15 - 1
    left, right = filled((2, 3, 4000), most, rng), filled((1, 5, 4000), weight, rng)
    assert assert_exact("ab,cb->ac", [left, right], [most, weight], (1,)) is IntegerProduct
    chosen, _ = prepared("ab,cb->ac", [left, right], [most, weight], (1,))
    assert isinstance(chosen, IntegerProduct)
    assert chosen.count > MAX_PRODUCTS


def test_sums_beyond_int64_are_multiplied_with_zeros_alone() -> None:
    """Bounds of a product admit an operand whose sum leaves int64 where the other one is zero."""
    summed = 1 << 14
    x = np.full((2, 1, summed), -(1 << 49))
    operands = [
        Operand(0, RUNS + "bj", {"b": 1, "j": summed}, (-(1 << 49), 1 << 49)),
        Operand(1, "ob", {"o": 3, "b": 1}, (0, 0), np.zeros((3, 1), dtype=np.int64)),
    ]
    assert not prepare_einsum(RUNS + "o", operands, (0, 0))([x, None]).any()
