"""Making a proof: execute, hand ezkl the hints, compare every output, prove, check."""

import json
import secrets
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.filesize import decimal

from zkinfer.circuit.samples import batch_of, stacked_shape
from zkinfer.errors import ProvingError, ResourceError, WrongKeyError
from zkinfer.execution.executor import execute
from zkinfer.ezkl.instances import public_instances, statement_digest, statement_words
from zkinfer.ezkl.keys import (
    CIRCUIT_FILE,
    PROVING_KEY_FILE,
    SRS_FILE,
    VERIFYING_KEY_FILE,
    EzklKeys,
)
from zkinfer.ezkl.runner import EzklCall, ProcessLimits, run
from zkinfer.ezkl.salting import felt
from zkinfer.ezkl.settings import SETTINGS_FILE
from zkinfer.ezkl.verifier.bn254 import SCALAR_MODULUS
from zkinfer.ezkl.verifying_key import EzklVerifyingKey
from zkinfer.files.artifact import writing
from zkinfer.files.proof import OutputTensor, Proof
from zkinfer.typing import IntArray

ROOM_TO_PROVE = 16 << 20
"""Bytes that have to be free in the folder for temporary files before a proof of the budget is spent."""


def witness_vector(keys: EzklKeys, values: Sequence[IntArray], digest: bytes) -> list[int]:
    """The `witness` graph input: statement words, inputs and hints, with fresh salt in each column."""
    layout = keys.lowered.witness
    inputs = [int(x) for array in values[: len(keys.program.inputs)] for x in array.ravel()]
    hints = [int(q) for hint in keys.lowered.hints for q in hint.compute(values[hint.source])]
    salt = tuple(secrets.randbelow(SCALAR_MODULUS) for _ in range(layout.salt_count))
    return layout.fill([*statement_words(digest), *inputs, *hints], salt)


def prove(keys: EzklKeys, inputs: Sequence[IntArray], context: bytes, *, limits: ProcessLimits | None = None) -> Proof:
    """A proof that the committed model maps these inputs to the outputs it carries.

    Args:
        keys: proving keys.
        inputs: one integer array for each input of the program, of its exact shape.
        context: bytes that the proof is bound to (a nonce or request id), at most `statement.MAX_CONTEXT_BYTES`.
        limits: time and memory for each step.

    Raises:
        ShapeError, InputRangeError: the inputs do not fit the program.
        InvalidInputError: the context is too long.
        BudgetError: the keys have made all their proofs.
        ProvingError: ezkl fails, or disagrees about the outputs.
    """
    digest = statement_digest(keys.commitment, context)
    program = keys.lowered.program
    values = [v.astype(np.int64) for v in execute(program, keys.weights, [array[None] for array in inputs])]
    outputs = [values[value][0] for value in program.outputs]
    graph_inputs = [
        [felt(v) for v in vector] for vector in (keys.committed_weights, witness_vector(keys, values, digest))
    ]
    instances = [felt(v) for v in public_instances(digest, [values[i][0] for i in range(len(inputs))], outputs)]
    data = prove_graph(keys, graph_inputs, instances, limits=limits)
    batch = batch_of(keys.program)
    claimed = tuple(
        OutputTensor.of(array.reshape(stacked_shape(tensor.shape, batch, 1)), tensor.frac_bits)
        for tensor, array in zip(keys.program.output_tensors, outputs, strict=True)
    )
    return Proof("ezkl", keys.commitment.digest, claimed, data)


def prove_graph(
    keys: EzklKeys, graph_inputs: list[list[str]], instances: list[str], *, limits: ProcessLimits | None = None
) -> bytes:
    """Prove the lowered graph on these graph inputs; `instances` is what its outputs have to be.

    Raises:
        BudgetError: the keys have made all their proofs.
        ResourceError: too little time, memory or disk.
        ProvingError: ezkl fails, computes other outputs, or makes a proof that does not verify.
        WrongKeyError: the proof's weight commitment is not the keys' one.
    """
    folder = keys.folder.resolve()
    with writing("a temporary file"), tempfile.TemporaryDirectory(prefix="zkinfer-prove-") as work:
        data, witness, proof = (Path(work) / name for name in ("input.json", "witness.json", "proof.json"))
        data.write_text(json.dumps({"input_data": graph_inputs}))
        generate = EzklCall("gen_witness", (str(data), CIRCUIT_FILE, str(witness), VERIFYING_KEY_FILE, SRS_FILE))
        run([generate], folder=folder, what="computing the witness", limits=limits)
        found = [element for output in json.loads(witness.read_text())["outputs"] for element in output]
        if found != instances:
            raise ProvingError(
                "ezkl computed other outputs than zkinfer, so nothing was proven; this is a defect of "
                "zkinfer or a change in ezkl: please report the model"
            )
        if shutil.disk_usage(work).free < ROOM_TO_PROVE:
            raise ResourceError(f"cannot prove: less than {decimal(ROOM_TO_PROVE)} are free in {work}")
        keys.counter.spend()
        run(
            [
                EzklCall(
                    "prove",
                    (str(witness), CIRCUIT_FILE, PROVING_KEY_FILE, str(proof)),
                    {"srs_path": SRS_FILE},
                ),
                EzklCall("verify", (str(proof), SETTINGS_FILE, VERIFYING_KEY_FILE, SRS_FILE)),
            ],
            folder=folder,
            what="proving",
            limits=limits,
        )
        proof_bytes = bytes(json.loads(proof.read_text())["proof"])
    points = b"".join(keys.commitment.key_as(EzklVerifyingKey).weight_points)
    if proof_bytes[: len(points)] != points:
        raise WrongKeyError("the proof commits to other weights than the published commitment; make the keys again")
    return proof_bytes
