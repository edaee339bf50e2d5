"""The golden vectors, and how to bend them.

A bent commitment is re-encoded with a valid checksum, and a proof is re-addressed to it, so that a test reaches the
check that it is about and not the first one on the way.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from support.claims import public
from support.paths import EZKL_VECTORS

from zkinfer.circuit.program import Program
from zkinfer.ezkl.instances import public_instances, statement_digest
from zkinfer.ezkl.verifier.bn254 import SCALAR_MODULUS
from zkinfer.ezkl.verifying_key import EzklVerifyingKey
from zkinfer.files.commitment import Commitment
from zkinfer.files.proof import OutputTensor, Proof
from zkinfer.verifier import VerifiedInference, verify
from zkinfer.verifier.claims import claimed_outputs, stated_inputs

DATA = EZKL_VECTORS


@dataclass(frozen=True)
class Vector:
    """A commitment, a proof that it accepts, and the statement of that proof."""

    name: str
    commitment: Commitment
    proof: Proof
    inputs: list[npt.NDArray[np.float64]]
    context: bytes
    fingerprint: str

    @property
    def key(self) -> EzklVerifyingKey:
        """The published verifying key."""
        return self.commitment.key_as(EzklVerifyingKey)

    def verify(self, **changes: Any) -> VerifiedInference:
        """`verify` on the vector's own arguments, but for the changes."""
        own = {"proof": self.proof, "commitment": self.commitment, "inputs": self.inputs, "context": self.context}
        return verify(**{**own, **changes})

    def bend_proof(self, data: bytes | None = None, commitment: Commitment | None = None, **changes: Any) -> Proof:
        """The proof with other bytes, other outputs, or addressed to another commitment."""
        return Proof(
            changes.get("backend", self.proof.backend),
            (commitment or self.commitment).digest,
            changes.get("outputs", self.proof.output_tensors),
            self.proof.data if data is None else data,
            changes.get("private_inputs", self.proof.private_inputs),
        )

    def bend_values(self, change: Callable[[npt.NDArray[np.int64]], npt.NDArray[np.int64]]) -> Proof:
        """The proof with `change` applied to the integers of its first claimed output."""
        first, *rest = self.proof.output_tensors
        bent = OutputTensor.of(change(public(first).integers()), public(first).frac_bits)
        return self.bend_proof(outputs=(bent, *rest))

    def bend_output(self, **changes: Any) -> Proof:
        """The proof with its first claimed output changed in some field."""
        first, *rest = self.proof.output_tensors
        return self.bend_proof(outputs=(msgspec.structs.replace(first, **changes), *rest))

    def bend_key(self, **changes: Any) -> Commitment:
        """The commitment with other fields in its key."""
        return Commitment(self.commitment.program, msgspec.structs.replace(self.key, **changes))

    def bend_program(self, program: Program) -> Commitment:
        """The commitment with another program."""
        return Commitment(program, self.commitment.key)

    def bend_settings(self, change: Callable[[dict[str, Any]], None]) -> Commitment:
        """The commitment with settings edited in place by `change`."""
        settings = json.loads(self.key.settings)
        change(settings)
        return self.bend_key(settings=json.dumps(settings).encode())

    def verify_with(self, commitment: Commitment, **changes: Any) -> VerifiedInference:
        """`verify` against a bent commitment, with the proof addressed to it."""
        return self.verify(commitment=commitment, proof=self.bend_proof(commitment=commitment), **changes)

    @property
    def instances(self) -> list[int]:
        """The public instances of the vector's statement, as scalars."""
        program = self.commitment.program
        inputs = map(np.asarray, stated_inputs(self.inputs, self.proof, program, 1, saturate=False)[0])
        outputs = map(np.asarray, claimed_outputs(self.proof.output_tensors, program, 1))
        digest = statement_digest(self.commitment, self.context)
        return [x % SCALAR_MODULUS for x in public_instances(digest, list(inputs), list(outputs))]

    @property
    def points(self) -> tuple[bytes, ...]:
        """The published weight points."""
        return self.key.weight_points


def read_vector(name: str) -> Vector:
    """A golden vector from its three files."""
    text = json.loads((DATA / f"{name}.json").read_text())
    return Vector(
        name,
        Commitment.load(DATA / f"{name}.zkc"),
        Proof.load(DATA / f"{name}.proof"),
        [np.array(x) for x in text["inputs"]],
        bytes.fromhex(text["context"]),
        text["fingerprint"],
    )


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of the golden vectors."""
    return DATA


@pytest.fixture(scope="session")
def dense() -> Vector:
    """A linear layer with a lookup; one weight point."""
    return read_vector("dense")


@pytest.fixture(scope="session")
def product() -> Vector:
    """Two inputs multiplied with each other; two inputs, two outputs."""
    return read_vector("product")


@pytest.fixture(scope="session")
def columns() -> Vector:
    """Three weight points."""
    return read_vector("columns")


@pytest.fixture(scope="session", params=["dense", "product", "columns"])
def vector(request: pytest.FixtureRequest) -> Vector:
    """Each golden vector in turn."""
    return read_vector(request.param)


@pytest.fixture(scope="session")
def other_output() -> OutputTensor:
    """An output that no golden vector's program has."""
    return OutputTensor.of(np.zeros(7, dtype=np.int64), 0)
