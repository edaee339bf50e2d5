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
    ("mlp", False, False): "24a41a924b8494c9761869182d0d6959ffcf094b0cdb9d7f73a2615b8677db6b",
    ("mlp", True, True): "c32b360f22b5676767e83fdfa718a11e8c6d7a7e897a41fa509d102dac9bc19b",
    ("everything", False, False): "e7484777902312a041fd599b21922c970fe61fe002ec91267bd851b71faeee15",
    ("everything", True, False): "e4700b69f6375c130d5d437cb96c2f84be7c4640e219119a0d78a78bdbe8ccbb",
    ("everything", False, True): "cb1459acdec00a0959be7de546ef5eb383932f261a507930431ac5c5cb127b35",
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
