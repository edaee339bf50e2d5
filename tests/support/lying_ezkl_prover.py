"""A lying prover for the ezkl backend: the steps of the honest one, without its checks and with any value changed."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from zkinfer.circuit.evaluate import evaluate
from zkinfer.circuit.samples import batch_of, stacked_shape
from zkinfer.ezkl.instances import statement_digest
from zkinfer.ezkl.keys import (
    CIRCUIT_FILE,
    PROVING_KEY_FILE,
    SRS_FILE,
    VERIFYING_KEY_FILE,
    EzklKeys,
)
from zkinfer.ezkl.prove import witness_vector
from zkinfer.ezkl.runner import EzklCall, ProcessLimits, run
from zkinfer.ezkl.salting import felt
from zkinfer.files.proof import OutputTensor, Proof

Witness = dict[str, Any]


def honest_inputs(keys: EzklKeys, x: npt.NDArray[np.int64], context: bytes) -> tuple[list[int], list[int]]:
    """The two graph inputs as the honest prover fills them: weights and witness vectors."""
    values = evaluate(keys.program, keys.weights, [x[None]])
    return keys.committed_weights, witness_vector(keys, values, statement_digest(keys.commitment, context))


def lie(
    keys: EzklKeys, weights: list[int], witness: list[int], *, edit: Callable[[Witness], None] | None = None
) -> bytes:
    """ezkl's proof bytes for these graph inputs, after `edit` has changed the witness file in place.

    Raises:
        EzklCallError: ezkl itself refuses.
    """
    folder = keys.folder.resolve()
    limits = ProcessLimits(seconds=60)
    with tempfile.TemporaryDirectory() as work:
        data, file, proof = (str(Path(work) / name) for name in ("input.json", "witness.json", "proof.json"))
        Path(data).write_text(json.dumps({"input_data": [[felt(v) for v in vector] for vector in (weights, witness)]}))
        generate = EzklCall("gen_witness", (data, CIRCUIT_FILE, file, VERIFYING_KEY_FILE, SRS_FILE))
        run([generate], folder=folder, what="lying", limits=limits)
        if edit:
            content = json.loads(Path(file).read_text())
            edit(content)
            Path(file).write_text(json.dumps(content))
        prove = EzklCall("prove", (file, CIRCUIT_FILE, PROVING_KEY_FILE, proof), {"srs_path": SRS_FILE})
        run([prove], folder=folder, what="lying", limits=limits)
        return bytes(json.loads(Path(proof).read_text())["proof"])


def claim(keys: EzklKeys, outputs: npt.NDArray[Any], data: bytes) -> Proof:
    """A proof file that claims these integer outputs of a program with one output.

    Integers beyond 8 bytes, in an array of objects, are written with 32 bytes each, which no honest prover does.
    """
    (tensor,) = keys.program.output_tensors
    shape = stacked_shape(tensor.shape, batch_of(keys.program), 1)
    if outputs.dtype == object:
        values = b"".join(int(value).to_bytes(32, "little", signed=True) for value in outputs.ravel())
        claimed = OutputTensor(shape, tensor.frac_bits, 0, 256, values)
    else:
        claimed = OutputTensor.of(outputs.reshape(shape), tensor.frac_bits)
    return Proof("ezkl", keys.commitment.digest, (claimed,), data)
