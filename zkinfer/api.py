"""The public functions setup, prove, rotate and estimate; compile and verify have modules of their own."""

import os
from typing import TYPE_CHECKING, Any

from zkinfer.arguments import as_path, whole_number
from zkinfer.backend import PROOF_SIZES, Backend, Estimate, Keys, ProofSize, find_backend
from zkinfer.circuit.qformat import as_arrays, quantize
from zkinfer.circuit.samples import as_runs, batch_of
from zkinfer.errors import InvalidInputError, ShapeError
from zkinfer.files.artifact import reserve
from zkinfer.files.proof import Proof
from zkinfer.files.statement import MAX_RUNS

if TYPE_CHECKING:
    from zkinfer.compiler.model import Circuit


def setup(
    circuit: "Circuit",
    *,
    backend: str = "native",
    folder: str | os.PathLike[str] | None = None,
    srs_path: str | os.PathLike[str] | None = None,
    proofs: int | None = None,
    seed: bytes | None = None,
    proof_size: ProofSize = "balanced",
) -> Keys:
    """Make proving keys and the commitment to publish.

    Args:
        circuit: a compiled circuit.
        backend: "native" (formerly "sumcheck"): no trusted setup, any number of samples in a proof, inputs and outputs
            that may be hidden; or "ezkl", halo2 over KZG: small proofs of one run, and a structured reference string
            to trust.
        folder: where the keys go, a path that does not exist yet; a temporary folder, removed with the returned
            object, when None.
        srs_path: for ezkl, a public ceremony's structured reference string for the k that `estimate` reports. None
            takes a test-only one, under which everyone can forge proofs.
        proofs: how many proofs the keys may make; the commitment hides the weights for that many. By default 2,000 with
            "native" and 256 with "ezkl".
        seed: 32 secret bytes that reproduce a commitment for an auditor; fresh ones when None. Keys that are made again
            with one seed may have one commitment and a second budget: prove from one folder of them alone.
        proof_size: "balanced", or "small": fewer bytes, for up to twice the time of each proof and of setup. `estimate`
            says what either takes. The keys keep to it, in all their proofs and in those of keys that are rotated from
            them; verifiers need not know it. Not with ezkl, whose proofs have one size.

    Raises:
        InvalidInputError, ArtifactError: an argument is not what is asked for, or not for this backend.
        MissingDependencyError: the backend is not installed.
        ResourceError: too little memory, disk or time.
        BoundsError, ProvingError: the backend refuses the circuit.
    """
    _require_circuit(circuit, "setup")
    chosen = find_backend(backend)
    if srs_path is not None and not chosen.takes_reference_string:
        raise InvalidInputError(f"the {chosen.name} backend needs no reference string: leave srs_path out")
    keys: Keys = chosen.setup(
        circuit.program,
        circuit.weights,
        folder=None if folder is None else as_path("folder", folder),
        srs_path=None if srs_path is None else as_path("srs_path", srs_path),
        proofs=chosen.default_proofs if proofs is None else whole_number("the number of proofs", proofs),
        seed=seed,
        proof_size=_proof_size(chosen, proof_size),
    )
    return keys


def prove(
    keys: Keys,
    x: Any,
    *,
    context: bytes = b"",
    saturate: bool = False,
    private_inputs: bool = False,
    private_outputs: bool = False,
    save_as: str | os.PathLike[str] | None = None,
) -> Proof:
    """Prove inferences of the committed model: any number of them in one proof, or, with ezkl, one run of the circuit.

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
        save_as: write the proof into this file, a path or a URL of a store. Room for it is taken first, so that where
            it cannot be written, no proof of the budget is used up. (A store is only tried: none says how much room
            it has.)

    Returns:
        The proof, which carries the outputs.

    Raises:
        InvalidInputError: `x` has a wrong shape, dtype or range, or holds NaN or infinity; or the backend does not hide
            what is to be hidden.
        BudgetError: the keys have made all their proofs.
        ResourceError: the file cannot be written.
        ProvingError: the backend fails.
    """
    if isinstance(x, Keys):
        raise InvalidInputError("the arguments are in the wrong order: prove(keys, x)")
    _require_keys(keys, "prove")
    tensors, batch = keys.program.inputs, batch_of(keys.program)
    arrays = as_arrays(x, [tensor.label for tensor in tensors])
    runs = [
        as_runs(array, tensor.shape, batch, f"input {tensor.label!r}")
        for array, tensor in zip(arrays, tensors, strict=True)
    ]
    if len({len(array) for array in runs}) > 1:
        raise ShapeError(f"the inputs have different numbers of samples: {[len(array) * batch for array in runs]}")
    inputs = [quantize(array, tensor, saturate=saturate) for array, tensor in zip(runs, tensors, strict=True)]
    hidden = {"private_inputs": private_inputs, "private_outputs": private_outputs}
    if save_as is None:
        return keys.prove(inputs, context, **hidden)
    with reserve(save_as, keys.proof_bytes(len(inputs[0]), **hidden)) as file:
        proof = keys.prove(inputs, context, **hidden)
        file.fill(proof.to_bytes())
        file.publish()
    return proof


