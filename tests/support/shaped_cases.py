"""Random statements about programs of any shapes, and what completeness says of them."""

import math

import numpy as np
from support.both_verifiers import cheap_boxes, prove_and_verify
from support.native_prover import Case, make_case, prove, small, verify
from support.random_programs import random_inputs, random_program
from support.recurrent_programs import nested, recurrence, two_states

from zkinfer.execution.executor import Executor

MAX_ELEMENTS = 4000
"""Of an input of some axes, each of 1 to 100 places."""

LONG = (1 << 14) + 1, 1 << 17
"""Places of an axis that is alone: sums over it are of more residues than int64 holds."""

REFERENCE_ELEMENTS = 300
"""Values of a program up to which the reference verifier is asked as well: it writes every weight out."""

MAX_STEPS = 50

MAX_NESTED = 6
"""Steps in each of which there is a recurrence."""


def shaped_case(seed: int) -> Case:
    """A statement about a program: of several axes, or one long axis, or a recurrence."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(["axes", "axes", "axes", "long", "steps"])
    runs = int(rng.integers(1, 4))
    if kind == "steps":
        steps = int(rng.integers(1, MAX_STEPS + 1))
        match rng.choice(["one state", "two states", "nested"]):
            case "one state":
                return make_case(*recurrence(steps, runs, int(rng.integers(1, 7))))
            case "two states":
                return make_case(*two_states(steps, runs))
            case _:
                return make_case(*nested(steps, runs, int(rng.integers(1, MAX_NESTED + 1))))
    if kind == "long":
        shape: tuple[int, ...] = (int(rng.integers(LONG[0], LONG[1] + 1)),)
        shapes, nodes, runs = [shape], int(rng.integers(1, 4)), 1
    else:
        shapes, nodes = [_axes(rng) for _ in range(rng.integers(1, 3))], int(rng.integers(1, 7))
    built = random_program(rng, nodes=nodes, shapes=shapes)
    while not built.weights:
        built = random_program(rng, nodes=nodes, shapes=shapes)
    program = built.program
    private_inputs = tuple(bool(x) for x in rng.integers(0, 2, len(program.inputs)))
    private_outputs = tuple(bool(x) for x in rng.integers(0, 2, len(program.outputs)))
    log_columns = 2 if kind == "axes" else 8
    inputs = random_inputs(rng, program, runs)
    return make_case(program, built.weights, inputs, private_inputs, private_outputs, small(log_columns))


def _axes(rng: np.random.Generator) -> tuple[int, ...]:
    while True:
        shape = tuple(int(n) for n in rng.integers(1, 101, int(rng.integers(1, 4))))
        if math.prod(shape) <= MAX_ELEMENTS:
            return shape


def complete(seed: int) -> str:
    """Asserts that executor and evaluator agree, and that an honest proof is accepted; says what was proven."""
    with cheap_boxes([0, 16, 1024][seed % 3]):
        case = shaped_case(seed)
        program = case.plan.program
        inputs = [case.values[i] for i in range(len(program.inputs))]
        for value, array in enumerate(Executor(program, case.weights).run(inputs)):
            assert array is None or np.array_equal(array, case.values[value]), f"seed {seed}: value {value} differs"
        elements = sum(array.size for array in case.values.values())
        if elements <= REFERENCE_ELEMENTS:
            prove_and_verify(case)
        else:
            verify(case, prove(case).proof)
    shapes = ", ".join("x".join(map(str, tensor.shape)) or "1" for tensor in program.inputs)
    return f"{shapes}: {len(program.nodes)} nodes, {elements:,} values"
