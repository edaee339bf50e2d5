"""Sums of large arrays, block by block, are those of the whole array."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkinfer.circuit import block_sums
from zkinfer.circuit.block_sums import block_sum, magnitudes, negated, positive
from zkinfer.typing import Array


@given(st.data())
@pytest.mark.parametrize("of", [positive, negated, magnitudes])
@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int64])
def test_blocks_make_no_difference(of: Callable[[Array], Array], dtype: type, data: st.DataObject) -> None:
    """Of any shape, over any axes, the least number of a type among the elements."""
    shape = data.draw(st.lists(st.integers(1, 5), max_size=3))
    rng = np.random.default_rng(data.draw(st.integers(0, 100)))
    array: Array = np.asarray(rng.integers(-100, 100, shape)).astype(dtype)
    array.flat[0] = np.iinfo(dtype).min if dtype != np.int64 else -(1 << 62)
    axes = [axis for axis in range(len(shape)) if data.draw(st.booleans())]
    wide = array.astype(object)
    expected = abs(wide) if of is magnitudes else np.maximum(wide if of is positive else -wide, 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(block_sums, "BLOCK", data.draw(st.integers(1, 50)))
        found = block_sum(array, axes, of)
    assert np.array_equal(found, np.asarray(expected).sum(axis=tuple(axes)))


def test_nothing_is_as_large_as_the_array(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_sums, "BLOCK", 64)
    sizes = []

    def noted(block: Array) -> Array:
        sizes.append(block.size)
        return magnitudes(block)

    assert block_sum(np.full((100, 8), -3), (0,), noted).tolist() == [300] * 8
    assert max(sizes) == 64
