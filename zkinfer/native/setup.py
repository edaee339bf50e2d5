"""Making keys of the native backend: choose parameters, lay out the weights, commit, keep it all in one folder."""

import contextlib
import math
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from blake3 import blake3
from rich.filesize import decimal

from zkinfer.backend import ProofSize
from zkinfer.circuit.bounds import check_bounds
from zkinfer.circuit.encoding import program_digest
from zkinfer.circuit.program import Program
from zkinfer.circuit.validate import validate
from zkinfer.counts import counted
from zkinfer.errors import InvalidInputError, ProvingError, ResourceError
from zkinfer.files.artifact import building_folder, writing
from zkinfer.files.commitment import Commitment
from zkinfer.files.key_folder import new_seed, place_for_keys, require_seed
from zkinfer.files.native_key import DEFAULT_PROOFS, NativeVerifyingKey
from zkinfer.native import storage
from zkinfer.native.cost import COMMITTING_PICOSECONDS, COPYING_PICOSECONDS, cell_bytes
from zkinfer.native.keys import MATRIX_FOLDER, NativeKeys, write_keys
from zkinfer.native.memory import require_memory_for_keys
from zkinfer.native.proof_sizes import COSTS
from zkinfer.native.prove import header_for
from zkinfer.native.storage import STORED_BYTES, StoredMatrix
from zkinfer.native.weight_ranges import prove_ranges
from zkinfer.progress import activity, duration
from zkinfer.protocol.field.encoding import BASE_BYTES, encode_ext
from zkinfer.protocol.field.params import DEGREE
from zkinfer.protocol.merkle.paths import DIGEST_BYTES, SALT_BYTES
from zkinfer.protocol.native_proof import protocol
from zkinfer.protocol.native_proof.shape import shape_of
from zkinfer.protocol.pcs.copies import COPY_MASKS, MAX_LOG_COPIES, MIN_LOG_COLUMNS, VEIL_ROWS, CopiesCommitment
from zkinfer.protocol.pcs.params import OpeningParameters
from zkinfer.protocol.pcs.search import search
from zkinfer.protocol.reduction.layout import weight_layout, weight_matrix, weight_rows
from zkinfer.protocol.reduction.plan import check_program, make_plan
from zkinfer.typing import IntArray

ERROR_BITS = 131.0
"""The terms of an opening of the weights sum to at most 2^-131: a quarter of what 128 bits of security allow."""

COLUMN_POINTS = 1
"""Column points of an opening of the weights."""

RANGE_PROOFS = 1
"""Openings that keys have random symbols for beside those of their proofs: one shows that weights keep their bounds."""

MAX_PROOFS = (1 << MAX_LOG_COPIES) - RANGE_PROOFS
"""Of one set of keys."""

OPENINGS_A_COPY = (1, 2, 3, *(mantissa << power for power in range(16) for mantissa in (4, 6)))
"""What is tried."""

SETUP_SHARE = 16.0
"""What a nanosecond of setup counts, against one of proving: whoever makes keys waits for all their proofs at once."""

ANNOUNCED_SECONDS = 10.0
"""Whoever waits longer for copies is told what they are for."""

STREAM_LABEL = b"zkinfer 2026 randomness of a weight commitment v4"


