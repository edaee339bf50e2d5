"""What a zkinfer file is and what it gives away, in words. Needs no prover package."""

import os
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rich.filesize import decimal

from zkinfer.backend import find_backend
from zkinfer.circuit.encoding import program_digest
from zkinfer.circuit.program import Program, shape_text
from zkinfer.cli.console import Description
from zkinfer.cli.inspect_batch import DESCRIPTIONS as BATCH_DESCRIPTIONS
from zkinfer.cli.inspect_program import MAX_NODES, constant_rows, node_rows, table_rows, tensor_text, weight_rows
from zkinfer.errors import ArtifactError, InvalidInputError, VerificationError
from zkinfer.files import kinds
from zkinfer.files.artifact import HEADER_BYTES, kind_and_version
from zkinfer.files.commitment import Commitment, fingerprint_of
from zkinfer.files.proof import OutputTensor, PrivateTensor, Proof
from zkinfer.files.reading import read_start
from zkinfer.files.rotation import Rotation

if TYPE_CHECKING:
    from zkinfer.compiler.model import Circuit

MAX_CIRCUIT_BYTES = 1 << 28
"""A larger circuit is read only where all is asked for."""

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


def describe_file(path: str | os.PathLike[str], *, everything: bool = False) -> Description:
    """A description of any zkinfer file.

    Args:
        path: the file.
        everything: show all that there is, however long; by default the output is bounded, and so is the time: what
            would take long is left out and named.

    Raises:
        InvalidInputError: no such file, or not a zkinfer file.
        VerificationError: a commitment or proof that is damaged.
    """
    tag, version, size = _header(path)
    if tag in kinds.EARLIER:
        rows = [
            ("file", f"{path}, {decimal(size)}"),
            ("made by", "an early version of zkinfer 0.1, which reads it"),
        ]
        return Description(kinds.EARLIER[tag].capitalize(), rows)
    kind = _known(tag, path)
    head = [("file", f"{path}, {decimal(size)}"), ("kind", f"{kind.name}, version {version}")]
    if kind == kinds.KEY_SECRET:
        return Description(kind.name.capitalize(), head, KEY_REVEALS)
    if kind == kinds.CIRCUIT and size > MAX_CIRCUIT_BYTES and not everything:
        return Description(
            "Circuit", [*head, ("...", "reading it takes memory several times its size: shown with --all")]
        )
    return DESCRIPTIONS[tag](kind.load_class().load(path), head, everything)


def kind_of(path: str | os.PathLike[str]) -> tuple[str, int, int]:
    """What kind of file it is, its version, and its size in bytes.

    Raises:
        InvalidInputError: no such file, or not a zkinfer file.
    """
    tag, version, size = _header(path)
    return kinds.EARLIER[tag] if tag in kinds.EARLIER else _known(tag, path).name, version, size


def program_of(path: str | os.PathLike[str]) -> Program:
    """The program in a commitment or a circuit.

    Raises:
        InvalidInputError: no such file, or one of another kind.
        VerificationError: a commitment that is damaged.
    """
    kind = _known(_header(path)[0], path)
    if kind not in (kinds.COMMITMENT, kinds.CIRCUIT):
        raise InvalidInputError(f"{path}: a {kind.name} holds no program; a commitment or a circuit does")
    program: Program = kind.load_class().load(path).program
    return program


def _header(path: str | os.PathLike[str]) -> tuple[str, int, int]:
    """What a file's header says it is, its version, and how many bytes the file has; nothing else of it is read."""
    try:
        start, size = read_start(path, HEADER_BYTES)
    except ArtifactError as error:
        raise InvalidInputError(str(error)) from None
    try:
        return *kind_and_version(start), size
    except ArtifactError as error:
        *suffixes, last = (kinds.KINDS[tag].suffix for tag in DESCRIPTIONS)
        model = "; of a model, zkinfer compile makes a .zkcircuit" if os.fspath(path).endswith(".onnx") else ""
        raise InvalidInputError(
            f"{path}: {error}; inspect reads {', '.join(suffixes)} and {last} files and folders of keys{model}"
        ) from None


def _known(tag: str, path: str | os.PathLike[str]) -> kinds.FileKind:
    if tag not in kinds.KINDS:
        raise InvalidInputError(f"{path}: a zkinfer file of an unknown kind, {tag!r}; a newer zkinfer may read it")
    return kinds.KINDS[tag]


