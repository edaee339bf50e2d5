"""Random small programs of every kind of node, and inputs for them."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from zkinfer.circuit.bounds import lookup_indices
from zkinfer.circuit.program import Program
from zkinfer.circuit.steps import Expand, Pad, Reshape, Slice, Step, Take, Transpose, Windows
from zkinfer.circuit.table import Table
from zkinfer.compiler.lowering.builder import Builder, Built, ProgramValue, Summand
from zkinfer.typing import IntArray

MAX_ENTRIES = 200


def random_program(
    rng: np.random.Generator, *, nodes: int = 6, shapes: Sequence[tuple[int, ...]] | None = None
) -> Built:
    """A program that uses einsums, views and lookups in random order.

    Args:
        rng: decides everything.
        nodes: how many.
        shapes: of the inputs; by default one or two, of two axes.
    """
    builder = Builder()
    shapes = shapes or [(2, int(rng.integers(1, 5))) for _ in range(rng.integers(1, 3))]
    values = [builder.input(f"x{i}", shape, 2, -int(rng.integers(0, 9)), 8) for i, shape in enumerate(shapes)]
    for i in range(nodes):
        source = values[int(rng.integers(max(0, len(values) - 3), len(values)))]
        if source.bits > 7 or rng.random() < 0.3:
            values.append(_random_lookup(builder, rng, source, f"lookup{i}"))
        elif rng.random() < 0.5:
            values.append(_random_einsum(builder, rng, source, f"einsum{i}"))
        else:
            values.append(_random_view(builder, rng, source, f"view{i}"))
    return builder.finish([values[-1], values[int(rng.integers(len(shapes), len(values)))]])


def random_inputs(rng: np.random.Generator, program: Program, runs: int = 1) -> list[IntArray]:
    """Inputs within their bounds, the extremes among them."""
    arrays = []
    for tensor in program.inputs:
        array = rng.integers(tensor.lo, tensor.hi + 1, (runs, *tensor.shape))
        extreme = rng.random(array.shape) < 0.3
        arrays.append(np.where(extreme, rng.choice([tensor.lo, tensor.hi], array.shape), array))
    return arrays


def _random_lookup(builder: Builder, rng: np.random.Generator, source: ProgramValue, label: str) -> ProgramValue:
    shift = 0
    bounds = source.tensor.lo, source.tensor.hi
    while (span := lookup_indices(bounds, shift))[1] - span[0] >= MAX_ENTRIES:
        shift += 1
    shift += int(rng.integers(0, 2))
    lo, hi = lookup_indices(bounds, shift)
    values = tuple(int(v) for v in rng.integers(-9, 10, hi - lo + 1))
    return builder.lookup(label, source, Table(label, lo, values), shift, 2)


def _random_einsum(builder: Builder, rng: np.random.Generator, source: ProgramValue, label: str) -> ProgramValue:
    letters = "abcdefgh"[: len(source.shape)]
    choice = rng.integers(3)
    if choice == 0:
        weight = builder.weight(f"{label}.w", rng.integers(-5, 6, (int(rng.integers(1, 4)), source.shape[-1])), 1)
        return builder.einsum(label, f"{letters},z{letters[-1]}->{letters[:-1]}z", source, weight)
    if choice == 1:
        return builder.einsum(label, f"{letters},{letters}->{letters}", source, source)
    return builder.einsum(label, f"{letters}->{letters[0]}", source)


def _random_view(builder: Builder, rng: np.random.Generator, source: ProgramValue, label: str) -> ProgramValue:
    shape, axis = source.shape, int(rng.integers(len(source.shape)))
    n, rank = shape[axis], len(shape)
    steps: tuple[tuple[Step, ...], ...] = (
        (),
        (Transpose(tuple(int(i) for i in rng.permutation(rank))),),
        (Reshape((int(np.prod(shape)), 1)), Expand((int(np.prod(shape)), 2))),
        (Pad((1,) * rank, (0,) * rank),),
        (Windows(axis, min(2, n), 1, 1),) if rank < 4 else (),
        (Slice(axis, n - 1, n, -1),),
        (Take(axis, tuple(int(i) for i in rng.integers(0, n, 3))),),
    )
    chosen = steps[int(rng.integers(len(steps)))]
    coefficient = Fraction(int(rng.choice([-3, -1, 1, 2])))
    summands = [Summand(source, coefficient, chosen), Summand(source, Fraction(1), chosen)]
    return builder.combine(label, summands[: 1 + int(coefficient != -1)], offset=Fraction(int(rng.integers(-3, 4))))
