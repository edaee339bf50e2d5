"""Rotating keys: the same model under a fresh commitment, for whoever trusts the old one."""

import stat
from pathlib import Path

import numpy as np
import pytest
from support.example_programs import mlp

import zkinfer as zk
from zkinfer.backend import Keys
from zkinfer.circuit.qformat import dequantize
from zkinfer.errors import BudgetError, CommitmentMismatchError, InvalidInputError
from zkinfer.files.commitment import Commitment
from zkinfer.files.native_key import NativeVerifyingKey
from zkinfer.files.rotation import ROTATION_FILE, Rotation
from zkinfer.native import rotate as rotate_module
from zkinfer.native.keys import NativeKeys
from zkinfer.native.rotate import rotate
from zkinfer.native.setup import commits_to, setup
from zkinfer.verifier import verify
from zkinfer.verifier.lineage import follow
from zkinfer.verifier.native import check_ranges
from zkinfer.verifier.rotation import rotation_bits

EXAMPLE = mlp()
SEED = bytes(range(32))


def fresh(folder: Path, proofs: int = 3) -> NativeKeys:
    return setup(EXAMPLE.program, EXAMPLE.weights, folder=folder, proofs=proofs)


def reached(published: Commitment, *keys: NativeKeys) -> Commitment:
    """Where the rotations of these keys lead to."""
    return follow(published, [k.folder / ROTATION_FILE for k in keys], keys[-1].commitment.digest)


def test_the_new_commitment_is_reached_from_the_old_one(tmp_path: Path) -> None:
    old = fresh(tmp_path / "old")
    new = rotate(old, folder=tmp_path / "new")
    assert new.commitment != old.commitment
    assert reached(old.commitment, new).digest == new.commitment.digest
    assert (old.proofs_left, new.proofs_left) == (2, 2)


def test_a_proof_of_the_new_keys_convinces_whoever_trusts_the_old_commitment(tmp_path: Path) -> None:
    old = fresh(tmp_path / "old")
    new = rotate(old, folder=tmp_path / "new")
    x = dequantize(EXAMPLE.x, EXAMPLE.program.inputs[0])
    proof = new.prove([EXAMPLE.x[None]], b"request 1")
    lineage = [tmp_path / "new" / ROTATION_FILE]
    verified = verify(proof, old.commitment, inputs=x, context=b"request 1", lineage=lineage)
    directly = verify(proof, new.commitment, inputs=x, context=b"request 1")
    np.testing.assert_array_equal(verified.outputs, directly.outputs)
    assert verified.fingerprint == old.commitment.fingerprint
    parts = (directly.security_bits, rotation_bits(old.commitment), check_ranges(old.commitment))
    assert verified.security_bits == min(parts) >= 128


@pytest.mark.parametrize("steps", [[], [1]])
def test_without_its_own_rotation_the_proof_is_for_another_commitment(tmp_path: Path, steps: list[int]) -> None:
    old = fresh(tmp_path / "old")
    new, other = (rotate(old, folder=tmp_path / name) for name in ("new", "other"))
    proof = new.prove([EXAMPLE.x[None]], b"")
    x = dequantize(EXAMPLE.x, EXAMPLE.program.inputs[0])
    lineage = [(new, other)[i].folder / ROTATION_FILE for i in steps]
    with pytest.raises(CommitmentMismatchError, match="another commitment"):
        verify(proof, old.commitment, inputs=x, lineage=lineage)


def test_the_public_function_takes_keys_of_the_native_backend_alone(tmp_path: Path) -> None:
    old = fresh(tmp_path / "old")
    new = zk.rotate(old, folder=tmp_path / "new", seed=SEED)
    assert isinstance(new, NativeKeys)
    assert new.seed == SEED
    assert reached(old.commitment, new).digest == new.commitment.digest
    old.backend = "ezkl"
    with pytest.raises(InvalidInputError, match="'ezkl' are not rotated"):
        zk.rotate(old)


def test_keys_are_rotated_again_and_again(tmp_path: Path) -> None:
    old = fresh(tmp_path / "old", proofs=2)
    first = rotate(old, folder=tmp_path / "first")
    second = rotate(first, folder=tmp_path / "second")
    assert reached(old.commitment, first, second).digest == second.commitment.digest
    assert [k.proofs_left for k in (old, first, second)] == [1, 0, 1]


def test_new_keys_are_whole_keys(tmp_path: Path) -> None:
    old = fresh(tmp_path / "old")
    rotate(old, folder=tmp_path / "new")
    loaded = Keys.load(tmp_path / "new")
    assert isinstance(loaded, NativeKeys)
    for loaded_weights, weights in zip(loaded.weights, EXAMPLE.weights, strict=True):
        np.testing.assert_array_equal(loaded_weights, weights)
    assert NativeKeys.load(tmp_path / "new", verify_files=True).proofs_left == 2
    secrets = [p for p in (tmp_path / "new").rglob("*") if p.is_file() and p.suffix not in {".zkc", ".zkr"}]
    assert {stat.S_IMODE(p.stat().st_mode) for p in secrets} == {0o600}


def test_a_temporary_folder_by_default(tmp_path: Path) -> None:
    old = fresh(tmp_path / "old")
    new = rotate(old)
    assert reached(old.commitment, new).digest == new.commitment.digest
    folder = new.folder
    del new
    assert not folder.exists()


