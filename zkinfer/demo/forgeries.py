"""What a dishonest provider might try, who knows the format of the files.

No digest in a forged file gives it away: each is the right one for what the file claims, so that only the mathematics
is left to refuse it.
"""

import numpy as np
import onnx
from onnx import numpy_helper

from zkinfer.files.commitment import Commitment
from zkinfer.files.proof import OutputTensor, Proof
from zkinfer.files.statement import Statement
from zkinfer.typing import Array
from zkinfer.verifier.claims import claimed_outputs, claimed_runs, stated_inputs

BIAS = 32
"""Far above the outputs of a digit classifier."""


def tampered_model(model: onnx.ModelProto, favoured: int) -> onnx.ModelProto:
    """The same architecture with one weight changed: the last layer's bias favours one class."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    name = changed.graph.node[-1].input[2]
    bias = next(tensor for tensor in changed.graph.initializer if tensor.name == name)
    values = np.array(numpy_helper.to_array(bias))
    values[favoured] += BIAS
    bias.CopyFrom(numpy_helper.from_array(values, name))
    return changed


def changed_answer(proof: Proof, favoured: int) -> Proof:
    """The proof with another answer written into it: the first sample's largest output is the favoured class's."""
    (claimed,) = proof.output_tensors
    assert isinstance(claimed, OutputTensor), "the answer is public"
    values = claimed.integers()
    values[0, favoured] = values[0].max() + 1
    outputs = (OutputTensor.of(values, claimed.frac_bits),)
    return Proof(proof.backend, proof.commitment_digest, outputs, proof.data, stated=proof.stated)


def made_for(proof: Proof, commitment: Commitment, inputs: Array, context: bytes) -> Proof:
    """The proof with new digests, of the statement that it is to be taken for.

    Args:
        proof: names the commitment, and claims outputs that its program can have.
        commitment: the verifier's.
        inputs: the verifier's, within their range.
        context: the verifier's.
    """
    program = commitment.program
    runs = claimed_runs(proof, program)
    outputs = claimed_outputs(proof.output_tensors, program, runs)
    stated, _ = stated_inputs(inputs, proof, program, runs, saturate=False)
    statement = Statement(commitment, runs, tuple(stated), tuple(outputs), context)
    return Proof(proof.backend, commitment.digest, proof.output_tensors, proof.data, stated=b"".join(statement.parts()))
