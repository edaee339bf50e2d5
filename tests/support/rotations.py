"""Commitments to the weights of a small program, true rotations between them, and forged ones."""

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from support.channels import open_falsely
from support.example_programs import mlp
from support.stored_matrices import create

from zkinfer.files.commitment import Commitment
from zkinfer.files.native_key import NativeVerifyingKey
from zkinfer.files.rotation import Rotation, renewed, rotation_context
from zkinfer.native.storage import StoredMatrix
from zkinfer.protocol.pcs.copies import ONLY
from zkinfer.protocol.pcs.prover import OpenableMatrix, commit
from zkinfer.protocol.pcs.rotation import column_points, state_rotation
from zkinfer.protocol.pcs.rotation_prover import prove_rotation
from zkinfer.protocol.reduction.layout import weight_matrix, weight_rows

EXAMPLE = mlp()
LOG_COLUMNS = 3
KEY = NativeVerifyingKey(
    root=bytes(32),
    rows=weight_rows(EXAMPLE.program, LOG_COLUMNS),
    log_columns=LOG_COLUMNS,
    blinding=450,
    log_length=11,
    queries=150,
    query_grinding=4,
    weight_grinding=0,
    proofs=3,
)
DATA = weight_matrix(EXAMPLE.program, EXAMPLE.weights, LOG_COLUMNS)


@dataclass(frozen=True)
class Committed:
    """A commitment and its matrix."""

    commitment: Commitment
    matrix: StoredMatrix


def committed(folder: Path, data: np.ndarray = DATA, key: NativeVerifyingKey = KEY) -> Committed:
    """A fresh commitment to a matrix of weights, stored in a new folder."""
    matrix = create(folder, key.opening.code, data, key.queries)
    key = msgspec.structs.replace(key, root=matrix.commitment.root)
    return Committed(Commitment(EXAMPLE.program, key), matrix)


def rotated(old: Committed, new: Committed) -> Rotation:
    """An honest rotation."""
    context = rotation_context(old.commitment, new.commitment, (ONLY, ONLY))
    parameters = old.commitment.key_as(NativeVerifyingKey).opening
    proof = prove_rotation(old.matrix.take().matrix, new.matrix.take().matrix, parameters, context)
    return between(old, new.matrix.commitment.root, proof)


def between(old: Committed, root: bytes, proof: bytes) -> Rotation:
    """A rotation of matrices without copies."""
    return Rotation(old.commitment.digest, root, b"", 0, 0, b"", 0, b"", proof)


def forged(old: Committed, data: np.ndarray) -> Rotation:
    """A rotation to other data, its messages honest in all else."""
    parameters = old.commitment.key_as(NativeVerifyingKey).opening
    new = commit(parameters.code, data, 0)
    masks = commit(parameters.code, np.zeros((0, parameters.code.columns), dtype=np.int8), 1 + column_points(None))
    root = masks.commitment.root
    context = rotation_context(old.commitment, renewed(old.commitment, new.commitment.root), (ONLY, ONLY))
    opened = old.matrix.take().matrix
    statement = state_rotation(parameters, opened.commitment, new.commitment, root, context)
    matrices: list[OpenableMatrix] = [opened, new, masks]
    opening = open_falsely(parameters, matrices, statement.groups, statement.transcript)
    return between(old, new.commitment.root, root + opening)
