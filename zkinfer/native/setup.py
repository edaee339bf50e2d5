"""Making keys of the native backend: choose parameters, lay out the weights, commit, keep it all in one folder."""

import math
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from blake3 import blake3
from rich.filesize import decimal

from zkinfer.circuit.bounds import check_bounds
from zkinfer.circuit.encoding import program_digest
from zkinfer.circuit.program import Program
from zkinfer.circuit.validate import validate
from zkinfer.errors import InvalidInputError, ProvingError, ResourceError
from zkinfer.files.artifact import building_folder, writing
from zkinfer.files.commitment import Commitment
from zkinfer.files.key_folder import new_seed, place_for_keys, require_seed
from zkinfer.files.native_key import DEFAULT_PROOFS, NativeVerifyingKey
from zkinfer.native import storage
from zkinfer.native.cost import COMMITTING_PICOSECONDS
from zkinfer.native.keys import MATRIX_FOLDER, NativeKeys, write_keys
from zkinfer.native.prove import header_for
from zkinfer.native.storage import StoredMatrix
from zkinfer.native.weight_ranges import prove_ranges
from zkinfer.progress import activity, duration
from zkinfer.protocol.field.encoding import BASE_BYTES
from zkinfer.protocol.merkle.paths import DIGEST_BYTES, SALT_BYTES
from zkinfer.protocol.native_proof import protocol
from zkinfer.protocol.native_proof.shape import shape_of
from zkinfer.protocol.pcs.params import OpeningParameters
from zkinfer.protocol.pcs.search import search
from zkinfer.protocol.randomness import Randomness
from zkinfer.protocol.reduction.layout import weight_layout, weight_matrix, weight_rows
from zkinfer.protocol.reduction.plan import check_program, make_plan
from zkinfer.typing import IntArray

ERROR_BITS = 131.0
"""The terms of an opening of the weights sum to at most 2^-131: a quarter of what 128 bits of security allow."""

COLUMN_POINTS = 1
"""Column points of an opening of the weights."""

RANGE_PROOFS = 1
"""Openings that keys have random symbols for beside those of their proofs: one shows that weights keep their bounds."""

ROTATED_PROOFS = 1000
"""Budget of the keys that are advised where one commitment cannot serve as many proofs as are asked for."""

STREAM_LABEL = b"zkinfer 2026 randomness of a weight commitment v2"


def setup(
    program: Program,
    weights: Sequence[IntArray],
    *,
    folder: Path | None = None,
    proofs: int = DEFAULT_PROOFS,
    seed: bytes | None = None,
) -> NativeKeys:
    """Make proving keys and the commitment.

    Args:
        program, weights, folder: as for `Backend.setup`.
        proofs: how many proofs the keys may make; the commitment hides the weights for that many, and the more there
            are, the longer its rows.
        seed: 32 secret bytes that the commitment's random symbols come from; fresh ones when None. The same seed,
            weights and `proofs` give the same commitment again, with a budget of its own: prove from one folder alone.

    Raises:
        BoundsError: the weights leave the program's bounds.
        ProvingError: the program has no weights, or values that are too large for the field, or its proofs would be too
            much work to check.
        InvalidInputError: `proofs` or `seed` is out of range, there are too many proofs for so short rows, or the
            folder exists.
        ResourceError: too little disk, which is known before anything is made.
    """
    if proofs < 1:
        raise InvalidInputError(f"proofs = {proofs} is out of range: at least 1")
    seed = new_seed() if seed is None else require_seed(seed)
    validate(program)
    if not program.weights:
        raise ProvingError("the model has no weights: there is nothing to hide, so no commitment is made")
    check_program(program)
    check_bounds(program, weights)
    parameters = opening_for(program, proofs + RANGE_PROOFS)
    plan = make_plan(program, 1)
    shape_of(plan, parameters.code, header_for(plan))  # what a first proof would be refused for is refused here
    folder, temporary = place_for_keys(folder)
    _require_disk(folder, matrix_bytes(program, parameters), proofs)
    with activity("making keys"), building_folder(folder) as part:
        matrix = commit_weights(program, weights, parameters, seed, part / MATRIX_FOLDER, reserved=RANGE_PROOFS)
        commitment = Commitment(program, _key(matrix, parameters, proofs))
        commitment = Commitment(program, commitment.key, prove_ranges(commitment, matrix, seed))
        secrets = write_keys(part, commitment, weights, seed)
    return NativeKeys(folder, commitment, secrets, temporary)


