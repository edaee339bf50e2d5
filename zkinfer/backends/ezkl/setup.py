"""Making keys: lower, lay out, commit to the weights, and keep all of it in one folder."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from zkinfer.backends.ezkl.estimate import Estimate, check_resources, estimate_size
from zkinfer.backends.ezkl.keys import (
    ARTIFACT_FILE,
    CIRCUIT_FILE,
    PROVING_KEY_FILE,
    SRS_FILE,
    VERIFYING_KEY_FILE,
    WEIGHT_SALT,
    EzklKeys,
    building,
    committed_vector,
    new_salt,
    write_keys,
)
from zkinfer.backends.ezkl.lowering import lower
from zkinfer.backends.ezkl.runner import EZKL_VERSION, Call, EzklCallError, Limits, require_ezkl, run
from zkinfer.backends.ezkl.settings import MODEL_FILE, SETTINGS_FILE, choose_settings
from zkinfer.backends.ezkl.srs import identify, test_srs
from zkinfer.circuit.bounds import check_bounds
from zkinfer.circuit.program import Program
from zkinfer.circuit.validate import validate
from zkinfer.commitment import Commitment, EzklKey
from zkinfer.errors import ProvingError

IntArray = npt.NDArray[np.int64]


def setup(
    program: Program,
    weights: Sequence[IntArray],
    *,
    folder: Path | None = None,
    srs_path: Path | None = None,
    salt: Sequence[int] | None = None,
    limits: Limits | None = None,
) -> EzklKeys:
    """Make proving keys and the commitment.

    Args:
        program: what to prove.
        weights: its weights, int64, in order.
        folder: where the keys go, a path that does not exist yet; a temporary folder, removed with the returned
            object, when None.
        srs_path: a ceremony's structured reference string for the k that `estimate` reports; None makes or takes
            the test-only one, under which everyone can forge.
        salt: field elements to hide the weights with; fresh ones when None. Given only to reproduce a commitment.
        limits: time and memory for each step.

    Raises:
        ResourceError: too little memory, disk or time; ArtifactError: not a fitting reference string;
        BoundsError: the weights leave the program's bounds; ProvingError: ezkl refuses the circuit.
    """
    require_ezkl()
    validate(program)
    check_bounds(program, weights)
    temporary = None
    if folder is None:
        temporary = tempfile.TemporaryDirectory(prefix="zkinfer-keys-")
        folder = Path(temporary.name) / "keys"
    chosen_salt = new_salt() if salt is None else tuple(salt)
    with building(folder) as part:
        commitment = _make(program, weights, chosen_salt, part, srs_path, limits)
        write_keys(part, commitment, weights, chosen_salt)
    return EzklKeys(folder, commitment, tuple(weights), chosen_salt, temporary)


def _make(
    program: Program,
    weights: Sequence[IntArray],
    salt: tuple[int, ...],
    part: Path,
    srs_path: Path | None,
    limits: Limits | None,
) -> Commitment:
    lowered = lower(program, salt_count=len(salt))
    (part / MODEL_FILE).write_bytes(lowered.model)
    settings = choose_settings(lowered, part, limits=limits)
    check_resources(estimate_size(settings.size, settings.logrows), part)
    source = srs_path or test_srs(settings.logrows)
    srs = identify(source, logrows=settings.logrows)
    shutil.copyfile(source, part / SRS_FILE)
    vector = committed_vector(weights, salt)
    felts = [element.to_bytes(32, "little").hex() for element in vector]
    outcome = run(
        [
            Call("compile_circuit", (MODEL_FILE, CIRCUIT_FILE, SETTINGS_FILE)),
            Call("setup", (CIRCUIT_FILE, VERIFYING_KEY_FILE, PROVING_KEY_FILE, SRS_FILE)),
            Call("kzg_commit", (felts, VERIFYING_KEY_FILE, SETTINGS_FILE, SRS_FILE)),
        ],
        folder=part,
        what="making keys",
        limits=limits,
    )
    points = tuple(_big_endian(x) + _big_endian(y) for x, y in outcome.results[2])
    artifact = make_artifact(part, limits=limits)
    key = EzklKey(
        EZKL_VERSION,
        settings.text.encode(),
        (part / VERIFYING_KEY_FILE).read_bytes(),
        artifact,
        srs,
        points if program.weights else (),
    )
    return Commitment(program, key)


def _big_endian(coordinate: str) -> bytes:
    """A coordinate as proofs write it, from ezkl's little-endian hex."""
    return bytes.fromhex(coordinate)[::-1]


def make_artifact(folder: Path, *, limits: Limits | None = None) -> bytes:
    """Have ezkl write its Solidity verifier for the keys in `folder`, and return the source.

    ezkl writes the file and then fails when it finds no Solidity compiler; only the file is wanted.

    Raises:
        ProvingError: ezkl did not write it.
    """
    call = Call(
        "create_evm_verifier", (VERIFYING_KEY_FILE, SETTINGS_FILE, ARTIFACT_FILE, "verifier.abi", SRS_FILE, False)
    )
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


def estimate(program: Program, *, limits: Limits | None = None) -> Estimate:
    """What keys and proofs of a program will cost, before any are made.

    Raises:
        ProvingError: ezkl refuses the circuit.
    """
    require_ezkl()
    lowered = lower(program, salt_count=WEIGHT_SALT)
    with tempfile.TemporaryDirectory(prefix="zkinfer-estimate-") as folder:
        (Path(folder) / MODEL_FILE).write_bytes(lowered.model)
        settings = choose_settings(lowered, Path(folder), limits=limits)
    return estimate_size(settings.size, settings.logrows)
