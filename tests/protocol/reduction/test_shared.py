"""What equal nodes share, against the same functions called anew."""

import tracemalloc
import weakref
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.functionals import weights
from support.random_contractions import random_ext, random_functional

from zkinfer.circuit.steps import Slice, Step, Transpose
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, ZERO, Ext, ext_mul
from zkinfer.protocol.reduction import shared as under_test
from zkinfer.protocol.reduction.functional import Functional, merged, of_vectors, pull, scaled
from zkinfer.protocol.reduction.shared import Shared
from zkinfer.typing import IntArray

seeds = st.integers(0, 2**32 - 1)
STEPS: tuple[Step, ...] = (Transpose((1, 0)), Slice(0, 1, 3, 1))


def copied(functional: Functional, scale: Ext) -> Functional:
    """The same factors in other arrays."""
    return Functional(functional.shape, tuple(factor.copy() for factor in functional.factors), scale)


def vector(rng: np.random.Generator, size: int) -> IntArray:
    return rng.integers(0, P, (3, size))


class Counted:
    """Pulls, and counts how often."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, functional: Functional, steps: Sequence[Step], shape: tuple[int, ...]) -> Functional:
        self.calls += 1
        return pull(functional, steps, shape)


@given(seeds)
def test_what_differs_by_a_scale_is_pulled_once(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shared, counted = Shared(), Counted()
    first = random_functional(rng, (2, 3, 4))
    alike = [first, *(copied(first, random_ext(rng)) for _ in range(3))]
    for functional in alike:
        found = shared.linear(counted, functional, STEPS, (2, 4, 4))
        assert weights(found) == weights(pull(functional, STEPS, (2, 4, 4)))
    assert counted.calls == 1


@given(seeds, st.integers(0, 5))
def test_sums_are_those_of_merged(seed: int, count: int) -> None:
    """Also of terms that cancel, of scale zero, and in another proportion than before."""
    rng = np.random.default_rng(seed)
    shared = Shared()
    pool = [of_vectors([vector(rng, 2), vector(rng, 3)], random_ext(rng)) for _ in range(3)]
    for _ in range(3):
        chosen = [copied(f, f.scale) for f in (pool[i] for i in rng.integers(0, 3, count))]
        coefficients = [[ONE, (P - 1, 0, 0), ZERO, random_ext(rng)][i] for i in rng.integers(0, 4, count)]
        terms = list(zip(coefficients, chosen, strict=True))
        times = random_ext(rng)
        for scale in (ONE, times):
            expected = merged([(ext_mul(scale, c), f) for c, f in terms])
            found = shared.merged([(c, scaled(f, scale)) for c, f in terms])
            assert list(map(weights, found)) == list(map(weights, expected))


def test_sums_in_one_proportion_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    a, b = (of_vectors([vector(rng, 4), vector(rng, 2)]) for _ in range(2))
    made = 0

    def counted(terms: Sequence[tuple[Ext, Functional]]) -> list[Functional]:
        nonlocal made
        made += 1
        return merged(terms)

    monkeypatch.setattr(under_test, "merged", counted)
    shared, ratio = Shared(), random_ext(rng)
    for scale in (ONE, random_ext(rng), random_ext(rng)):
        shared.merged([(scale, a), (ext_mul(ratio, scale), b)])
    assert made == 1
    shared.merged([(ONE, a), (random_ext(rng), b)])
    assert made == 2


@pytest.mark.parametrize("shape", [(2, 3), (3, 2), (6,)], ids=str)
def test_one_form_means_one_shape_and_the_same_entries(shape: tuple[int, ...]) -> None:
    """Arrays of the same bytes and another shape, or of other bytes in one place, are other weights."""
    shared = Shared()
    entries = np.arange(18, dtype=np.int64).reshape(3, 6)
    reference = shared.form(Functional((2, 3), (entries.reshape(3, 2, 3),)))
    form = shared.form(Functional(shape, (entries.reshape(3, *shape).copy(),), (5, 6, 7)))
    assert (form is reference) == (shape == (2, 3))
    assert form.scale == ONE
    changed = entries.copy()
    changed[2, 5] += 1
    assert shared.form(Functional(shape, (changed.reshape(3, *shape),))) is not form


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of many different nodes cannot make either side hold the weights of all of them."""
    monkeypatch.setattr(under_test, "MAX_ENTRIES", 1000)
    rng = np.random.default_rng(0)
    shared = Shared()
    alive: weakref.WeakSet[Functional] = weakref.WeakSet()
    for _ in range(20):
        functional = of_vectors([vector(rng, 1), vector(rng, 100)])
        found = shared.linear(pull, functional, (), (1, 100))
        assert weights(found) == weights(functional)
        alive.add(shared.form(functional))
        del functional, found
        assert sum(form.factors[1].shape[1] for form in alive) <= 1000


def test_many_short_vectors_are_bounded_by_the_memory_that_they_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two entries each, an object takes far more than its numbers."""
    monkeypatch.setattr(under_test, "MAX_ENTRIES", 1 << 14)
    rng, shared = np.random.default_rng(0), Shared()
    tracemalloc.start()
    for _ in range(1000):
        pair = [of_vectors([vector(rng, 1), vector(rng, 2)]) for _ in range(2)]
        shared.merged([(ONE, shared.linear(pull, functional, (), (1, 2))) for functional in pair])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5 * 24 * under_test.MAX_ENTRIES


@pytest.mark.parametrize("size", [999, 1001])
def test_what_is_too_large_is_not_kept_at_all(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "MAX_ENTRIES", 1000)
    shared = Shared()
    functional = of_vectors([vector(np.random.default_rng(0), size)])
    kept = weakref.ref(shared.form(functional))
    assert weights(shared.linear(pull, functional, (), (size,))) == weights(functional)
    assert (kept() is not None) == (size <= 1000)


def test_long_factors_are_alike_only_as_one_array(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "MAX_HASHED", 4)
    shared = Shared()
    long, short = (of_vectors([vector(np.random.default_rng(0), n)]) for n in (5, 4))
    assert shared.form(scaled(long, (1, 2, 3))) is shared.form(long)
    assert shared.form(copied(long, ONE)) is not shared.form(long)
    assert shared.form(copied(short, ONE)) is shared.form(short)
