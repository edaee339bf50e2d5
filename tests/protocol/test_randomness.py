"""The prover's randomness: the same elements, however many are drawn at a time."""

import numpy as np
import pytest

from zkinfer.protocol import randomness
from zkinfer.protocol.field import kernels
from zkinfer.protocol.field.params import P
from zkinfer.protocol.randomness import Randomness

SEED = bytes(range(32))


@pytest.mark.parametrize("modulus", [None, 1 << 48])
def test_blocks_give_the_elements_of_one_draw(modulus: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where most words are drawn again, being no element."""
    if modulus:
        monkeypatch.setattr(randomness, "P", modulus)
    words = Randomness(SEED)._words(40 * 30)
    whole = Randomness(SEED)
    elements = whole.elements(40, 30)
    assert elements.min() >= 0
    assert elements.max() < (modulus or P)
    accepted = words < (modulus or P)
    np.testing.assert_array_equal(elements.reshape(-1)[accepted], words[accepted])
    assert accepted.all() == (modulus is None)
    monkeypatch.setattr(randomness, "_BLOCK_WORDS", 7)
    blocks, floats = Randomness(SEED), Randomness(SEED)
    np.testing.assert_array_equal(blocks.elements(40, 30), elements)
    balanced = np.empty((40, 30))
    floats.fill(balanced, kernels.from_ints)
    np.testing.assert_array_equal(balanced, kernels.from_ints(elements))
    following = [source.octets(64).tobytes() for source in (whole, blocks, floats)]
    assert len(set(following)) == 1


def test_a_seed_gives_the_same_and_none_gives_something_new() -> None:
    assert Randomness(SEED).octets(32).tobytes() == Randomness(SEED).octets(32).tobytes()
    assert Randomness().octets(32).tobytes() != Randomness().octets(32).tobytes()
