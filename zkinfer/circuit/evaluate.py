"""The reference evaluator: what a program computes, in exact integers, written to be read.

Backends and verifiers agree with this module bit for bit, and tests hold `execution`, which runs programs, against it.
All of it is numpy on int64, over a leading axis of independent runs.
"""

from collections.abc import Sequence

import numpy as np

from zkinfer.circuit.inputs import check_inputs
from zkinfer.circuit.lookup import lookup
from zkinfer.circuit.program import Delay, Einsum, Lookup, Node, Program, Tensor, View
from zkinfer.circuit.regions import Region, body_of, find_regions, varying
from zkinfer.circuit.steps import apply_to_runs
from zkinfer.typing import IntArray

FLOAT64_EXACT = 1 << 53
"""Below this, float64 holds every integer, so BLAS sums integers exactly."""


def evaluate_einsum(subscripts: str, operands: Sequence[IntArray], magnitude: int) -> IntArray:
    """Exact contraction over a leading axis of runs; an operand whose run axis has size 1 serves every run.

    Args:
        subscripts: as in `Einsum`, without the run axis.
        operands: int64 arrays of shape (runs or 1, ...).
        magnitude: a bound on the sum of the absolute values of the products of any one output.
    """
    left, out = subscripts.split("->")
    letters = left.split(",")
    runs = max(a.shape[0] for a in operands)
    terms, arrays = [], []
    for names, array in zip(letters, operands, strict=True):
        shared = array.shape[0] == 1 and runs > 1
        terms.append(names if shared else "Z" + names)
        arrays.append(array[0] if shared else array)
    equation = f"{','.join(terms)}->Z{out}"
    if magnitude < FLOAT64_EXACT:
        result = np.einsum(equation, *(a.astype(np.float64) for a in arrays), optimize=True)
        return np.asarray(result, dtype=np.int64)
    return np.asarray(np.einsum(equation, *arrays, optimize=True), dtype=np.int64)


def einsum_magnitude(subscripts: str, tensors: Sequence[Tensor]) -> int:
    """A bound on the sum of absolute products of any one output, from the published bounds alone."""
    left, out = subscripts.split("->")
    sizes = {
        c: n for names, t in zip(left.split(","), tensors, strict=True) for c, n in zip(names, t.shape, strict=True)
    }
    bound = 1
    for letter in set(sizes) - set(out):
        bound *= sizes[letter]
    for tensor in tensors:
        bound *= max(tensor.magnitude, 1)
    return bound


def evaluate(program: Program, weights: Sequence[IntArray], inputs: Sequence[IntArray]) -> list[IntArray]:
    """Every value of the program, in order of value number.

    Args:
        program: a validated program.
        weights: contents of its weights, in order; signed integers of any type.
        inputs: integer arrays of shape (runs, *tensor.shape), in order.

    Returns:
        One int64 array a value, of shape (runs, *tensor.shape); weights have one run.

    Raises:
        ShapeError, InputRangeError: see `check_inputs`.
        BoundsError: an element that is looked up is outside its table.
    """
    values = check_inputs(program, inputs)
    # Products and sums of narrow integers would wrap around.
    values += [np.asarray(w, dtype=np.int64)[None] for w in weights]
    regions = {region.values[0]: region for region in find_regions(program)}
    leaves = len(values)
    while len(values) < program.num_values:
        if len(values) in regions:
            values += _evaluate_region(program, regions[len(values)], values)
        else:
            values.append(_evaluate_node(program, program.nodes[len(values) - leaves], values))
    return values


def _evaluate_node(program: Program, node: Node, values: Sequence[IntArray]) -> IntArray:
    """The value of a node that is no Delay, from those before it."""
    match node:
        case Einsum(subscripts=subscripts, operands=operands):
            magnitude = einsum_magnitude(subscripts, [program.tensor(v) for v in operands])
            return evaluate_einsum(subscripts, [values[v] for v in operands], magnitude)
        case View(terms=terms, offset=offset):
            total: IntArray | None = None
            for term in terms:
                moved = apply_to_runs(term.steps, values[term.source])
                scaled = moved * np.int64(term.coefficient) if term.coefficient != 1 else moved
                total = scaled if total is None else total + scaled
            assert total is not None
            return total + np.int64(offset) if offset else total
        case Lookup(source=source, table=table, shift=shift):
            return lookup(values[source], program.tables[table], shift)
        case Delay():
            raise AssertionError("a delay is computed step by step, with its region")


def _evaluate_region(program: Program, region: Region, values: Sequence[IntArray]) -> list[IntArray]:
    """The values of a region, step by step, from those before it."""
    varies = varying(program)
    body = body_of(program, region, varies)
    delays = {value: program.nodes[value - program.num_values + len(program.nodes)] for value in body.delays}
    made: dict[int, list[IntArray]] = {value: [] for value in region.values}
    for t in range(region.steps):
        now: list[IntArray] = []
        for node in delays.values():
            assert isinstance(node, Delay)
            now.append(made[node.source][-1] if t else values[node.initial])
        now += [values[value][:, t : t + 1] for value in body.sliced]
        now += [values[value] for value in (*body.whole, *body.fixed)]
        for step in body.program.nodes:
            now.append(_evaluate_node(body.program, step, now))
        for value in region.values:
            made[value].append(now[body.numbers[value]])
    runs = max(len(value) for value in values)
    return [
        np.concatenate([np.broadcast_to(a, (runs if varies[value] else 1, *a.shape[1:])) for a in steps], axis=1)
        for value, steps in made.items()
    ]
