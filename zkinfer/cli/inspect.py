"""What a zkinfer file is and what it gives away, in words. Needs no prover package."""

import struct
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.filesize import decimal

from zkinfer.backend import find_backend
from zkinfer.circuit.encoding import program_digest
from zkinfer.circuit.program import Program, Tensor
from zkinfer.cli.console import facts
from zkinfer.cli.inspect_batch import DESCRIPTIONS
from zkinfer.errors import InvalidInputError
from zkinfer.files.artifact import HEADER_BYTES, MAGIC, read_bounded
from zkinfer.files.commitment import COMMITMENT_KIND, Commitment
from zkinfer.files.proof import PROOF_KIND, OutputTensor, PrivateTensor, Proof
from zkinfer.files.rotation import ROTATION_KIND, Rotation

if TYPE_CHECKING:
    from zkinfer.compiler.model import Circuit

MAX_FILE_BYTES = 1 << 32

COMMITMENT_REVEALS = """\
Public in it: the architecture, the shapes, every fixed-point format, bound and lookup table. These show how large
weights and activations are. The weights themselves are hidden behind """

PROOF_REVEALS = {
    (False, False): "Public in it: the outputs. Whoever checks it needs the inputs too.",
    (False, True): "The outputs are hidden behind a salted commitment. Whoever checks it needs the inputs.",
    (True, False): "Public in it: the outputs. The inputs are hidden behind a salted commitment.",
    (True, True): "Inputs and outputs are hidden behind salted commitments.",
}
"""By whether any inputs, and any outputs, are hidden."""

ALWAYS_HIDDEN = """\
It shows which commitment it is for, and how many inferences it covers. Not shown: the weights and what the model
computes in between."""

ROTATION_REVEALS = """\
Public in it: that two commitments are to the same weights. Nothing of the weights."""

KEY_REVEALS = """\
It holds the weights, or the seed that they are hidden with. Keep it private; what is published is the commitment
(.zkc)."""

SAMPLE_SECRET_REVEALS = """\
It holds the seed of the salts that inputs and outputs are hidden with. Keep it private, and keep it: proving the sample
needs it."""

SECRET_REVEALS = """\
It holds the weights. Keep it private; what is published is the commitment (.zkc)."""


def describe_file(path: Path) -> RenderableType:
    """A description of any zkinfer file.

    Raises:
        InvalidInputError: no such file, or not a zkinfer file.
        VerificationError: a commitment or proof that is damaged.
    """
    data = read_bounded(path, max_bytes=MAX_FILE_BYTES)
    if len(data) < HEADER_BYTES or not data.startswith(MAGIC):
        raise InvalidInputError(f"{path}: not a zkinfer file")
    kind, version = struct.unpack_from("<4sI", data, len(MAGIC))
    head = [("file", f"{path}, {decimal(len(data))}")]
    match kind.decode("ascii", "replace"):
        case str(name) if name == COMMITMENT_KIND:
            return describe_commitment(Commitment.from_bytes(data), [*head, ("kind", f"commitment, version {version}")])
        case str(name) if name == PROOF_KIND:
            return describe_proof(Proof.from_bytes(data), [*head, ("kind", f"proof, version {version}")])
        case str(name) if name == ROTATION_KIND:
            return describe_rotation(Rotation.from_bytes(data), [*head, ("kind", f"rotation, version {version}")])
        case "circ":
            from zkinfer.compiler.model import Circuit

            return describe_circuit(Circuit.from_bytes(data), [*head, ("kind", f"circuit, version {version}")])
        case "pkey":
            return Group(facts("Secret part of proving keys", head), "", KEY_REVEALS)
        case "ssec":
            return Group(facts("Secret part of a sampled job", head), "", SAMPLE_SECRET_REVEALS)
        case str(name) if name in DESCRIPTIONS:
            return DESCRIPTIONS[name](data, head)
        case name:
            raise InvalidInputError(f"{path}: a zkinfer file of an unknown kind, {name!r}; a newer zkinfer may read it")


