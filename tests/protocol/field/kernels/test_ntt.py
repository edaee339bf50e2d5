"""Transforms and codewords against the oracle: all lengths, all shapes of zero padding, and the largest values."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

from zkinfer.errors import ShapeError
from zkinfer.protocol.field import kernels, scalar
from zkinfer.protocol.field.kernels.ntt import SHORT
from zkinfer.protocol.field.params import P

HALF = P // 2


@pytest.mark.parametrize("log_n", range(14))
def test_transforms_of_all_lengths(log_n: int, elements: Any) -> None:
    """Short rows, and both parities of the number of radix-2 levels in each of the two passes."""
    n = 2**log_n
    values = elements.base(n)
    array = kernels.from_ints(values)
    transformed = kernels.ntt(array)
    assert kernels.is_balanced(transformed)
    assert kernels.to_ints(transformed).tolist() == scalar.ntt(values)
    assert np.array_equal(kernels.intt(transformed), array)


def test_the_inverse_of_the_oracle(elements: Any) -> None:
    for n in (16, 2 * SHORT):
        values = elements.base(n)
        assert kernels.to_ints(kernels.intt(kernels.from_ints(values))).tolist() == scalar.intt(values)


@pytest.mark.parametrize("n", [64, 512, 4096])
def test_rows_are_transformed_one_by_one(n: int, elements: Any) -> None:
    matrix = kernels.from_ints([elements.base(n) for _ in range(5)])
    result = kernels.ntt(matrix)
    assert all(np.array_equal(result[k], kernels.ntt(matrix[k])) for k in range(5))


@pytest.mark.parametrize("n", [SHORT // 2, SHORT, 2 * SHORT, 4 * SHORT])
def test_the_largest_values(n: int) -> None:
    """All HALF, all -HALF, and signs that a root of unity lines up with: the sums that grow most."""
    signs = [
        np.ones(n),
        -np.ones(n),
        (-1.0) ** np.arange(n),
        np.where(np.arange(n) % 4 < 2, 1.0, -1.0),
        np.where(np.arange(n) < n // 2, 1.0, -1.0),
        np.random.default_rng(3).choice([1.0, -1.0], n),
    ]
    rng = np.random.default_rng(4)
    for sign in signs:
        # As large as can be, and a little less, with all bits in use: sums that do not fit would lose low bits.
        for values in (HALF * sign, (HALF - rng.integers(0, 1 << 20, n)) * sign):
            result = kernels.ntt(values)
            assert kernels.is_balanced(result)
            assert kernels.to_ints(result).tolist() == scalar.ntt([int(v) % P for v in values])


@pytest.mark.parametrize(
    ("symbols", "length"),
    [(1, 1), (1, 256), (3, 16), (64, 256), (65, 256), (100, 512), (256, 1024), (257, 1024), (300, 1024), (600, 1024),
     (800, 1024), (1023, 1024), (1024, 1024), (1000, 8192)],
)  # fmt: skip
def test_codewords_of_messages_of_any_length(symbols: int, length: int, elements: Any) -> None:
    messages = [elements.base(symbols) for _ in range(2)]
    codewords = kernels.rs_encode(kernels.from_ints(messages), length)
    assert kernels.is_balanced(codewords)
    expected = [scalar.ntt([*message, *([0] * (length - symbols))]) for message in messages]
    assert kernels.to_ints(codewords).tolist() == expected


def test_codewords_are_four_times_as_long_unless_said_otherwise(elements: Any) -> None:
    message = elements.base(64)
    assert kernels.to_ints(kernels.rs_encode(kernels.from_ints(message))).tolist() == scalar.rs_encode(message)


def test_codewords_into_a_given_array(elements: Any) -> None:
    messages, out = kernels.from_ints([elements.base(64)] * 3), np.full((3, 256), np.nan)
    assert kernels.rs_encode(messages, out=out) is out
    assert np.array_equal(out, kernels.rs_encode(messages))


@pytest.mark.parametrize(
    ("symbols", "length"), [(1, 1), (3, 16), (700, 2048), (1, 4096), (4096, 4096), (1024, 4096), (3000, 8192)]
)
def test_some_symbols_are_those_of_the_codewords(symbols: int, length: int) -> None:
    """On both sides of the shortest code of which not all is transformed; as large as elements can be, among others."""
    rng = np.random.default_rng([symbols, length])
    messages = rng.integers(-HALF, HALF, (3, symbols), endpoint=True).astype(np.float64)
    messages[0], messages[1] = HALF, np.where(rng.random(symbols) < 0.5, HALF, -HALF)
    places = np.concatenate([rng.integers(0, length, 20), [0, length - 1, 0]])
    found = kernels.rs_symbols(messages, length, places)
    assert kernels.is_balanced(found)
    assert np.array_equal(found, kernels.rs_encode(messages, length)[:, places])
    assert kernels.rs_symbols(messages, length, places[:0]).shape == (3, 0)


@pytest.mark.parametrize("place", [-1, 4096])
def test_symbols_that_no_codeword_has_are_refused(place: int) -> None:
    with pytest.raises(ShapeError, match="has no others"):
        kernels.rs_symbols(np.zeros((1, 8)), 4096, np.array([3, place]))


def test_what_has_no_transform_is_refused() -> None:
    with pytest.raises(ShapeError):
        kernels.ntt(np.zeros(12))
    with pytest.raises(ShapeError):
        kernels.ntt(np.zeros(0))
    with pytest.raises(ShapeError):
        kernels.ntt(np.zeros((2, 2, 4)))
    with pytest.raises(ShapeError):
        kernels.ntt(np.zeros(8, dtype=np.float32))
    with pytest.raises(ShapeError):
        kernels.rs_encode(np.zeros(8), 4)
    with pytest.raises(ShapeError):
        kernels.rs_encode(np.zeros(8), 24)
    with pytest.raises(ShapeError):
        kernels.rs_encode(np.zeros(8), 32, out=np.zeros(16))
    with pytest.raises(ShapeError):
        kernels.rs_symbols(np.zeros((1, 8192)), 4096, np.array([3]))
