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
    ("mlp", False, False): "9356e761a0eaeaa5172c260ce7919632dd4c748c766db6951a6c38bc4ca2b429",
    ("mlp", True, True): "c75f19ce6b208515b56de87d5501831d02fbce33b965aef7c2ccc545d48e0f85",
    ("everything", False, False): "0d56485ab6e8d9a4170b6538522855b9fcf2d77346c82717d2994ef7826f29da",
    ("everything", True, False): "5c225fecd119a94db55b9279d380b9eb80933a43a31158ca7d8f401e2e558495",
    ("everything", False, True): "49b9fdee7215a1d0e8a8b484f0fcb9080dc2cfd2f54c16c63b350b393a152e34",
}
"""By program, and whether inputs and outputs are hidden."""

SMALL = OpeningParameters(Code(log_columns=5, blinding=169, log_length=10), 169, 10, 0)
STORED_COPY = [
    "88008c55013c0e263a2a966f234c9ea75f5861854e93fe3758329b57598d8cfa",
    "af8e6a47215f4371ef96a18adb92c4d32bc3e4ba9a5c7497948f175f49857b5d",
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