def test_an_auditor_with_the_seed_finds_the_new_root_again(tmp_path: Path) -> None:
    commitment = rotate(fresh(tmp_path / "old"), folder=tmp_path / "new", seed=SEED).commitment
    assert commits_to(commitment, EXAMPLE.weights, SEED)


def test_one_seed_serves_one_rotation(tmp_path: Path) -> None:
    """Both would open the same copy of the new commitment, at other columns, and each would have the whole budget."""
    old = fresh(tmp_path / "old")
    rotate(old, folder=tmp_path / "new", seed=SEED)
    left = old.proofs_left
    with pytest.raises(InvalidInputError, match=r"rotated with this seed before.*Use a seed that was never used"):
        rotate(NativeKeys.load(tmp_path / "old"), folder=tmp_path / "again", seed=SEED)
    assert old.proofs_left == left, "nothing is spent"
    assert not (tmp_path / "again").exists()
    rotate(old, folder=tmp_path / "again")


def test_without_a_seed_the_randomness_is_fresh(tmp_path: Path) -> None:
    old = fresh(tmp_path / "old")
    a, b = (rotate(old, folder=tmp_path / name) for name in ("a", "b"))
    assert a.seed != b.seed
    assert a.commitment.key_as(NativeVerifyingKey).root != b.commitment.key_as(NativeVerifyingKey).root


def test_the_seed_of_the_old_keys_is_refused(tmp_path: Path) -> None:
    old = setup(EXAMPLE.program, EXAMPLE.weights, folder=tmp_path / "old", proofs=3, seed=SEED)
    with pytest.raises(InvalidInputError, match="that of the old keys: the new commitment needs fresh randomness"):
        rotate(old, folder=tmp_path / "new", seed=SEED)
    assert old.proofs_left == 3
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("generations", [1, 2])
def test_the_seed_of_an_ancestor_is_refused(tmp_path: Path, generations: int) -> None:
    """It would give the ancestor's commitment again, whose columns have been shown, with a budget of its own."""
    keys = setup(EXAMPLE.program, EXAMPLE.weights, folder=tmp_path / "0", proofs=3, seed=SEED)
    for generation in range(1, generations + 1):
        rotate(keys, folder=tmp_path / str(generation))
        keys = NativeKeys.load(tmp_path / str(generation))
    with pytest.raises(InvalidInputError, match=r"that these were rotated from.* needs fresh randomness"):
        rotate(keys, folder=tmp_path / "again", seed=SEED)
    assert keys.proofs_left == 2, "nothing is spent"
    assert not (tmp_path / "again").exists()
    assert len(keys.ancestors) == generations


def test_a_rotated_commitment_has_symbols_for_as_many_proofs(tmp_path: Path) -> None:
    """The opening that the first one kept for the proof about its weights is not added to the budget."""
    old = fresh(tmp_path / "old")
    new = rotate(old, folder=tmp_path / "new")
    assert new.budget == old.budget == 3
    assert new.matrix.reserved == old.matrix.reserved == 1


def test_the_first_commitment_speaks_for_the_weights_of_all_that_follow(tmp_path: Path) -> None:
    old = fresh(tmp_path / "old")
    new = rotate(old, folder=tmp_path / "new")
    x = dequantize(EXAMPLE.x, EXAMPLE.program.inputs[0])
    proof = new.prove([EXAMPLE.x[None]], b"")
    assert verify(proof, old.commitment, inputs=x, lineage=[new.folder / ROTATION_FILE]).weights_in_bounds


def test_a_rotated_commitment_speaks_for_its_weights_by_itself(tmp_path: Path) -> None:
    """It carries a proof of its own, so that it can be published in the place of the first one."""
    new = rotate(fresh(tmp_path / "old"), folder=tmp_path / "new")
    x = dequantize(EXAMPLE.x, EXAMPLE.program.inputs[0])
    proof = new.prove([EXAMPLE.x[None]], b"")
    assert verify(proof, new.commitment, inputs=x).weights_in_bounds


def test_keys_that_are_used_up_are_not_rotated(tmp_path: Path) -> None:
    old = fresh(tmp_path / "old", proofs=1)
    rotate(old, folder=tmp_path / "new")
    with pytest.raises(BudgetError, match="a rotation takes one"):
        rotate(old, folder=tmp_path / "newer")
    assert not (tmp_path / "newer").exists()


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    old = fresh(tmp_path / "old")
    with pytest.raises(InvalidInputError, match="exists"):
        rotate(old, folder=tmp_path / "old")
    assert old.proofs_left == 3


def test_a_crash_leaves_no_half_made_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may cost the old keys an opening, and never gives one back."""

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    old = fresh(tmp_path / "old")
    monkeypatch.setattr(rotate_module, "Rotation", crash)
    with pytest.raises(KeyboardInterrupt):
        rotate(old, folder=tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert NativeKeys.load(tmp_path / "old").proofs_left == 2


def test_the_rotation_shows_no_secret(tmp_path: Path) -> None:
    old = fresh(tmp_path / "old")
    new = rotate(old, folder=tmp_path / "new")
    content = (tmp_path / "new" / ROTATION_FILE).read_bytes()
    assert new.seed not in content
    assert old.seed not in content
    rotation = Rotation.from_bytes(content)
    assert (rotation.old_digest, rotation.root) == (
        old.commitment.digest,
        new.commitment.key_as(NativeVerifyingKey).root,
    )
