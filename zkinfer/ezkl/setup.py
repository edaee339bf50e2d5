"""Making keys: lower, lay out, commit to the weights, and keep all of it in one folder."""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zkinfer.circuit.bounds import check_bounds
from zkinfer.circuit.program import Program
from zkinfer.circuit.validate import validate
from zkinfer.errors import InvalidInputError, ProvingError
from zkinfer.ezkl.estimate import EzklEstimate, check_resources, estimate_size
from zkinfer.ezkl.keys import (
    ARTIFACT_FILE,
    CIRCUIT_FILE,
    MAX_PROOFS,
    PROVING_KEY_FILE,
    SRS_FILE,
    VERIFYING_KEY_FILE,
    EzklKeys,
    write_keys,
)
from zkinfer.ezkl.runner import EzklCall, EzklCallError, ProcessLimits, require_ezkl, run
from zkinfer.ezkl.salting import felt, salt_from_seed
from zkinfer.ezkl.settings import MODEL_FILE, SETTINGS_FILE, Settings, choose_settings, lay_out
from zkinfer.ezkl.srs import forgeable_srs, identify
from zkinfer.ezkl.verifying_key import DEFAULT_PROOFS, EZKL_VERSION, EzklVerifyingKey
from zkinfer.files.artifact import building_folder
from zkinfer.files.commitment import Commitment
from zkinfer.files.key_folder import new_seed, place_for_keys, require_seed
from zkinfer.typing import IntArray


def setup(
    program: Program,
    weights: Sequence[IntArray],
    *,
    folder: Path | None = None,
    srs_path: Path | None = None,
    proofs: int = DEFAULT_PROOFS,
    seed: bytes | None = None,
    limits: ProcessLimits | None = None,
) -> EzklKeys:
    """Make proving keys and the commitment.

    Args:
        program: what to prove.
        weights: its weights, in order; signed integers of any type.
        folder: where the keys go, a path that does not exist yet; a temporary folder, removed with the returned
            object, when None.
        srs_path: a ceremony's structured reference string for the k that `estimate` reports; None makes or takes
            the test-only one, under which everyone can forge.
        proofs: how many proofs the keys may make; the commitment hides the weights for that many.
        seed: 32 secret bytes that the commitment's salt comes from; fresh ones when None. Given only to reproduce
            a commitment, and then the same seed must never serve another model.
        limits: time and memory for each step.

    Raises:
        ResourceError: too little memory, disk or time; ArtifactError: not a fitting reference string;
        BoundsError: the weights leave the program's bounds; ProvingError: ezkl refuses the circuit;
        InvalidInputError: `proofs` or `seed` is out of range.
    """
    require_ezkl()
    if not 1 <= proofs <= MAX_PROOFS:
        raise InvalidInputError(f"proofs = {proofs} is out of range: from 1 to {MAX_PROOFS}")
    seed = new_seed() if seed is None else require_seed(seed)
    validate(program)
    check_bounds(program, weights)
    folder, temporary = place_for_keys(folder)
    with building_folder(folder) as part:
        commitment = _make(program, weights, seed, proofs + 1, part, srs_path, limits)
        write_keys(part, commitment, weights, seed)
    return EzklKeys(folder, commitment, weights, seed, temporary)


def _make(
    program: Program,
    weights: Sequence[IntArray],
    seed: bytes,
    salt: int,
    part: Path,
    srs_path: Path | None,
    limits: ProcessLimits | None,
) -> Commitment:
    lowered, settings = choose_settings(program, salt, part, limits=limits)
    check_resources(estimate_size(settings.size, settings.logrows), part)
    source = srs_path or forgeable_srs(settings.logrows)
    srs = identify(source, logrows=settings.logrows)
    shutil.copyfile(source, part / SRS_FILE)
    public = _make_public_keys(settings, part, limits)
    flat = [w for array in weights for w in array.ravel().tolist()]
    vector = lowered.weights.fill(flat, salt_from_seed(seed, lowered.weights.salt_count))
    felts = [felt(element) for element in vector]
    commit = EzklCall("kzg_commit", (felts, VERIFYING_KEY_FILE, SETTINGS_FILE, SRS_FILE))
    (committed,) = run([commit], folder=part, what="committing to the weights", limits=limits).results
    points = tuple(_big_endian(x) + _big_endian(y) for x, y in committed)
    key = EzklVerifyingKey(EZKL_VERSION, public.settings, public.verifying_key, public.artifact, srs, points, salt)
    return Commitment(program, key)


