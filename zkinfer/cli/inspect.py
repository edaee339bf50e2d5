"""What a zkinfer file is and what it gives away, in words. Needs no prover package."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.filesize import decimal

from zkinfer.backend import find_backend
from zkinfer.circuit.encoding import program_digest
from zkinfer.circuit.program import Program, Tensor
from zkinfer.circuit.qformat import frac_bits_of
from zkinfer.cli.console import facts
from zkinfer.cli.inspect_batch import DESCRIPTIONS as BATCH_DESCRIPTIONS
from zkinfer.errors import ArtifactError, InvalidInputError
from zkinfer.files import kinds
from zkinfer.files.artifact import kind_and_version
from zkinfer.files.commitment import Commitment
from zkinfer.files.proof import OutputTensor, PrivateTensor, Proof
from zkinfer.files.reading import read_bounded
from zkinfer.files.rotation import Rotation

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

SECRET_REVEALS = """\
It holds the weights. Keep it private; what is published is the commitment (.zkc)."""


def describe_file(path: Path) -> RenderableType:
    """A description of any zkinfer file.

    Raises:
        InvalidInputError: no such file, or not a zkinfer file.
        VerificationError: a commitment or proof that is damaged.
    """
    data = read_bounded(path, max_bytes=MAX_FILE_BYTES)
    try:
        tag, version = kind_and_version(data)
    except ArtifactError as error:
        raise InvalidInputError(f"{path}: {error}") from None
    if tag in kinds.EARLIER:
        rows = [
            ("file", f"{path}, {decimal(len(data))}"),
            ("made by", "an early version of zkinfer 0.1, which reads it"),
        ]
        return facts(kinds.EARLIER[tag].capitalize(), rows)
    if tag not in kinds.KINDS:
        raise InvalidInputError(f"{path}: a zkinfer file of an unknown kind, {tag!r}; a newer zkinfer may read it")
    kind = kinds.KINDS[tag]
    head = [("file", f"{path}, {decimal(len(data))}"), ("kind", f"{kind.name}, version {version}")]
    if kind == kinds.KEY_SECRET:
        return Group(facts(kind.name.capitalize(), head), "", KEY_REVEALS)
    return DESCRIPTIONS[tag](kind.load_class().from_bytes(data), head)


def tensor_text(tensor: Tensor) -> str:
    """A tensor's shape, format and bounds in one line."""
    bits = frac_bits_of(tensor)
    units = sorted({2.0 ** -int(bits.max()), 2.0 ** -int(bits.min())})
    formats = [f"steps of {unit:g}, from {tensor.lo * unit:g} to {tensor.hi * unit:g}" for unit in units]
    each = "for each feature, between " if len(units) > 1 else ""
    return f"{shape_text(tensor.shape)}, {each}{' and '.join(formats)}"


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


DESCRIPTIONS: dict[str, Callable[[Any, list[tuple[str, str]]], RenderableType]] = {
    kinds.CIRCUIT.tag: describe_circuit,
    kinds.COMMITMENT.tag: describe_commitment,
    kinds.PROOF.tag: describe_proof,
    kinds.ROTATION.tag: describe_rotation,
    **BATCH_DESCRIPTIONS,
}
"""By the kind of the file; each takes what the file holds."""