def setup(
    program: Program,
    weights: Sequence[IntArray],
    *,
    folder: Path | None = None,
    proofs: int = DEFAULT_PROOFS,
    seed: bytes | None = None,
    proof_size: ProofSize = "balanced",
) -> NativeKeys:
    """Make proving keys and the commitment.

    Args:
        program, weights, folder: as for `Backend.setup`.
        proofs: how many proofs the keys may make; the commitment hides the weights for that many, and the more there
            are, the more copies of them it is over.
        seed: 32 secret bytes that the commitment's random symbols come from; fresh ones when None. The same seed,
            weights, `proofs` and `proof_size` give the same commitment again, with a budget of its own: prove from one
            folder alone. So does another `proof_size` where the sizes of the weights' openings come out alike.
        proof_size: what the sizes of all openings are chosen for. The proof about the weights, which is made once, has
            the same sizes with any, but for its opening of the weights.

    Raises:
        BoundsError: the weights leave the program's bounds.
        ProvingError: the program has no weights, or values that are too large for the field, or its proofs would be too
            much work to check.
        InvalidInputError: `proofs` or `seed` is out of range, or the folder exists.
        ResourceError: too little memory or disk, which is known before anything is made.
    """
    if not 1 <= proofs <= MAX_PROOFS:
        raise InvalidInputError(
            f"proofs = {proofs:,} is out of range: from 1 to {MAX_PROOFS:,}; rotated keys make as many more"
        )
    seed = new_seed() if seed is None else require_seed(seed)
    validate(program)
    if not program.weights:
        raise ProvingError("the model has no weights: there is nothing to hide, so no commitment is made")
    check_program(program)
    require_memory_for_keys(program)
    check_bounds(program, weights)
    sizes = key_sizes(program, proofs, proof_size)
    plan, code = make_plan(program, 1), sizes.opening.code
    # What a first proof would be refused for is refused here.
    shape_of(plan, code, header_for(plan, proof_size), sizes.log_copies)
    folder, temporary = place_for_keys(folder)
    _require_disk(folder, matrix_bytes(program, sizes), proofs)
    with activity(announcement(program, sizes)), building_folder(folder) as part:
        matrix = commit_weights(program, weights, sizes, seed, part / MATRIX_FOLDER)
        commitment = Commitment(program, _key(matrix, sizes))
        commitment = Commitment(program, commitment.key, prove_ranges(commitment, matrix, seed))
        secrets = write_keys(part, commitment, weights, seed, proof_size=proof_size)
    return NativeKeys(folder, commitment, secrets, temporary)


