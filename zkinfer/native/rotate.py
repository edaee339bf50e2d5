"""Handing a model on to fresh keys: a new commitment to the same weights, and the proof that it is one."""

import os
from pathlib import Path

from zkinfer.errors import BudgetError, InvalidInputError, ResourceError
from zkinfer.files.artifact import building_folder
from zkinfer.files.budget import sync_folder
from zkinfer.files.commitment import Commitment
from zkinfer.files.key_folder import new_seed, place_for_keys, require_seed
from zkinfer.files.native_key import NativeVerifyingKey
from zkinfer.files.rotation import ROTATION_FILE, Rotation, renewed, rotation_context
from zkinfer.native.keys import MATRIX_FOLDER, NativeKeys, write_keys
from zkinfer.native.setup import KeySizes, commit_weights, link_bytes
from zkinfer.native.storage import Opened
from zkinfer.native.weight_ranges import prove_ranges
from zkinfer.protocol.pcs.rotation_prover import prove_rotation


def rotate(keys: NativeKeys, *, folder: Path | None = None, seed: bytes | None = None) -> NativeKeys:
    """Make keys with a new commitment to the same weights, and prove that it is.

    It takes one proof from the budget of the old keys and one from that of the new. The folder of the new keys also
    holds the rotation, `ROTATION_FILE`, to be published. The old keys may go on proving.

    Args:
        keys: with at least one proof left.
        folder: where the new keys go, a path that does not exist yet; a temporary folder, removed with the returned
            object, when None.
        seed: 32 secret bytes that the new commitment's random symbols come from; fresh ones when None. Never one that
            was used for other keys, in another rotation, or in `setup`.

    Raises:
        BudgetError: the old keys have made all their proofs.
        InvalidInputError: the seed is not a seed, or that of the old keys, of keys that these come from, or of an
            earlier rotation of these keys; or the folder exists.
        ResourceError: too little disk.
    """
    seed = new_seed() if seed is None else require_seed(seed)
    if seed == keys.seed:
        raise InvalidInputError("the seed is that of the old keys: the new commitment needs fresh randomness")
    if not keys.proofs_left:
        raise BudgetError(
            "these keys have made all their proofs, and a rotation takes one: make new keys with setup, and publish "
            "their commitment"
        )
    old, key, weights = keys.commitment, keys.commitment.key_as(NativeVerifyingKey), keys.weights
    parameters, ancestors = key.opening, (*keys.ancestors, key.root)
    folder, temporary = place_for_keys(folder)
    with building_folder(folder) as part:
        sizes = KeySizes(parameters, key.proofs)
        matrix = commit_weights(keys.program, weights, sizes, seed, part / MATRIX_FOLDER)
        if matrix.commitment.root in ancestors:
            raise InvalidInputError(
                "the seed is that of keys that these were rotated from, and gives their commitment again, with a "
                "second budget: the new commitment needs fresh randomness"
            )
        found = matrix.commitment
        new = renewed(old, found.root, link_bytes(found), found.nonce)
        if old.range_proof:
            new = Commitment(new.program, new.key, prove_ranges(new, matrix, seed))
        secrets = write_keys(part, new, weights, seed, ancestors, keys.proof_size)
        _remember(keys.folder, new_root=found.root)
        old_copy, new_copy = keys.matrix.take(), matrix.take()
        with keys.matrix.proving_from(old_copy.place.number):
            _rotation(old, new, old_copy, new_copy).save(part / ROTATION_FILE)
    return NativeKeys(folder, new, secrets, temporary)


def _remember(folder: Path, new_root: bytes) -> None:
    """Write down, durably, to which commitment keys are rotated, before an opening of it exists.

    A second rotation to the same commitment would show other columns of a copy that hides one opening.

    Raises:
        InvalidInputError: they were rotated to it before.
        ResourceError: the folder of the old keys cannot be written.
    """
    try:
        os.close(os.open(folder / f"rotated-{new_root.hex()}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        sync_folder(folder)
    except FileExistsError:
        raise InvalidInputError(
            "these keys were rotated with this seed before, or a rotation with it was begun: a second one would show "
            "more of the weights' randomness than hides them. Use a seed that was never used"
        ) from None
    except OSError as error:
        raise ResourceError(f"cannot write {folder}: {error.strerror}") from error


def _rotation(old: Commitment, new: Commitment, old_copy: Opened, new_copy: Opened) -> Rotation:
    """The step between two commitments, once an opening of each was taken from its budget."""
    old_key, new_key = (commitment.key_as(NativeVerifyingKey) for commitment in (old, new))
    old_link, new_link = old_key.copies.link(), new_key.copies.link()
    links = None if old_link is None or new_link is None else (old_link, new_link)
    before, after = old_copy.place, new_copy.place
    context = rotation_context(old, new, (before, after))
    matrices = old_copy.matrix.without_masks(), new_copy.matrix.without_masks()
    proof = prove_rotation(*matrices, old_key.opening, context, links)
    places = (before.number, before.branch, after.number, after.branch)
    return Rotation(old.digest, new_key.root, new_key.link, new_key.link_nonce, *places, proof)
