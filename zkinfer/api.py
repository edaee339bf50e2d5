"""The verbs of the public interface: setup, prove, estimate (compile and verify have modules of their own)."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zkinfer.backends.base import Keys, require_backend
from zkinfer.circuit.qformat import as_arrays, as_batch, quantize
from zkinfer.errors import ShapeError
from zkinfer.proof import Proof

if TYPE_CHECKING:
    from zkinfer.backends.ezkl.estimate import Estimate
    from zkinfer.model import Circuit

DEFAULT_PROOFS = 256


def setup(
    circuit: "Circuit",
    *,
    backend: str = "ezkl",
    folder: str | os.PathLike[str] | None = None,
    srs_path: str | os.PathLike[str] | None = None,
    proofs: int = DEFAULT_PROOFS,
    seed: bytes | None = None,
) -> Keys:
    """Make proving keys and the commitment to publish.

    Args:
        circuit: a compiled circuit.
        backend: "ezkl".
        folder: where the keys go, a path that does not exist yet; a temporary folder, removed with the returned
            object, when None.
        srs_path: a public ceremony's structured reference string for the k that `estimate` reports. None takes a
            test-only one, under which everyone can forge proofs.
        proofs: how many proofs the keys may make. The commitment hides the weights for that many.
        seed: 32 secret bytes that reproduce a commitment for an auditor; fresh ones when None.

    Raises:
        InvalidInputError, ArtifactError: an argument is not what is asked for.
        MissingDependencyError: the backend is not installed.
        ResourceError: too little memory, disk or time.
        ProvingError: the backend refuses the circuit.
    """
    require_backend(backend)
    from zkinfer.backends.ezkl.setup import setup as setup_ezkl

    return setup_ezkl(
        circuit.program,
        circuit.weights,
        folder=None if folder is None else Path(folder),
        srs_path=None if srs_path is None else Path(srs_path),
        proofs=proofs,
        seed=seed,
    )


def prove(keys: Keys, x: Any, *, context: bytes = b"", saturate: bool = False) -> Proof:
    """Prove one inference, or one batch, of the committed model.

    Args:
        keys: proving keys.
        x: real numbers, numpy or torch: shape (batch, ...) as compiled, or one sample without its batch axis where
            the batch is 1; a list of arrays for a model with several inputs.
        context: bytes that the proof is bound to, such as a nonce from whoever will verify it.
        saturate: values beyond the calibrated range become the nearest bound, instead of an error. The verifier has
            to ask for the same.

    Returns:
        The proof, which carries the outputs.

    Raises:
        InvalidInputError: `x` has a wrong shape, dtype or range, or holds NaN or infinity.
        BudgetError: the keys have made all their proofs.
        ProvingError: the backend fails.
    """
    tensors = keys.program.inputs
    arrays = as_arrays(x, [tensor.label for tensor in tensors])
    inputs = []
    for array, tensor in zip(arrays, tensors, strict=True):
        batch = as_batch(array, tensor.shape, repr(tensor.label))
        if batch.shape != tensor.shape:
            raise ShapeError(
                f"the keys prove batches of exactly {tensor.shape[0]}, got {batch.shape[0]} samples for "
                f"{tensor.label!r}; split or pad the data, or compile with batch={batch.shape[0]}"
            )
        inputs.append(quantize(batch, tensor, saturate=saturate))
    return keys.prove(inputs, context)


def estimate(circuit: "Circuit", *, backend: str = "ezkl", proofs: int = DEFAULT_PROOFS) -> "Estimate":
    """What keys and proofs of a circuit will cost: k, time, memory, disk; makes none of them.

    Raises:
        InvalidInputError: no such backend; MissingDependencyError: it is not installed;
        ProvingError: it refuses the circuit.
    """
    require_backend(backend)
    from zkinfer.backends.ezkl.setup import estimate as estimate_ezkl

    return estimate_ezkl(circuit.program, proofs=proofs)