@dataclass(frozen=True)
class PublicKeys:
    """What follows from a program and a reference string alone, whatever the weights.

    Attributes:
        settings: ezkl's settings, canonical JSON.
        verifying_key: ezkl's verifying key.
        artifact: ezkl's Solidity verifier.
    """

    settings: bytes
    verifying_key: bytes
    artifact: bytes


def derive_public_keys(
    program: Program, salt: int, logrows: int, srs_path: Path, folder: Path, *, limits: ProcessLimits | None = None
) -> PublicKeys:
    """The public keys of a program, the same bytes on every machine.

    Args:
        program: a validated program.
        salt: random field elements in each committed column of weights.
        logrows: k.
        srs_path: absolute path of the structured reference string.
        folder: an empty folder to work in.
        limits: time and memory.

    Raises:
        ProvingError: ezkl refuses the program; ResourceError: it takes too much.
    """
    _, settings = lay_out(program, salt, logrows, folder, limits=limits)
    shutil.copyfile(srs_path, folder / SRS_FILE)
    return _make_public_keys(settings, folder, limits)


def _make_public_keys(settings: Settings, folder: Path, limits: ProcessLimits | None) -> PublicKeys:
    calls = [
        EzklCall("compile_circuit", (MODEL_FILE, CIRCUIT_FILE, SETTINGS_FILE)),
        EzklCall("setup", (CIRCUIT_FILE, VERIFYING_KEY_FILE, PROVING_KEY_FILE, SRS_FILE)),
    ]
    run(calls, folder=folder, what="making keys", limits=limits)
    verifying_key = (folder / VERIFYING_KEY_FILE).read_bytes()
    return PublicKeys(settings.text.encode(), verifying_key, _make_artifact(folder, limits))


def _big_endian(coordinate: str) -> bytes:
    """A coordinate as proofs write it, from ezkl's little-endian hex."""
    return bytes.fromhex(coordinate)[::-1]


def _make_artifact(folder: Path, limits: ProcessLimits | None) -> bytes:
    """ezkl's Solidity verifier for the keys in `folder`.

    ezkl writes the file and then fails when it finds no Solidity compiler; only the file is wanted.
    """
    files = (VERIFYING_KEY_FILE, SETTINGS_FILE, ARTIFACT_FILE, "verifier.abi", SRS_FILE)
    call = EzklCall("create_evm_verifier", (*files, False))
    path = folder / ARTIFACT_FILE
    try:
        run([call], folder=folder, what="writing the verifier", limits=limits)
    except EzklCallError as error:
        if not path.exists() or not path.stat().st_size:
            raise ProvingError(f"ezkl wrote no verifier for these keys: {error}") from error
    source = path.read_bytes()
    path.unlink()
    (folder / "verifier.abi").unlink(missing_ok=True)
    return source


def estimate(program: Program, *, proofs: int = DEFAULT_PROOFS, limits: ProcessLimits | None = None) -> EzklEstimate:
    """What keys and proofs of a program will cost, before any are made.

    Raises:
        ProvingError: ezkl refuses the circuit.
    """
    require_ezkl()
    with tempfile.TemporaryDirectory(prefix="zkinfer-estimate-") as folder:
        _, settings = choose_settings(program, proofs + 1, Path(folder), limits=limits)
    return estimate_size(settings.size, settings.logrows)
