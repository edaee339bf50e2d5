"""Functionals at random, and what they are by their definition: every weight written out in Python integers."""

import itertools
from collections.abc import Sequence

import numpy as np

from zkinfer.protocol.field import scalar
from zkinfer.protocol.field.modular import from_exts, to_exts
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, Ext
from zkinfer.protocol.reduction.functional import Functional
from zkinfer.typing import IntArray

Shape = tuple[int, ...]


def random_ext(rng: np.random.Generator) -> Ext:
    a, b, c = (int(c) for c in rng.integers(0, P, 3))
    return a, b, c


def random_array(rng: np.random.Generator, *sizes: int) -> IntArray:
    """Extension elements, some of them zero."""
    return np.asarray(rng.integers(0, P, (3, *sizes)) * rng.choice([0, 1], sizes, p=[0.2, 0.8]))


def random_groups(rng: np.random.Generator, shape: Shape) -> list[Shape]:
    """The sizes of a random number of consecutive axes each."""
    inner = [i for i in range(1, len(shape)) if rng.random() < 0.6]
    return [shape[a:b] for a, b in itertools.pairwise([0, *inner, len(shape)])] if shape else []


def random_functional(rng: np.random.Generator, shape: Shape) -> Functional:
    """Factors of one axis or more; those of several are products or not."""
    factors = []
    for sizes in random_groups(rng, shape):
        factor = random_array(rng, *sizes)
        if rng.random() < 0.5:
            factor = product_of([random_array(rng, n) for n in sizes])
        factors.append(factor)
    return Functional(shape, tuple(factors), random_ext(rng))


def product_of(vectors: Sequence[IntArray]) -> IntArray:
    """The outer product, entry by entry, in Python integers."""
    sizes = [v.shape[1] for v in vectors]
    exts = [to_exts(v) for v in vectors]
    entries = [product([e[i] for e, i in zip(exts, index, strict=True)]) for index in indices(sizes)]
    return from_exts(entries).reshape(3, *sizes)


def product(values: Sequence[Ext]) -> Ext:
    result = ONE
    for value in values:
        result = scalar.ext_mul(result, value)
    return result


def indices(shape: Sequence[int]) -> list[tuple[int, ...]]:
    return list(itertools.product(*(range(n) for n in shape)))


def entry_at(factor: IntArray, index: tuple[int, ...]) -> Ext:
    """One entry of an extension array."""
    return to_exts(factor[(slice(None), *index)].reshape(3, 1))[0]  # type: ignore[arg-type]


def weights(functional: Functional) -> list[Ext]:
    """Every weight, row-major: the definition."""
    result = []
    for index in indices(functional.shape):
        value, rest = functional.scale, index
        for factor in functional.factors:
            axes = factor.ndim - 1
            value = scalar.ext_mul(value, entry_at(factor, rest[:axes]))
            rest = rest[axes:]
        result.append(value)
    return result


def value_on(all_weights: Sequence[Ext], array: IntArray) -> Ext:
    return scalar.ext_base_dot(all_weights, [int(x) for x in array.ravel()])
