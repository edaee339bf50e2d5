"""Random statements to reduce, and who knows their values."""

import numpy as np
from support.knowing import KnowingParty
from support.native_prover import Case, make_case, small
from support.programs import random_inputs, random_program

from zkinfer.execution.tables import AppliedTable
from zkinfer.native.witness import Witness, trace


def random_case(seed: int, log_columns: int = 2) -> Case:
    """A random program with a weight, on up to three runs, each input and output public or private."""
    rng = np.random.default_rng(seed)
    built = random_program(rng, nodes=int(rng.integers(1, 7)))
    while not built.weights:
        built = random_program(rng, nodes=int(rng.integers(1, 7)))
    program, runs = built.program, int(rng.integers(1, 4))
    private_inputs = tuple(bool(x) for x in rng.integers(0, 2, len(program.inputs)))
    private_outputs = tuple(bool(x) for x in rng.integers(0, 2, len(program.outputs)))
    inputs = random_inputs(rng, program, runs)
    return make_case(program, built.weights, inputs, private_inputs, private_outputs, small(log_columns))


def witness_of(case: Case) -> Witness:
    """What the prover commits to."""
    tables = [AppliedTable(table) for table in case.plan.program.tables]
    return trace(case.plan, case.values, tables, case.sizes.header.log_columns)


def knowing(case: Case, seed: int = 0) -> KnowingParty:
    """A party that knows the case's values and cells."""
    witness = witness_of(case)
    stacks = [case.matrix.data.reshape(-1), *witness.stacks]
    return KnowingParty(seed, case.values, stacks, witness.blocks, witness.counts)