def opening_for(program: Program, openings: int) -> OpeningParameters:
    """How the weights of a program are opened that many times.

    Raises:
        InvalidInputError: there are too many for any code; says what as many proofs cost by rotations.
    """
    cells = weight_layout(program).cells
    try:
        return search(cells, COLUMN_POINTS, proofs=openings, error_bits=ERROR_BITS).parameters
    except InvalidInputError:
        if openings <= ROTATED_PROOFS:
            raise
    # Rotated keys serve a proof less than their budget: one opening shows that they are to the same weights.
    size = matrix_bytes(program, opening_for(program, ROTATED_PROOFS + RANGE_PROOFS))
    rotations = math.ceil((openings - ROTATED_PROOFS) / (ROTATED_PROOFS - 1))
    raise InvalidInputError(
        f"no commitment hides these weights for {openings - RANGE_PROOFS:,} proofs: a row would have too many random "
        f"symbols. Make keys for fewer, such as proofs={ROTATED_PROOFS}, and rotate them when they are nearly used up: "
        f"it takes {rotations:,} rotations, each about {duration(1e-12 * COMMITTING_PICOSECONDS * size)} and "
        f"{decimal(size)} on disk, which can be removed once its proofs are made"
    )


def matrix_bytes(program: Program, parameters: OpeningParameters) -> int:
    """Bytes on disk of the stored matrix of a program's weights, nearly."""
    code = parameters.code
    rows = weight_rows(program, code.log_columns)
    leaf = SALT_BYTES + BASE_BYTES * rows
    return (leaf + 2 * DIGEST_BYTES) * code.length + np.dtype(np.float64).itemsize * rows * code.blinding


def _require_disk(folder: Path, needed: int, proofs: int) -> None:
    """Refuse before any work what does not fit on the disk.

    Raises:
        ResourceError: says what is needed and what there is.
    """
    place = folder.absolute()
    with writing(folder):
        while not place.exists():
            place = place.parent
        free = shutil.disk_usage(place).free
    if free < needed:
        raise ResourceError(
            f"keys for {proofs:,} proofs take about {decimal(needed)} on disk, and {place} has {decimal(free)} free: "
            "choose another folder, or fewer proofs"
        )


def commit_weights(
    program: Program,
    weights: Sequence[IntArray],
    parameters: OpeningParameters,
    seed: bytes,
    folder: Path,
    *,
    reserved: int = 0,
) -> StoredMatrix:
    """Commit to a program's weights in a new folder: the same root for the same arguments, on every machine.

    The random symbols come from the seed, from all that is committed, and from the version of the protocol, so that
    two commitments with one seed show nothing of each other: the same random symbols under the challenges of two
    versions would show weights. `reserved` openings are not counted in the budget.

    Raises:
        ResourceError: the folder cannot be written.
    """
    code = parameters.code
    data = weight_matrix(program, weights, code.log_columns)
    stream = blake3(key=seed)
    stream.update(STREAM_LABEL + protocol.DOMAIN)
    stream.update(program_digest(program))
    for number in (code.log_columns, code.blinding, code.log_length, parameters.queries, data.dtype.itemsize):
        stream.update(number.to_bytes(8, "little"))
    stream.update(data.reshape(-1).view(np.uint8).data)
    return storage.create(folder, code, data, parameters.queries, Randomness(stream.digest()), reserved=reserved)


def commits_to(commitment: Commitment, weights: Sequence[IntArray], seed: bytes) -> bool:
    """Whether the published root is that of these weights and the random symbols of this seed.

    The matrix is made again, in a temporary folder for as long as that takes.

    Raises:
        ResourceError: too little disk.
    """
    key = commitment.key_as(NativeVerifyingKey)
    with tempfile.TemporaryDirectory(prefix="zkinfer-audit-") as folder:
        matrix = commit_weights(commitment.program, weights, key.opening, seed, Path(folder) / "matrix")
        return matrix.commitment == key.weights


def _key(matrix: StoredMatrix, parameters: OpeningParameters, proofs: int) -> NativeVerifyingKey:
    code = parameters.code
    return NativeVerifyingKey(
        root=matrix.commitment.root,
        rows=matrix.commitment.rows,
        log_columns=code.log_columns,
        blinding=code.blinding,
        log_length=code.log_length,
        queries=parameters.queries,
        query_grinding=parameters.query_grinding,
        weight_grinding=parameters.weight_grinding,
        proofs=proofs,
    )
