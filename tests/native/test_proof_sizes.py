"""Balanced or small proofs: all sizes of a set of keys follow the choice, and verifiers need not know it."""

import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
from support.example_programs import mlp

from zkinfer.backend import PROOF_SIZES, ProofSize
from zkinfer.circuit.program import Program
from zkinfer.circuit.qformat import dequantize
from zkinfer.errors import ArtifactError
from zkinfer.files.artifact import wrap
from zkinfer.files.key_folder import SECRET_FILE, SECRET_KIND
from zkinfer.files.native_key import NativeVerifyingKey
from zkinfer.files.proof import Proof
from zkinfer.files.rotation import ROTATION_FILE
from zkinfer.native.estimate import estimate
from zkinfer.native.keys import SECRET_VERSION, NativeKeys, Secrets
from zkinfer.native.prove import header_for, own_parameters
from zkinfer.native.rotate import rotate
from zkinfer.native.setup import key_sizes, setup
from zkinfer.protocol import security
from zkinfer.protocol.native_proof.encoding import Header, decode
from zkinfer.protocol.pcs.params import MAX_LOG_LENGTH
from zkinfer.protocol.reduction.plan import make_plan
from zkinfer.protocol.reduction.weight_ranges import make_range_plan
from zkinfer.verifier import native, verify
from zkinfer.verifier.reference import levels as reference_levels
from zkinfer.verifier.reference import proof as reference

EXAMPLE = mlp()
INPUTS = dequantize(EXAMPLE.x, EXAMPLE.program.inputs[0])
PLAN = make_plan(EXAMPLE.program, 1, (False,), (False,))
SEED = bytes(range(32))


def keys_for(proof_size: ProofSize, folder: Path | None = None) -> NativeKeys:
    return setup(EXAMPLE.program, EXAMPLE.weights, folder=folder, proofs=4, seed=SEED, proof_size=proof_size)


def proof_of(keys: NativeKeys) -> Proof:
    return keys.prove([EXAMPLE.x[None]], b"")


def header_of(keys: NativeKeys) -> Header:
    """The sizes of a proof of these keys."""
    return decode(proof_of(keys).data).header


def program_of(weights: int) -> Program:
    """A program with so many weights, at least."""
    (first, *_) = EXAMPLE.program.weights
    wide = msgspec.structs.replace(first, shape=(weights >> 10, 1 << 10))
    return Program(1, EXAMPLE.program.inputs, (wide,), (), (), (0,))


def test_the_choice_is_one() -> None:
    balanced, small = PROOF_SIZES
    assert header_for(PLAN, balanced) != header_for(PLAN, small)
    assert key_sizes(EXAMPLE.program, 4, balanced) != key_sizes(EXAMPLE.program, 4, small)


@pytest.mark.parametrize("proof_size", PROOF_SIZES)
def test_proofs_have_the_sizes_that_were_chosen_and_both_verifiers_accept_them(proof_size: ProofSize) -> None:
    keys = keys_for(proof_size)
    proof = proof_of(keys)
    assert keys.commitment.key_as(NativeVerifyingKey).opening == key_sizes(EXAMPLE.program, 4, proof_size).opening
    assert decode(proof.data).header == header_for(PLAN, proof_size)
    found = [verify(proof, keys.commitment, inputs=INPUTS, engine=engine) for engine in ("python", "reference")]
    np.testing.assert_array_equal(found[0].outputs, found[1].outputs)
    assert min(result.security_bits for result in found) >= security.DEFAULT_BITS


def test_small_proofs_have_fewer_bytes() -> None:
    """The mean of some: bytes of a proof depend on the paths that its columns share."""
    balanced, small = (sum(len(proof_of(keys).data) for _ in range(3)) for keys in map(keys_for, PROOF_SIZES))
    assert small < balanced


@pytest.mark.parametrize("kept", PROOF_SIZES)
def test_a_verifier_need_not_know_the_choice(kept: ProofSize) -> None:
    """It is in no public file: a proof whose prover chose otherwise than the keys say is as good, by its own sizes."""
    keys = keys_for(kept)
    (other,) = set(PROOF_SIZES) - {kept}
    keys.proof_size = other
    proof = proof_of(keys)
    assert decode(proof.data).header == header_for(PLAN, other)
    for engine in ("python", "reference"):
        assert verify(proof, keys.commitment, inputs=INPUTS, engine=engine).security_bits >= security.DEFAULT_BITS


@pytest.mark.parametrize("proof_size", PROOF_SIZES)
def test_the_choice_stays_in_the_folder(proof_size: ProofSize, tmp_path: Path) -> None:
    """When keys are loaded and moved, so that all later proofs keep to it."""
    made = keys_for(proof_size, tmp_path / "keys")
    loaded = NativeKeys.load(tmp_path / "keys")
    assert made.proof_size == loaded.proof_size == proof_size
    assert header_of(loaded) == header_for(PLAN, proof_size)
    loaded.save(tmp_path / "moved")
    assert NativeKeys.load(tmp_path / "moved").proof_size == proof_size


