"""The bytes of proofs are those of before: made with fixed randomness, they have the digests that are stored here.

Only a change of the protocol changes them. It has to raise `native_proof.protocol.DOMAIN`, and these digests with it.
"""

import hashlib

import numpy as np
import pytest
from support.example_programs import Example, everything, mlp

from zkinfer.execution.executor import Executor
from zkinfer.native.prove import commit_run, prove_run
from zkinfer.native.setup import opening_for
from zkinfer.native.witness import values_read
from zkinfer.protocol.pcs.prover import commit
from zkinfer.protocol.randomness import Randomness
from zkinfer.protocol.reduction.layout import weight_matrix
from zkinfer.protocol.reduction.plan import make_plan

STORED = {
    ("mlp", False, False): "c0bda242d12430c292c1f2b6707d269689951eebfb7cb5b9eecd44c7f362981f",
    ("mlp", True, True): "ecd5c6aec4cabd1f4b29a0471e13ed186c04ed4d3bb91bc2a26ee334037fe02b",
    ("everything", False, False): "d83c19b9d8574ba22b755d7c6a5e6112fb2acaf58f0715824ec31e55cf9e9a6c",
    ("everything", True, False): "e15c8943982020fad303971447558d3513ab1f240eb01bdb902c4a5dd1416835",
    ("everything", False, True): "1fc631f6b4b15918a1a6f9f6a9d12cdc8fd94feea4d439b9927f9b9a6a7359a0",
}
"""By program, and whether inputs and outputs are hidden."""


def proof_of(example: Example, hides_inputs: bool, hides_outputs: bool) -> bytes:
    """A proof of two runs whose prover's randomness is fixed."""
    program = example.program
    rng = np.random.default_rng(7)
    inputs = [rng.integers(t.lo, t.hi + 1, (2, *t.shape)) for t in program.inputs]
    hidden = (hides_inputs,) * len(program.inputs), (hides_outputs,) * len(program.outputs)
    plan = make_plan(program, 2, *hidden)
    opening = opening_for(program, 4)
    executor = Executor(program, example.weights, keep=values_read(program))
    values = {number: array for number, array in enumerate(executor.run(inputs)) if array is not None}
    values |= dict(enumerate(inputs))
    data = weight_matrix(program, example.weights, opening.code.log_columns)
    matrix = commit(opening.code, data, 0, Randomness(bytes([1] * 32)))
    run = commit_run(plan, values, executor.tables, opening, Randomness(bytes([2] * 32)))
    return prove_run(run, b"statement".ljust(32, b"."), matrix, opening, Randomness(bytes([3] * 32)))


@pytest.mark.parametrize(("name", "hides_inputs", "hides_outputs"), STORED)
def test_proof_bytes_are_those_of_before(name: str, hides_inputs: bool, hides_outputs: bool) -> None:
    example = {"mlp": mlp, "everything": everything}[name]()
    found = hashlib.sha256(proof_of(example, hides_inputs, hides_outputs)).hexdigest()
    assert found == STORED[name, hides_inputs, hides_outputs]
