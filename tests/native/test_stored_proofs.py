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
    ("mlp", False, False): "ef583a1114a68f3c98e9a98b97feb909ac2bb460ecab064d3d3249588d52433a",
    ("mlp", True, True): "cc53e6e92fae901eca5ea04c06a921d13453b60f0a3a7f99b6b06dc6a12060a7",
    ("everything", False, False): "5605e5235ed8bebecf730f3d8e6a055820f7a1217d2a6753ad0fb5abbbced07f",
    ("everything", True, False): "55d9da45eaca1d64a02ff5d7f5218ebe42ae17b0aa43d95b2f27562abd2c3b00",
    ("everything", False, True): "3cdb2c08b5861bddf3ae125f60b666a147dff52f3767ad02ae02c78338bb5af1",
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
