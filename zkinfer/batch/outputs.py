"""Digests of the outputs that a proof claims, item by item."""

from zkinfer.batch.manifest import item_digests
from zkinfer.errors import MalformedProofError
from zkinfer.proof import OutputTensor, Proof


def output_digests(proof: Proof, items: int) -> bytes:
    """Digests of what a proof claims for each of its first `items` samples; empty where it hides an output.

    Raises:
        MalformedProofError: it claims fewer.
    """
    tensors = [tensor for tensor in proof.output_tensors if isinstance(tensor, OutputTensor)]
    if len(tensors) < len(proof.output_tensors):
        return b""
    arrays = [tensor.integers() for tensor in tensors]
    if any(len(array) < items for array in arrays):
        raise MalformedProofError(f"proof: of {items} items it claims outputs of {[len(array) for array in arrays]}")
    return item_digests([array[:items] for array in arrays])
