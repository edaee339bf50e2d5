"""Weights on a box against all of its cells."""

import functools
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.random_contractions import random_ext

from zkinfer.protocol.field import scalar
from zkinfer.protocol.field.modular import from_exts, to_exts
from zkinfer.protocol.field.scalar import ONE, ZERO, Ext, ext_mul
from zkinfer.protocol.reduction.box_functional import BoxFunctional, PointEnds
from zkinfer.protocol.reduction.boxes import Box
from zkinfer.protocol.reduction.restriction import AxisWeights
from zkinfer.verifier.reference.committed_claims import by_rows

seeds = st.integers(0, 2**32 - 1)
groups_of_variables = st.lists(st.integers(0, 3), min_size=1, max_size=3)


def vectors_and_part(rng: np.random.Generator, bits: list[int], *, eq: bool) -> tuple[list[Ext], BoxFunctional]:
    """Every weight of a part, and the part."""
    vectors = []
    for b in bits:
        if eq:
            factor = random_ext(rng)
            table = scalar.eq_table([random_ext(rng) for _ in range(b)])
            vectors.append([ext_mul(factor, weight) for weight in table])
        else:
            vectors.append([random_ext(rng) for _ in range(1 << b)])
    scale = random_ext(rng)
    weights = [scale]
    for vector in vectors:
        weights = [ext_mul(a, b) for a in weights for b in vector]
    box = Box((0,) * len(bits), tuple(bits))
    return weights, BoxFunctional(0, 0, 0, box, scale, vectors=tuple(AxisWeights(from_exts(v)) for v in vectors))


@given(seeds, groups_of_variables, st.booleans())
def test_its_value_at_a_point_is_that_of_all_weights(seed: int, bits: list[int], eq: bool) -> None:
    rng = np.random.default_rng(seed)
    weights, part = vectors_and_part(rng, bits, eq=eq)
    point = tuple(random_ext(rng) for _ in range(part.variables))
    longer = (random_ext(rng), *point)
    for ends in (PointEnds(point), PointEnds(longer)):
        assert part.evaluate(ends) == scalar.mle(weights, point)
        assert part.evaluate(ends) == scalar.mle(weights, point), "from what was computed before"


@given(seeds, groups_of_variables, st.integers(0, 9))
def test_rows_of_one_point_are_found_at_any_length(seed: int, bits: list[int], columns: int) -> None:
    """A product of eq tables: every row of any length is the same eq table, times a factor of its own."""
    weights, part = vectors_and_part(np.random.default_rng(seed), bits, eq=True)
    columns = min(columns, part.variables)
    found = part.by_rows(columns)
    assert found is not None
    rows, point = found.weights, found.point
    assert len(point) == columns
    assert [ext_mul(w, e) for w in to_exts(rows) for e in scalar.eq_table(point)] == weights
    assert by_rows(weights, columns) == (list(to_exts(rows)), point)


@given(seeds, groups_of_variables, groups_of_variables)
def test_rows_may_be_weighed_at_will(seed: int, high: list[int], low: list[int]) -> None:
    """Random factors for the rows before eq tables within them."""
    rng = np.random.default_rng(seed)
    _, before = vectors_and_part(rng, high, eq=False)
    _, within = vectors_and_part(rng, low, eq=True)
    box = Box((0,) * len(high + low), (*high, *low))
    part = BoxFunctional(0, 0, 0, box, before.scale, vectors=(*before.vectors, *within.vectors))
    found = part.by_rows(sum(low))
    assert found is not None
    assert to_exts(found.weights) == [ext_mul(before.scale, w) for w in products(before, within)]
    if max(high) > 1:
        assert part.by_rows(part.variables) is None


