"""Small recurrences: programs with a region, for tests of everything that reads programs."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from zkinfer.circuit.evaluate import evaluate
from zkinfer.circuit.program import Delay, Einsum, Lookup, Node, Program, Tensor, Term, View
from zkinfer.circuit.regions import unroll
from zkinfer.circuit.steps import Expand, Reshape, Slice, Transpose
from zkinfer.circuit.table import Table
from zkinfer.circuit.validate import validate
from zkinfer.execution.executor import Executor
from zkinfer.typing import IntArray

X, START, W, R, PRODUCT, PAST, RECURRENT, SUM, STATE, LAST = range(10)
"""The values of `recurrence`: state = clamp(W x + R past), past being the state of the step before."""


def _clamp(most: int) -> Table:
    """From -most..most to -7..7."""
    return Table("clamp", -most, tuple(min(max(i, -7), 7) for i in range(-most, most + 1)))


CLAMP = _clamp(60)


def check_all_agree(program: Program, weights: Sequence[IntArray], integers: Sequence[IntArray]) -> None:
    """The evaluator, the executor, and the program without regions compute the same outputs from some inputs."""
    expected = evaluate(program, weights, integers)
    executed = Executor(program, weights, keep=program.outputs).run(integers)
    unrolled = unroll(program)
    validate(unrolled)
    copies = evaluate(unrolled, weights, integers)
    for value, copied in zip(program.outputs, unrolled.outputs, strict=True):
        np.testing.assert_array_equal(executed[value], expected[value])
        np.testing.assert_array_equal(copies[copied], expected[value])


class Recurrent(NamedTuple):
    """A program and what it is run on."""

    program: Program
    weights: list[IntArray]
    inputs: list[IntArray]


def recurrence(steps: int = 5, runs: int = 2, hidden: int = 3, batch: int = 2) -> Recurrent:
    """A state of shape (steps, batch, hidden), which begins with an input; all states are returned, and the last."""
    features = 2
    shape = (steps, batch, hidden)
    most = max(200, 81 + 35 * hidden)
    clamp = _clamp(max(60, most + 2 >> 2))
    program = Program(
        1,
        (Tensor("x", (steps, batch, features), 0, -8, 8), Tensor("start", (1, batch, hidden), 0, -7, 7)),
        (Tensor("W", (hidden, features), 0, -5, 5), Tensor("R", (hidden, hidden), 0, -5, 5)),
        (clamp,),
        (
            Einsum(Tensor("product", shape, 0, -80, 80), "tbi,hi->tbh", (X, W)),
            Delay(Tensor("past", shape, 0, -7, 7), START, STATE),
            Einsum(Tensor("recurrent", shape, 0, -35 * hidden, 35 * hidden), "tbi,hi->tbh", (PAST, R)),
            View(Tensor("sum", shape, 0, -most, most), (Term(PRODUCT, 1, ()), Term(RECURRENT, 1, ())), 1),
            Lookup(Tensor("state", shape, 0, -7, 7), SUM, 0, 2),
            View(
                Tensor("last", (batch, hidden), 0, -7, 7),
                (Term(STATE, 1, (Slice(0, steps - 1, 1, 1), Reshape((batch, hidden)))),),
            ),
        ),
        (STATE, LAST),
    )
    rng = np.random.default_rng(steps)
    weights = [rng.integers(-5, 6, (hidden, features)), rng.integers(-5, 6, (hidden, hidden))]
    inputs = [rng.integers(-8, 9, (runs, steps, batch, features)), rng.integers(-7, 8, (runs, 1, batch, hidden))]
    return Recurrent(program, weights, inputs)


def two_states(steps: int = 6, runs: int = 2) -> Recurrent:
    """Two states that read each other, one of which begins with a weight, through steps that move other axes."""
    shape, turned = (steps, 2, 3), (steps, 3, 2)
    swap = (Transpose((0, 2, 1)),)
    program = Program(
        1,
        (Tensor("x", shape, 0, -8, 8),),
        (Tensor("start", (1, 3, 2), 0, -7, 7), Tensor("mix", (3, 2, 2), 0, -2, 2)),
        (CLAMP,),
        (
            View(Tensor("zero", (1, 2, 3), 0, 0, 0), (Term(1, 0, swap),)),
            Delay(Tensor("a", shape, 0, -7, 7), 3, 8),
            Delay(Tensor("b", turned, 0, -7, 7), 1, 10),
            Einsum(Tensor("mixed", turned, 0, -28, 28), "tji,jik->tjk", (5, 2)),
            View(Tensor("sum", shape, 0, -80, 80), (Term(0, 1, ()), Term(4, 2, ()), Term(6, 1, swap))),
            Lookup(Tensor("next a", shape, 0, -7, 7), 7, 0, 1),
            View(
                Tensor("halves", turned, 0, -21, 21),
                (
                    Term(5, -1, ()),
                    Term(8, 1, swap),
                    Term(4, 1, (Slice(2, 1, 1, 1), Reshape((steps, 1, 2)), Expand((steps, 3, 2)))),
                ),
            ),
            Lookup(Tensor("next b", turned, 0, -7, 7), 9, 0, 1),
            Einsum(Tensor("seen", (2, 3), 0, -49 * steps, 49 * steps), "tij,tji->ij", (8, 10)),
        ),
        (11, 8, 4),
    )
    rng = np.random.default_rng(steps)
    weights = [rng.integers(-7, 8, (1, 3, 2)), rng.integers(-2, 3, (3, 2, 2))]
    return Recurrent(program, weights, [rng.integers(-8, 9, (runs, *shape))])


def nested(inner: int = 4, runs: int = 2, outer: int = 3) -> Recurrent:
    """A recurrence in every step of another, which is written out: each begins with the last state of the one before.

    That is how a recurrence within a recurrence is stated, because regions do not contain each other.
    """
    batch, features, hidden = 1, 2, 3
    shape = (inner, batch, hidden)
    nodes = list[Node]()
    initial = START
    for step in range(outer):
        element = R + 1 + len(nodes)
        product, past, recurrent, total, state, last = range(element + 1, element + 7)
        taken = (Slice(0, step, 1, 1), Reshape((inner, batch, features)))
        nodes += [
            View(Tensor(f"element {step}", (inner, batch, features), 0, -8, 8), (Term(X, 1, taken),)),
            Einsum(Tensor(f"product {step}", shape, 0, -80, 80), "tbi,hi->tbh", (element, W)),
            Delay(Tensor(f"past {step}", shape, 0, -7, 7), initial, state),
            Einsum(Tensor(f"recurrent {step}", shape, 0, -35 * hidden, 35 * hidden), "tbi,hi->tbh", (past, R)),
            View(Tensor(f"sum {step}", shape, 0, -200, 200), (Term(product, 1, ()), Term(recurrent, 1, ())), 1),
            Lookup(Tensor(f"state {step}", shape, 0, -7, 7), total, 0, 2),
            View(Tensor(f"last {step}", (1, batch, hidden), 0, -7, 7), (Term(state, 1, (Slice(0, inner - 1, 1, 1),)),)),
        ]
        initial = last
    program = Program(
        1,
        (Tensor("x", (outer, inner, batch, features), 0, -8, 8), Tensor("start", (1, batch, hidden), 0, -7, 7)),
        (Tensor("W", (hidden, features), 0, -5, 5), Tensor("R", (hidden, hidden), 0, -5, 5)),
        (CLAMP,),
        tuple(nodes),
        (initial,),
    )
    rng = np.random.default_rng(inner)
    weights = [rng.integers(-5, 6, (hidden, features)), rng.integers(-5, 6, (hidden, hidden))]
    inputs = [
        rng.integers(-8, 9, (runs, outer, inner, batch, features)),
        rng.integers(-7, 8, (runs, 1, batch, hidden)),
    ]
    return Recurrent(program, weights, inputs)