def test_rotated_keys_keep_the_choice(tmp_path: Path) -> None:
    old = keys_for("small")
    new = rotate(old, folder=tmp_path / "new")
    assert new.proof_size == NativeKeys.load(tmp_path / "new").proof_size == "small"
    assert new.commitment.key_as(NativeVerifyingKey).opening == old.commitment.key_as(NativeVerifyingKey).opening
    proof = proof_of(new)
    assert decode(proof.data).header == header_for(PLAN, "small")
    verify(proof, old.commitment, inputs=INPUTS, lineage=[tmp_path / "new" / ROTATION_FILE])


def rewritten(keys: NativeKeys, folder: Path, *choice: str) -> Path:
    """The folder of keys with another last field of its secrets, or none."""
    shutil.copytree(keys.folder, folder)
    fields = [getattr(keys._secrets, name) for name in Secrets.__struct_fields__]
    payload = msgspec.msgpack.encode([*fields[:-1], *choice])
    (folder / SECRET_FILE).write_bytes(wrap(SECRET_KIND, SECRET_VERSION, payload))
    return folder


def test_folders_without_a_choice_are_for_balanced_proofs(tmp_path: Path) -> None:
    """Those of versions before there was one."""
    keys = keys_for("balanced")
    assert NativeKeys.load(rewritten(keys, tmp_path / "before")).proof_size == "balanced"
    assert NativeKeys.load(rewritten(keys, tmp_path / "same", "small")).proof_size == "small"


def test_a_folder_with_a_choice_that_there_is_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="'tiny'"):
        NativeKeys.load(rewritten(keys_for("balanced"), tmp_path / "keys", "tiny"))


def test_the_proof_about_the_weights_does_not_follow_the_choice() -> None:
    """Keys that were made twice with one seed, for either choice, may have one commitment: it is opened alike then."""
    for proof_size in PROOF_SIZES:
        about_weights = decode(keys_for(proof_size).commitment.range_proof)
        assert about_weights.header == header_for(make_range_plan(EXAMPLE.program))


@pytest.mark.parametrize("proof_size", PROOF_SIZES)
def test_verifiers_accept_the_sizes_for_any_number_of_cells(proof_size: ProofSize) -> None:
    """And of both limits on work the reference's is the same."""
    assert native.MAX_OPENING_WORK == reference.MAX_OPENING_WORK
    assert native.MAX_SPARE_COLUMNS == reference.MAX_COLUMNS_PER_CELL
    for bits in range(0, 36, 5):
        for cells in (1 << bits, 3 << bits):
            chosen = own_parameters(cells, proof_size)
            assert chosen.code.dimension * chosen.queries <= native.MAX_OPENING_WORK
            assert chosen.code.columns <= native.MAX_SPARE_COLUMNS * cells
            assert max(chosen.query_grinding, chosen.weight_grinding) <= security.MAX_GRINDING_IN_DEFAULT


@pytest.mark.parametrize("proof_size", PROOF_SIZES)
@pytest.mark.parametrize("weights", [1 << 13, 1 << 30])
@pytest.mark.parametrize("proofs", [1, 2000])
def test_verifiers_accept_the_sizes_for_any_weights(proof_size: ProofSize, weights: int, proofs: int) -> None:
    assert MAX_LOG_LENGTH == reference.MAX_LOG_LENGTH == reference_levels.MAX_LOG_LENGTH
    sizes = key_sizes(program_of(weights), proofs, proof_size)
    code = sizes.opening.code
    assert code.log_length <= reference.MAX_LOG_LENGTH
    assert sizes.opening.queries <= reference.MAX_QUERIES
    assert -(-weights >> code.log_columns) <= reference.MAX_ROWS
    assert sizes.log_copies <= reference.MAX_LOG_COPIES
    reference_levels.level_sizes(2, code.dimension)  # refuses vectors that no code is long enough for


def test_an_estimate_says_what_either_choice_takes() -> None:
    found = {size: estimate(EXAMPLE.program, EXAMPLE.weights, proofs=100, proof_size=size) for size in PROOF_SIZES}
    for size, other in (PROOF_SIZES, PROOF_SIZES[::-1]):
        (named,) = found[size].other_sizes
        expected = found[other]
        assert found[size].proof_size == size
        assert (named.proof_size, named.proof_bytes) == (other, expected.proof_bytes)
        assert (named.prove_seconds, named.setup_seconds) == (expected.prove_seconds, expected.setup_seconds)
        rows = dict(found[size].rows())
        assert rows["proof size"] == size
        assert rows[f"with proof size {other}"].startswith(dict(expected.rows())["proof"])
    assert found["small"].proof_bytes < found["balanced"].proof_bytes
    assert found["small"].prove_seconds > found["balanced"].prove_seconds


@pytest.mark.parametrize("proof_size", PROOF_SIZES)
def test_the_room_for_a_proof_is_that_of_its_choice(proof_size: ProofSize) -> None:
    keys = keys_for(proof_size)
    assert 1 <= keys.proof_bytes(1) / len(proof_of(keys).to_bytes()) <= 1.6
