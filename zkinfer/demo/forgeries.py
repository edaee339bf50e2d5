"""What a dishonest provider might try."""

import numpy as np
import onnx
from onnx import numpy_helper

from zkinfer.files.commitment import Commitment
from zkinfer.files.proof import OutputTensor, Proof

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


def passed_off_as(proof: Proof, published: Commitment) -> Proof:
    """A proof of another model, relabelled to name the published one."""
    return Proof(proof.backend, published.digest, proof.output_tensors, proof.data, stated=proof.stated)