@dataclass(frozen=True)
class KeySizes:
    """How the weights of a program are committed and opened.

    Attributes:
        opening: of one copy.
        proofs: the budget.
    """

    opening: OpeningParameters
    proofs: int

    @property
    def copies(self) -> int:
        """As many as hide the weights for all proofs, and for the one about them."""
        return -(-(self.proofs + RANGE_PROOFS) // (self.opening.code.blinding // self.opening.queries))

    @property
    def log_copies(self) -> int:
        """The height of the tree over them."""
        return (self.copies - 1).bit_length()

    @property
    def symbols(self) -> tuple[int, int]:
        """Of a column beside those of the weights: the veil, and the masks of a copy that is opened once."""
        one = self.log_copies and self.opening.code.blinding < 2 * self.opening.queries
        return (VEIL_ROWS if self.log_copies else 0, DEGREE * COPY_MASKS if one else 0)


@lru_cache(maxsize=64)
def key_sizes(program: Program, proofs: int, proof_size: ProofSize = "balanced") -> KeySizes:
    """The sizes that cost least: a proof's time and bytes, and its share of what setup takes.

    Raises:
        InvalidInputError: there are too many proofs, or weights, for any.
    """
    if proofs > MAX_PROOFS:
        raise InvalidInputError(f"{proofs:,} proofs are more than the {MAX_PROOFS:,} that keys make")
    cells, openings = weight_layout(program).cells, proofs + RANGE_PROOFS
    best: tuple[float, KeySizes] | None = None
    # Few openings a copy come first: what costs more is then seen at once.
    for each in sorted({*OPENINGS_A_COPY, openings}):
        copies = -(-openings // each)
        if each > openings or copies > 1 << MAX_LOG_COPIES:
            continue
        with contextlib.suppress(InvalidInputError):
            choice = search(
                cells,
                COLUMN_POINTS,
                proofs=each,
                error_bits=ERROR_BITS,
                min_log_columns=MIN_LOG_COLUMNS if copies > 1 else 0,
                cost=COSTS[proof_size],
                kept=True,
                committing=SETUP_SHARE * copies / openings,
                below=math.inf if best is None else best[0],
            )
            best = choice.cost, KeySizes(choice.parameters, proofs)
    if best is None:
        raise InvalidInputError(
            f"no commitment hides these weights for {proofs:,} proofs: make keys for fewer, and rotate them when they "
            "are nearly used up"
        )
    return best[1]


def matrix_bytes(program: Program, sizes: KeySizes) -> int:
    """Bytes on disk of the stored matrix of a program's weights, nearly."""
    code = sizes.opening.code
    data = cell_bytes(program) * (weight_rows(program, code.log_columns) << code.log_columns)
    tree = 2 * DIGEST_BYTES << sizes.log_copies if sizes.log_copies else 0
    copy = 0
    if _has_folder(program, sizes):
        copy = _copy_bytes(program, sizes) + np.dtype(np.float64).itemsize * _symbols(program, sizes) * code.blinding
    return data + tree + sizes.proofs + copy


def committing_seconds(program: Program, sizes: KeySizes) -> float:
    """What making all copies takes, on two cores of the reference machine."""
    written = 1 if _has_folder(program, sizes) else 0
    rates = written * COMMITTING_PICOSECONDS + (sizes.copies - written) * COPYING_PICOSECONDS
    return 1e-12 * rates * _copy_bytes(program, sizes)


def announcement(program: Program, sizes: KeySizes) -> str:
    """What setup does, in one line; where it takes long, what for."""
    seconds = committing_seconds(program, sizes)
    if sizes.copies == 1 or seconds < ANNOUNCED_SECONDS:
        return "making keys"
    return (
        f"making keys for {sizes.proofs:,} proofs: {counted(sizes.copies, 'copy', 'copies')} of the weights, about "
        f"{duration(seconds)}; fewer proofs take less (proofs=...)"
    )


def _symbols(program: Program, sizes: KeySizes) -> int:
    """Of a column."""
    return weight_rows(program, sizes.opening.code.log_columns) + sum(sizes.symbols)


def _copy_bytes(program: Program, sizes: KeySizes) -> int:
    """Of the leaves and the tree of a copy."""
    leaf = SALT_BYTES + BASE_BYTES * _symbols(program, sizes)
    return (leaf + 2 * DIGEST_BYTES) * sizes.opening.code.length


def _has_folder(program: Program, sizes: KeySizes) -> bool:
    """Whether copies are stored while they are opened."""
    leaves = _copy_bytes(program, sizes) - 2 * DIGEST_BYTES * sizes.opening.code.length
    return leaves > STORED_BYTES and not sizes.symbols[1]


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
    sizes: KeySizes,
    seed: bytes,
    folder: Path,
) -> StoredMatrix:
    """Commit to a program's weights in a new folder: the same root for the same arguments, on every machine.

    Random symbols and veil come from the seed, from all that is committed, and from the version of the protocol, so
    that two commitments with one seed show nothing of each other: the same random symbols under the challenges of two
    versions would show weights, and so would one veil under two links.

    Raises:
        ResourceError: the folder cannot be written.
    """
    opening, code = sizes.opening, sizes.opening.code
    data = weight_matrix(program, weights, code.log_columns)
    stream = blake3(key=seed)
    stream.update(STREAM_LABEL + protocol.DOMAIN)
    stream.update(program_digest(program))
    numbers = (code.log_columns, code.blinding, code.log_length, opening.queries)
    work = (opening.query_grinding, opening.weight_grinding)
    for number in (*numbers, *work, sizes.log_copies, sizes.proofs, data.dtype.itemsize):
        stream.update(number.to_bytes(8, "little"))
    stream.update(data.reshape(-1).view(np.uint8).data)
    kept = storage.keep(folder, code, data)
    del data
    return storage.commit_kept(
        folder,
        code,
        kept,
        opening.queries,
        stream.digest(),
        copies=sizes.copies,
        proofs=sizes.proofs,
        reserved=RANGE_PROOFS,
    )


def commits_to(commitment: Commitment, weights: Sequence[IntArray], seed: bytes) -> bool:
    """Whether the published root is that of these weights and the random symbols of this seed.

    The matrix is made again, in a temporary folder for as long as that takes.

    Raises:
        ResourceError: too little disk.
    """
    key = commitment.key_as(NativeVerifyingKey)
    with tempfile.TemporaryDirectory(prefix="zkinfer-audit-") as folder:
        sizes = KeySizes(key.opening, key.proofs)
        matrix = commit_weights(commitment.program, weights, sizes, seed, Path(folder) / "matrix")
        return matrix.commitment == key.copies


def link_bytes(commitment: CopiesCommitment) -> bytes:
    """The link of copies as a key has it."""
    return encode_ext([commitment.value]) if commitment.log_copies else b""


def _key(matrix: StoredMatrix, sizes: KeySizes) -> NativeVerifyingKey:
    parameters, code = sizes.opening, sizes.opening.code
    return NativeVerifyingKey(
        root=matrix.commitment.root,
        rows=matrix.commitment.rows,
        log_columns=code.log_columns,
        blinding=code.blinding,
        log_length=code.log_length,
        queries=parameters.queries,
        query_grinding=parameters.query_grinding,
        weight_grinding=parameters.weight_grinding,
        proofs=sizes.proofs,
        log_copies=sizes.log_copies,
        link=link_bytes(matrix.commitment),
        link_nonce=matrix.commitment.nonce,
    )
