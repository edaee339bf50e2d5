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
    ("mlp", False, False): "df8263ca86d228ee0169411a1b5d1a487dbdbb651d7e3d89ca6a5bff04e0ec54",
    ("mlp", True, True): "550952b3a28fad1ccdad053237871fa4b5db9dd39f92a9f2acc0fa58deeb4f25",
    ("everything", False, False): "b639380c07c63049dcec71563cf8e4ea922783106853d427ba09a03306827f87",
    ("everything", True, False): "5ed4119ab38a843d3767e3b081975ec96054c630c3d6e1aabc6da1e2dd4dc817",
    ("everything", False, True): "65a7e8a4247f0faad622d13575ebfb722b3058192b2d5cf86d29215678f47259",
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