def products(before: BoxFunctional, within: BoxFunctional) -> list[Ext]:
    """The factors of the rows: those of `before`, times what the vectors within a row add up to."""
    weights = [ONE]
    for vector in before.vectors:
        weights = [ext_mul(a, b) for a in weights for b in to_exts(vector.weights)]
    for vector in within.vectors:
        total = functools.reduce(scalar.ext_add, to_exts(vector.weights))
        weights = [ext_mul(a, total) for a in weights]
    return weights


@given(seeds, st.lists(st.integers(2, 3), min_size=1, max_size=2))
def test_other_weights_are_none(seed: int, bits: list[int]) -> None:
    """Random vectors of four weights or more, or an eq table with one weight changed."""
    rng = np.random.default_rng(seed)
    weights, part = vectors_and_part(rng, bits, eq=False)
    assert part.by_rows(part.variables) is None
    assert by_rows(weights, part.variables) is None
    _, part = vectors_and_part(rng, bits, eq=True)
    near = [vector.weights.copy() for vector in part.vectors]
    near[-1][0, int(rng.integers(near[-1].shape[1]))] ^= 1
    changed = BoxFunctional(0, 0, 0, part.box, part.scale, vectors=tuple(map(AxisWeights, near)))
    assert changed.by_rows(part.variables) is None
    assert changed.by_rows(2) is None


@given(seeds)
def test_rows_of_different_points_are_none(seed: int) -> None:
    """Two rows, each an eq table, at points of their own: no column point serves both."""
    rng = np.random.default_rng(seed)
    rows = [scalar.eq_table([random_ext(rng) for _ in range(2)]) for _ in range(2)]
    weights = [w for row in rows for w in row]
    part = BoxFunctional(0, 0, 0, Box((0,), (3,)), ONE, vectors=(AxisWeights(from_exts(weights)),))
    assert part.by_rows(2) is None
    assert by_rows(weights, 2) is None
    assert part.by_rows(0) is not None


def test_no_weights_have_no_point() -> None:
    part = BoxFunctional(0, 0, 0, Box((0,), (3,)), ONE, vectors=(AxisWeights(from_exts([ZERO] * 8)),))
    assert [part.by_rows(columns) for columns in range(1, 4)] == [None] * 3
    assert by_rows([ZERO] * 8, 2) is None


@pytest.mark.parametrize("variables", [0, 1, 3])
def test_a_known_point_needs_no_vectors(variables: int) -> None:
    rng = np.random.default_rng(variables)
    known = tuple(random_ext(rng) for _ in range(variables))
    scale = random_ext(rng)
    part = BoxFunctional(0, 0, 0, Box((0,), (variables,)), scale, known=known)
    for columns in range(variables + 1):
        found = part.by_rows(columns)
        assert found is not None
        assert found.point == known[variables - columns :]
        assert to_exts(found.weights) == [ext_mul(scale, w) for w in scalar.eq_table(known[: variables - columns])]
    for corner in itertools.product((ZERO, ONE), repeat=variables):
        assert part.evaluate(PointEnds(corner)) == ext_mul(scale, scalar.eq(known, corner))


def test_parts_that_share_coordinates_are_evaluated_together_as_they_are_one_by_one() -> None:
    """The oracle sums over all cells of a part, in plain Python."""
    rng = np.random.default_rng(8)
    point = tuple(random_ext(rng) for _ in range(7))
    parts, weights = [], []
    for bits in ([2, 1, 3], [2, 1, 3], [6], [0, 4, 2], [1, 0, 3], [0]):
        expected, part = vectors_and_part(rng, bits, eq=bits == [6])
        parts.append(part)
        weights.append(expected)
    shared = BoxFunctional(0, 0, 0, parts[0].box, ONE, vectors=(*parts[1].vectors[:2], *parts[0].vectors[2:]))
    together = PointEnds(point, [*parts, shared])
    for part, expected in zip(parts, weights, strict=True):
        assert part.evaluate(together) == scalar.mle(expected, point[len(point) - part.variables :])
    assert shared.evaluate(together) == shared.evaluate(PointEnds(point))
