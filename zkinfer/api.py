"""The verbs of the public interface: setup, prove, estimate (compile and verify have modules of their own)."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zkinfer.backends.base import Keys, require_backend
from zkinfer.circuit.qformat import as_arrays, quantize
from zkinfer.circuit.samples import as_runs, batch_of
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


def prove(
    keys: Keys,
    x: Any,
    *,
    context: bytes = b"",
    saturate: bool = False,
    private_inputs: bool = False,
    private_outputs: bool = False,
) -> Proof:
    """Prove inferences of the committed model: any number of them in one proof, or, with ezkl, one batch.

    Args:
        keys: proving keys.
        x: real numbers, numpy or torch: shape (samples, ...), where the batch that the circuit was compiled for divides
            the number of samples; or one sample without that axis where the batch is 1; a list of arrays, or a mapping
            from names to arrays, for a model with several inputs.
        context: bytes that the proof is bound to, such as a nonce from whoever will verify it.
        saturate: values beyond the calibrated range become the nearest bound, instead of an error. The verifier has
            to ask for the same.
        private_inputs: hide the inputs: the proof holds a salted commitment to them. Not with ezkl.
        private_outputs: hide the outputs likewise.

    Returns:
        The proof, which carries the outputs.

    Raises:
        InvalidInputError: `x` has a wrong shape, dtype or range, or holds NaN or infinity; or the backend does not hide
            what is to be hidden.
        BudgetError: the keys have made all their proofs.
        ProvingError: the backend fails.
    """
    tensors, batch = keys.program.inputs, batch_of(keys.program)
    arrays = as_arrays(x, [tensor.label for tensor in tensors])
    runs = [
        as_runs(array, tensor.shape, batch, f"input {tensor.label!r}")
        for array, tensor in zip(arrays, tensors, strict=True)
    ]
    if len({len(array) for array in runs}) > 1:
        raise ShapeError(f"the inputs have different numbers of samples: {[len(array) * batch for array in runs]}")
    inputs = [quantize(array, tensor, saturate=saturate) for array, tensor in zip(runs, tensors, strict=True)]
    return keys.prove(inputs, context, private_inputs=private_inputs, private_outputs=private_outputs)


def estimate(circuit: "Circuit", *, backend: str = "ezkl", proofs: int = DEFAULT_PROOFS) -> "Estimate":
    """What keys and proofs of a circuit will cost: k, time, memory, disk; makes none of them.

    Raises:
        InvalidInputError: no such backend; MissingDependencyError: it is not installed;
        ProvingError: it refuses the circuit.
    """
    require_backend(backend)
    from zkinfer.backends.ezkl.setup import estimate as estimate_ezkl

    return estimate_ezkl(circuit.program, proofs=proofs)
