"""The bytes of proofs are those of before: made with fixed randomness, they have the digests that are stored here.

Only a change of the protocol changes them. It has to raise `native_proof.protocol.DOMAIN`, and these digests with it.
"""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from support.example_programs import Example, everything, mlp
from support.single_copies import opening_of_one_copy

from zkinfer.execution.executor import Executor
from zkinfer.native.prove import commit_run, prove_run
from zkinfer.native.setup import KeySizes, commit_weights
from zkinfer.native.witness import values_read
from zkinfer.protocol.pcs.params import Code, OpeningParameters
from zkinfer.protocol.pcs.prover import commit
from zkinfer.protocol.randomness import Randomness
from zkinfer.protocol.reduction.layout import weight_matrix
from zkinfer.protocol.reduction.plan import make_plan

STORED = {
    ("mlp", False, False): "0592be06e1e5e90d1687d71968641603f9941ca10eff92d0a32a58018f92d56d",
    ("mlp", True, True): "dbf6ec3a0a3d2076e861b5b67299dc53d5fd38ac66206da8ed045fb651bb130c",
    ("everything", False, False): "33e09b43c47aacb6243bd0f2a7cd89f3f7bc01e43ef9fb086a82853d31c21b21",
    ("everything", True, False): "d0bf519ef4c1b3a342a874ef2a44fccfbee4f8030cf6b267a9a3357a3e9ca1a7",
    ("everything", False, True): "dd1436a322cc8df0f044627bf2cb00b86b930bee7ca5fff0aeb2f85f874fabec",
}
"""By program, and whether inputs and outputs are hidden."""

SMALL = OpeningParameters(Code(log_columns=5, blinding=169, log_length=10), 169, 10, 0)
STORED_COPY = [
    "ca6774cc7fef321476643ee3adb5f51add4c40738c30c8820fb74063e293103c",
    "ad55cbb3779e88925825b13fad20b83be5568fe8fcdde9833201435aef80adb9",
]
"""Of the root over four copies with a fixed seed, and of a proof of one of them."""


def proof_of(example: Example, hides_inputs: bool, hides_outputs: bool) -> bytes:
    """A proof of two runs whose prover's randomness is fixed."""
    program = example.program
    rng = np.random.default_rng(7)
    inputs = [rng.integers(t.lo, t.hi + 1, (2, *t.shape)) for t in program.inputs]
    hidden = (hides_inputs,) * len(program.inputs), (hides_outputs,) * len(program.outputs)
    plan = make_plan(program, 2, *hidden)
    opening = opening_of_one_copy(program, 4)
    executor = Executor(program, example.weights, keep=values_read(program))
    values = {number: array for number, array in enumerate(executor.run(inputs)) if array is not None}
    values |= dict(enumerate(inputs))
    data = weight_matrix(program, example.weights, opening.code.log_columns)
    matrix = commit(opening.code, data, 0, Randomness(bytes([1] * 32)))
    run = commit_run(plan, values, executor.tables, opening, Randomness(bytes([2] * 32)))
    return prove_run(run, b"statement".ljust(32, b"."), matrix, opening, Randomness(bytes([3] * 32)))


def test_a_proof_of_a_copy_and_its_commitment_are_those_of_before(tmp_path: Path) -> None:
    """Which keys that are made again with their seed rely on."""
    example = mlp()
    matrix = commit_weights(example.program, example.weights, KeySizes(SMALL, 3), bytes(32), tmp_path / "matrix")
    opened, link = matrix.take(), matrix.commitment.link()
    plan = make_plan(example.program, 1, (False,), (False,))
    executor = Executor(example.program, example.weights, keep=values_read(example.program))
    values = {number: array for number, array in enumerate(executor.run([example.x[None]])) if array is not None}
    values |= {0: example.x[None]}
    run = commit_run(plan, values, executor.tables, SMALL, Randomness(bytes([2] * 32)), log_copies=2)
    randomness = Randomness(bytes([3] * 32))
    proof = prove_run(run, b"s" * 32, opened.matrix, SMALL, randomness, opened.place, link)
    found = [hashlib.sha256(part).hexdigest() for part in (matrix.commitment.root, proof)]
    assert found == STORED_COPY


@pytest.mark.parametrize(("name", "hides_inputs", "hides_outputs"), STORED)
def test_proof_bytes_are_those_of_before(name: str, hides_inputs: bool, hides_outputs: bool) -> None:
    example = {"mlp": mlp, "everything": everything}[name]()
    found = hashlib.sha256(proof_of(example, hides_inputs, hides_outputs)).hexdigest()
    assert found == STORED[name, hides_inputs, hides_outputs]