def rotate(keys: Keys, *, folder: str | os.PathLike[str] | None = None, seed: bytes | None = None) -> Keys:
    """Make keys with a fresh commitment to the same weights, and prove that it is one: more proofs of the same model.

    The folder of the new keys holds a rotation, `rotation.zkr`, to be published: with it `verify` accepts proofs of the
    new keys from whoever trusts the old commitment, `verify(proof, old_commitment, ..., lineage=["rotation.zkr"])`.
    It takes one proof from the old keys' budget and one from the new ones'; the old keys may go on proving.

    Args:
        keys: proving keys of the native backend, with at least one proof left.
        folder: where the new keys go, a path that does not exist yet; a temporary folder, removed with the returned
            object, when None.
        seed: 32 secret bytes that reproduce the new commitment for an auditor, others than those of the old keys; fresh
            ones when None.

    Raises:
        InvalidInputError: keys of a backend without rotations, or the seed is not what is asked for.
        BudgetError: the keys have made all their proofs.
        InvalidInputError: the folder exists; ResourceError: too little disk.
    """
    _require_keys(keys, "rotate")
    target = None if folder is None else as_path("folder", folder)
    rotated: Keys = find_backend(keys.backend).rotate(keys, folder=target, seed=seed)
    return rotated


def estimate(
    circuit: "Circuit",
    *,
    backend: str = "native",
    samples: int | None = None,
    proofs: int | None = None,
    proof_size: ProofSize = "balanced",
) -> Estimate:
    """What keys and proofs of a circuit will take: time, memory, disk, sizes; makes none of them.

    Args:
        circuit: a compiled circuit.
        backend: "native" or "ezkl".
        samples: how many one proof covers: a multiple of the circuit's batch, which is the default. ezkl always proves
            one run.
        proofs: budget of the keys; the default is that of `setup`.
        proof_size: what they are made for, as for `setup`; the estimate also says what the other choice takes.

    Raises:
        InvalidInputError: no such backend, or samples that it cannot prove at once; MissingDependencyError: it is not
            installed; ProvingError: it refuses the circuit.
    """
    _require_circuit(circuit, "estimate")
    batch = batch_of(circuit.program)
    samples = batch if samples is None else whole_number("the number of samples", samples)
    if samples % batch:
        raise InvalidInputError(f"{samples:,} samples are not a multiple of the circuit's batch, {batch}")
    chosen, runs = find_backend(backend), samples // batch
    most = chosen.limits.runs or MAX_RUNS
    if runs > most:
        raise InvalidInputError(
            f"one proof of the {chosen.name} backend covers at most {most * batch:,} samples, not {samples:,}: cut "
            "them up into several proofs, as a job does (`zkinfer batch run`), and estimate one of them"
        )
    budget = chosen.default_proofs if proofs is None else whole_number("the number of proofs", proofs)
    size = _proof_size(chosen, proof_size)
    return chosen.estimate(circuit.program, circuit.weights, runs=runs, proofs=budget, proof_size=size)


def _proof_size(backend: Backend[Any], proof_size: ProofSize) -> ProofSize:
    """The choice, which has to be one that the backend has."""
    if not isinstance(proof_size, str) or proof_size not in PROOF_SIZES:
        raise InvalidInputError(f"proof_size is {' or '.join(map(repr, PROOF_SIZES))}, got {proof_size!r}")
    if proof_size not in backend.proof_sizes:
        raise InvalidInputError(f"proofs of the {backend.name} backend have one size: leave proof_size out")
    return proof_size


def _require_circuit(circuit: object, function: str) -> None:
    """Check for a circuit, or for keys, which have a program and weights too."""
    if hasattr(circuit, "program") and hasattr(circuit, "weights"):
        return
    advice = "compile the model first, zk.compile(model, calibration)"
    if isinstance(circuit, (str, os.PathLike)):
        advice = f"read it first, zk.Circuit.load({os.fspath(circuit)!r}); or compile a model, zk.compile"
    raise InvalidInputError(f"{function} takes a circuit, got {type(circuit).__name__}: {advice}")


def _require_keys(keys: object, function: str) -> None:
    if isinstance(keys, Keys):
        return
    advice = "make them first, zk.setup(circuit)"
    if isinstance(keys, (str, os.PathLike)):
        advice = f"read their folder first, zk.Keys.load({os.fspath(keys)!r})"
    raise InvalidInputError(f"{function} takes keys, got {type(keys).__name__}: {advice}")
