"""Random statements to prove, their witnesses, and a party that knows all their values."""

from collections.abc import Mapping

import numpy as np
from support.channels import Change, unchanged
from support.linear_claims import Knowing, KnowingChannel, KnowingWitness
from support.native_prover import Case, make_case, small
from support.random_programs import random_inputs, random_program

from zkinfer.execution.tables import AppliedTable
from zkinfer.native.witness import Witness, trace
from zkinfer.protocol.reduction.claims import CommittedClaim
from zkinfer.protocol.reduction.reduce import reduce_statement
from zkinfer.typing import IntArray


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


def knowing(case: Case, seed: int = 0, change: Change = unchanged) -> Knowing:
    """A prover that knows the case's values and cells; `change` may make it lie in a message."""
    witness = witness_of(case)
    stacks = [case.matrix.data.reshape(-1), *witness.stacks]
    answers = KnowingWitness(case.plan, case.values, stacks, witness.blocks, witness.counts)
    return Knowing(KnowingChannel(seed, change), answers)


def reduce_knowing(case: Case, publics: Mapping[int, IntArray] | None, party: Knowing) -> list[CommittedClaim]:
    """The claims on committed vectors that the case's statement is reduced to."""
    return reduce_statement(case.plan, publics, party.channel, party.witness)