def tensor_text(tensor: Tensor) -> str:
    """A tensor's shape, format and bounds in one line."""
    unit = 2.0**-tensor.frac_bits
    return f"{shape_text(tensor.shape)}, steps of {unit:g}, from {tensor.lo * unit:g} to {tensor.hi * unit:g}"


def shape_text(shape: tuple[int, ...]) -> str:
    """A shape as people write it: 1 x 28 x 28."""
    return " x ".join(map(str, shape)) or "scalar"


def program_rows(program: Program) -> list[tuple[str, str]]:
    """Inputs, outputs, weights, nodes and tables of a program, in words."""
    kinds = Counter(type(node).__name__ for node in program.nodes)
    rows = [("program digest", program_digest(program).hex())]
    rows += [(f"input {t.label}", tensor_text(t)) for t in program.inputs]
    rows += [(f"output {t.label}", tensor_text(t)) for t in program.output_tensors]
    rows += [
        ("weights", f"{sum(t.size for t in program.weights)} integers in {len(program.weights)} tensors"),
        ("nodes", ", ".join(f"{kinds[kind]} {kind}" for kind in ("Einsum", "View", "Lookup"))),
    ]
    return rows


def table_rows(program: Program) -> list[tuple[str, str]]:
    """The lookup tables of a program."""
    return [
        (f"table {i}", f"{table.name}, {len(table.values)} entries from {table.lo} to {table.hi}")
        for i, table in enumerate(program.tables)
    ]


def describe_commitment(commitment: Commitment, head: list[tuple[str, str]]) -> RenderableType:
    """A commitment in words."""
    key = find_backend(commitment.backend).describe(commitment)
    rows = [
        *head,
        ("fingerprint", commitment.fingerprint),
        ("backend", commitment.backend),
        *key.rows,
        *program_rows(commitment.program),
        *table_rows(commitment.program),
    ]
    return Group(facts("Commitment", rows), "", f"{COMMITMENT_REVEALS}{key.hidden_behind}.")


def claim_text(claim: OutputTensor | PrivateTensor) -> str:
    """A claimed output in one line."""
    if isinstance(claim, PrivateTensor):
        return hidden_text(claim)
    return f"{shape_text(claim.shape)}, steps of {2.0**-claim.frac_bits:g}"


def hidden_text(claim: PrivateTensor) -> str:
    """A hidden input or output in one line."""
    return f"{shape_text(claim.shape)}, hidden behind {claim.root.hex()}"


def describe_circuit(circuit: "Circuit", head: list[tuple[str, str]]) -> RenderableType:
    """A circuit in words."""
    rows = [*head, *program_rows(circuit.program), *table_rows(circuit.program)]
    return Group(facts("Circuit", rows), "", SECRET_REVEALS)


def describe_proof(proof: Proof, head: list[tuple[str, str]]) -> RenderableType:
    """A proof in words; says nothing about whether it is valid."""
    rows = [
        *head,
        ("backend", proof.backend),
        ("for commitment", proof.commitment_digest.hex()),
        ("proof", decimal(len(proof.data))),
        *((f"hidden input {i}", hidden_text(t)) for i, t in enumerate(proof.private_inputs) if t is not None),
        *((f"output {i}", claim_text(t)) for i, t in enumerate(proof.output_tensors)),
        ("valid?", "not checked here: use zkinfer verify"),
    ]
    hidden = any(proof.private_inputs), any(isinstance(t, PrivateTensor) for t in proof.output_tensors)
    return Group(facts("Proof", rows), "", PROOF_REVEALS[hidden], ALWAYS_HIDDEN)


def describe_rotation(rotation: Rotation, head: list[tuple[str, str]]) -> RenderableType:
    """A rotation in words; says nothing about whether it is valid."""
    rows = [
        *head,
        ("from commitment", rotation.old_digest.hex()),
        ("root of the new one", rotation.root.hex()),
        ("proof", decimal(len(rotation.data))),
        ("valid?", "not checked here: hand it to zkinfer verify with --rotation"),
    ]
    return Group(facts("Rotation", rows), "", ROTATION_REVEALS)
