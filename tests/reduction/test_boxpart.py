"""Weights on a box against all of its cells."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.contractions import random_ext

from zkinfer.field import slow
from zkinfer.field.slow import ONE, ZERO, Ext, ext_mul
from zkinfer.pcs.modular import from_exts
from zkinfer.reduction.boxes import Box
from zkinfer.reduction.boxpart import BoxPart

seeds = st.integers(0, 2**32 - 1)
groups_of_variables = st.lists(st.integers(0, 3), min_size=1, max_size=3)


def vectors_and_part(rng: np.random.Generator, bits: list[int], *, eq: bool) -> tuple[list[Ext], BoxPart]:
    """Every weight of a part, and the part."""
    vectors = []
    for b in bits:
        if eq:
            factor = random_ext(rng)
            table = slow.eq_table([random_ext(rng) for _ in range(b)])
            vectors.append([ext_mul(factor, weight) for weight in table])
        else:
            vectors.append([random_ext(rng) for _ in range(1 << b)])
    scale = random_ext(rng)
    weights = [scale]
    for vector in vectors:
        weights = [ext_mul(a, b) for a in weights for b in vector]
    box = Box((0,) * len(bits), tuple(bits))
    return weights, BoxPart(0, 0, 0, box, scale, vectors=tuple(from_exts(v) for v in vectors))


@given(seeds, groups_of_variables, st.booleans())
def test_its_value_at_a_point_is_that_of_all_weights(seed: int, bits: list[int], eq: bool) -> None:
    rng = np.random.default_rng(seed)
    weights, part = vectors_and_part(rng, bits, eq=eq)
    point = tuple(random_ext(rng) for _ in range(part.variables))
    assert part.evaluate(point) == slow.mle(weights, point)


@given(seeds, groups_of_variables)
def test_a_product_of_eq_tables_is_an_eq_table(seed: int, bits: list[int]) -> None:
    weights, part = vectors_and_part(np.random.default_rng(seed), bits, eq=True)
    assert part.point is not None
    scale, point = part.point
    assert [ext_mul(scale, weight) for weight in slow.eq_table(point)] == weights


@given(seeds, st.lists(st.integers(2, 3), min_size=1, max_size=2))
def test_other_weights_are_none(seed: int, bits: list[int]) -> None:
    """Random vectors of four weights or more, or an eq table with one weight changed."""
    rng = np.random.default_rng(seed)
    _, part = vectors_and_part(rng, bits, eq=False)
    assert part.point is None
    _, part = vectors_and_part(rng, bits, eq=True)
    near = [vector.copy() for vector in part.vectors]
    near[-1][0, int(rng.integers(near[-1].shape[1]))] ^= 1
    changed = BoxPart(0, 0, 0, part.box, part.scale, vectors=tuple(near))
    assert changed.point is None


@pytest.mark.parametrize("variables", [0, 1, 3])
def test_a_known_point_needs_no_vectors(variables: int) -> None:
    rng = np.random.default_rng(variables)
    known = tuple(random_ext(rng) for _ in range(variables))
    scale = random_ext(rng)
    part = BoxPart(0, 0, 0, Box((0,), (variables,)), scale, known=known)
    assert part.point == (scale, known)
    for corner in itertools.product((ZERO, ONE), repeat=variables):
        assert part.evaluate(corner) == ext_mul(scale, slow.eq(known, corner))