def program_rows(program: Program, everything: bool) -> list[tuple[str, str]]:
    """All of a program, in words."""
    kinds = Counter(type(node).__name__ for node in program.nodes)
    outputs = [(f"output {t.label}", tensor_text(t)) for t in program.output_tensors]
    return [
        ("program digest", program_digest(program).hex()),
        *((f"input {t.label}", tensor_text(t)) for t in program.inputs),
        *(outputs if everything else outputs[:MAX_NODES]),
        ("weights", f"{sum(t.size for t in program.weights):,} integers in {len(program.weights):,} tensors"),
        ("nodes", ", ".join(f"{kinds[kind]} {kind}" for kind in ("Einsum", "View", "Lookup"))),
        *weight_rows(program, everything),
        *node_rows(program, everything),
        *table_rows(program, everything),
    ]


def describe_commitment(commitment: Commitment, head: list[tuple[str, str]], everything: bool) -> Description:
    """A commitment in words."""
    key = find_backend(commitment.backend).describe(commitment)
    rows = [
        *head,
        ("fingerprint", commitment.fingerprint),
        ("backend", commitment.backend),
        *key.rows,
        *program_rows(commitment.program, everything),
    ]
    return Description("Commitment", rows, f"{COMMITMENT_REVEALS}{key.hidden_behind}.")


def claim_text(claim: OutputTensor | PrivateTensor) -> str:
    """A claimed output in one line."""
    if isinstance(claim, PrivateTensor):
        return hidden_text(claim)
    return f"{shape_text(claim.shape)}, steps of {2.0**-claim.frac_bits:g}"


def hidden_text(claim: PrivateTensor) -> str:
    """A hidden input or output in one line."""
    return f"{shape_text(claim.shape)}, hidden behind {claim.root.hex()}"


def describe_circuit(circuit: "Circuit", head: list[tuple[str, str]], everything: bool) -> Description:
    """A circuit in words."""
    constants = constant_rows(circuit.public_constants(), everything)
    rows = [*head, *program_rows(circuit.program, everything), *constants]
    return Description("Circuit", rows, SECRET_REVEALS)


def describe_proof(proof: Proof, head: list[tuple[str, str]], everything: bool) -> Description:
    """A proof in words; says nothing about whether it is valid."""
    most = None if everything else MAX_NODES
    private, outputs = proof.private_inputs[:most], proof.output_tensors[:most]
    rows = [
        *head,
        ("backend", proof.backend),
        ("for commitment", fingerprint_of(proof.commitment_digest)),
        ("proof", decimal(len(proof.data))),
        *_part_rows(proof),
        *((f"hidden input {i}", hidden_text(t)) for i, t in enumerate(private) if t is not None),
        *((f"output {i}", claim_text(t)) for i, t in enumerate(outputs)),
        ("valid?", "not checked here: use zkinfer verify"),
    ]
    hidden = any(proof.private_inputs), any(isinstance(t, PrivateTensor) for t in proof.output_tensors)
    return Description("Proof", rows, f"{PROOF_REVEALS[hidden]}\n{ALWAYS_HIDDEN}")


def _part_rows(proof: Proof) -> list[tuple[str, str]]:
    """The bytes of a proof by part; none where there is one part, or it is not a proof of its backend."""
    try:
        parts = find_backend(proof.backend).proof_parts(proof)
    except (InvalidInputError, VerificationError):
        return []
    return [(f"  {name}", decimal(size)) for name, size in parts.items()] if len(parts) > 1 else []


def describe_rotation(rotation: Rotation, head: list[tuple[str, str]], everything: bool) -> Description:
    """A rotation in words; says nothing about whether it is valid."""
    rows = [
        *head,
        ("from commitment", fingerprint_of(rotation.old_digest)),
        ("root of the new one", rotation.root.hex()),
        ("proof", decimal(len(rotation.data))),
        ("valid?", "not checked here: hand it to zkinfer verify with --rotation"),
    ]
    return Description("Rotation", rows, ROTATION_REVEALS)


DESCRIPTIONS: dict[str, Callable[[Any, list[tuple[str, str]], bool], Description]] = {
    kinds.CIRCUIT.tag: describe_circuit,
    kinds.COMMITMENT.tag: describe_commitment,
    kinds.PROOF.tag: describe_proof,
    kinds.ROTATION.tag: describe_rotation,
    **BATCH_DESCRIPTIONS,
}
"""By the kind of the file; each takes what the file holds, its first rows, and whether all is to be shown."""
