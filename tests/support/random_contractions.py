"""Einsums with random operands of every kind, and random functionals of their results."""

import itertools
from dataclasses import dataclass

import numpy as np

from zkinfer.circuit.evaluate import evaluate_einsum
from zkinfer.circuit.program import Einsum, Program, Tensor
from zkinfer.protocol.field import modular
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import Ext
from zkinfer.protocol.reduction.functional import Functional
from zkinfer.protocol.reduction.plan import Plan, make_plan
from zkinfer.typing import IntArray

SUBSCRIPTS = [
    "a,ba->b",
    "a,a->",
    "a,b->ab",
    "ab,ab->ab",
    "ab,ab->",
    "ab,bc->ac",
    "ab,cb->ca",
    "ab,b->a",
    "ab,a->b",
    "abc,dbc->ad",
    "abc,acd->abd",
    "abc,b->ca",
    "ab,cd->dbca",
    ",ab->ba",
]
"""Letters of one operand alone, of both, kept and summed; outer products; results in another order."""

OPERANDS = ["input and weight", "weight and input", "two inputs", "an input twice", "two weights"]
"""Which operand has an axis of runs."""


@dataclass(frozen=True)
class EinsumCase:
    """An Einsum, its operands and its result.

    Attributes:
        values: of the program, by number.
        node: the Einsum.
        result: shape (runs or 1, ...).
    """

    plan: Plan
    values: dict[int, IntArray]
    node: Einsum
    result: IntArray


def einsum_case(
    subscripts: str, operands: str, runs: int, rng: np.random.Generator, magnitude: int = 1 << 10
) -> EinsumCase:
    """An Einsum over axes of 1 to 4 elements, most of them no powers of two."""
    names, _, out = subscripts.partition("->")
    letters = names.split(",")
    if operands == "an input twice":
        letters = [letters[0], letters[0]]
        out = "".join(c for c in out if c in letters[0])
        subscripts = f"{letters[0]},{letters[0]}->{out}"
    sizes = {c: int(rng.choice([1, 2, 3, 3, 4])) for c in sorted(set("".join(letters)))}
    shapes = [tuple(sizes[c] for c in own) for own in letters]
    kinds = {
        "input and weight": "xw",
        "weight and input": "wx",
        "two inputs": "xx",
        "an input twice": "x",
        "two weights": "ww",
    }[operands]
    # The plan is of programs that fit the field; what computes with the values serves larger ones too.
    bound = min(magnitude, 1 << 20)
    tensors = [Tensor(f"t{i}", shape, 0, -bound, bound) for i, shape in enumerate(shapes)]
    inputs = [t for t, kind in zip(tensors, kinds, strict=False) if kind == "x"]
    weights = [t for t, kind in zip(tensors, kinds, strict=False) if kind == "w"]
    order = [*inputs, *weights]
    numbers = [order.index(t) for t in tensors[: len(kinds)]]
    node = Einsum(
        Tensor("result", tuple(sizes[c] for c in out), 0, -(1 << 40), 1 << 40), subscripts, (numbers[0], numbers[-1])
    )
    unused = () if inputs else (Tensor("x", (1,), 0, 0, 1),)
    if unused:
        node = Einsum(node.out, subscripts, (numbers[0] + 1, numbers[-1] + 1))
    program = Program(1, (*inputs, *unused), tuple(weights), (), (node,), (len(order) + len(unused),))
    values = {
        i: rng.integers(t.lo, t.hi + 1, (runs if i < len(program.inputs) else 1, *t.shape)) * (magnitude // bound)
        for i, t in enumerate((*program.inputs, *program.weights))
    }
    result = evaluate_einsum(subscripts, [values[v] for v in node.operands], 1 << 60)
    return EinsumCase(make_plan(program, runs), values, node, result)


def random_ext(rng: np.random.Generator) -> Ext:
    """A uniform element."""
    c0, c1, c2 = (int(c) for c in rng.integers(0, P, 3))
    return c0, c1, c2


def random_functional(rng: np.random.Generator, shape: tuple[int, ...]) -> Functional:
    """Factors over one axis or more, with zeros here and there; those of several axes are products or not."""
    inner = [i for i in range(1, len(shape)) if rng.random() < 0.6]
    factors = []
    for start, end in itertools.pairwise([0, *inner, len(shape)]):
        sizes = shape[start:end]
        factor = rng.integers(0, P, (3, *sizes)) * rng.choice([0, 1], sizes, p=[0.1, 0.9])
        if len(sizes) > 1 and rng.random() < 0.5:
            head = rng.integers(0, P, (3, sizes[0], 1))
            tail = rng.integers(0, P, (3, 1, factor[0, 0].size))
            shaped = (3, sizes[0], factor[0, 0].size)
            pair = (np.broadcast_to(head, shaped).reshape(3, -1), np.broadcast_to(tail, shaped).reshape(3, -1))
            factor = modular.ext_mul(*pair).reshape(3, *sizes)
        factors.append(factor)
    return Functional(shape, tuple(factors), random_ext(rng))
