"""Re-indexing steps with random parameters, and what they do by their definition."""

import itertools
import math

import msgspec
import numpy as np

from zkinfer.circuit.steps import Shape, Step
from zkinfer.errors import ShapeError
from zkinfer.typing import Array

MAX_ELEMENTS = 300
"""Of the results of random steps, and of each of their axes."""

FAR = (-(2**40), 2**63 - 1)
"""Parameters that only a hostile program has. Some have no effect: the stride of a single element is one."""

_TRIES = 200


def random_step(rng: np.random.Generator, kind: type[Step], shape: Shape) -> Step | None:
    """A step of this class that fits the shape and gives at most `MAX_ELEMENTS`, or None if none is found.

    Parameters are drawn by the types of the fields, whatever they mean, until the step accepts them: classes that are
    not written yet are covered too. Half of the time the largest result of several is taken, because steps that give
    an element or none are the most frequent.
    """
    pool = [*range(-3, 5), *shape, *shape, math.prod(shape), *FAR]
    wanted = int(rng.choice([1, 8]))
    found: dict[Step, int] = {}
    for _ in range(_TRIES):
        step = _anything(rng, kind, pool, len(shape))
        try:
            after = step.shape(shape)
        except ShapeError:
            continue
        if max(math.prod(after), *after, 0) <= MAX_ELEMENTS and len(after) <= 8:
            found[step] = math.prod(after)
            if len(found) == wanted:
                break
    return max(found, key=lambda step: found[step], default=None)


def _anything(rng: np.random.Generator, kind: type[Step], pool: list[int], rank: int) -> Step:
    """A step with parameters from the pool, or with small ones; they need not make sense."""
    if rng.random() < 0.5:
        pool = list(range(max(rank, 3)))

    def some(count: int) -> tuple[int, ...]:
        return tuple(pool[i] for i in rng.integers(0, len(pool), count).tolist())

    parameters: list[int | tuple[int, ...]] = []
    for field in msgspec.structs.fields(kind):
        if field.type is int:
            parameters.append(some(1)[0])
        elif field.type == tuple[int, ...]:
            parameters.append(some(rank if rng.random() < 0.5 else int(rng.integers(0, 5))))
        else:
            raise AssertionError(f"{kind.__name__}.{field.name}: say here how to draw a parameter of type {field.type}")
    return kind(*parameters)  # type: ignore[arg-type]


def by_definition(step: Step, array: Array) -> Array:
    """The step on one tensor, element by element as `source_index` says."""
    after = step.shape(array.shape)
    result = np.zeros(after, dtype=array.dtype)
    for index in itertools.product(*(range(n) for n in after)):
        source = step.source_index(index, array.shape)
        if source is not None:
            assert len(source) == array.ndim
            assert all(0 <= i < n for i, n in zip(source, array.shape, strict=True))
            result[index] = array[source]
    return result
