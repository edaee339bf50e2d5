"""Audits: a true commitment passes, and each way in which one could be false is found."""

from pathlib import Path

import msgspec
import pytest
from support.example_programs import Example, mlp

from zkinfer.audits.commitment import audit_keys, audit_weights
from zkinfer.errors import ArtifactError, CommitmentMismatchError, InvalidInputError, ResourceError
from zkinfer.ezkl.keys import EzklKeys
from zkinfer.ezkl.setup import setup
from zkinfer.ezkl.srs import generate
from zkinfer.ezkl.verifying_key import EzklVerifyingKey
from zkinfer.files.commitment import Commitment
from zkinfer.files.native_key import NativeVerifyingKey
from zkinfer.native.keys import NativeKeys
from zkinfer.native.setup import setup as setup_native

replace = msgspec.structs.replace


@pytest.fixture(scope="module")
def example() -> Example:
    return mlp()


@pytest.fixture(scope="module")
def keys(example: Example) -> EzklKeys:
    return setup(example.program, example.weights, proofs=4)


@pytest.fixture(scope="module")
def native(example: Example) -> NativeKeys:
    return setup_native(example.program, example.weights, proofs=4)


@pytest.fixture(scope="module")
def srs(keys: EzklKeys) -> Path:
    return keys.folder / "reference.srs"


def test_the_holder_of_weights_and_seed_finds_them_committed(keys: EzklKeys, srs: Path) -> None:
    audit = audit_weights(keys.commitment, keys.weights, keys.seed, srs)
    assert audit.fingerprint == keys.commitment.fingerprint
    assert len(audit.checked) == 2


@pytest.mark.parametrize("tensor", [0, 1, 2])
def test_one_other_weight_is_found(keys: EzklKeys, srs: Path, tensor: int) -> None:
    weights = [w.copy() for w in keys.weights]
    weights[tensor].flat[0] -= 1 if weights[tensor].flat[0] > 0 else -1
    with pytest.raises(CommitmentMismatchError, match="other weights"):
        audit_weights(keys.commitment, weights, keys.seed, srs)


def test_weights_alone_do_not_open_the_commitment(keys: EzklKeys, srs: Path) -> None:
    """Without the seed, whoever guesses the weights cannot tell whether the guess is right."""
    with pytest.raises(CommitmentMismatchError, match="another seed"):
        audit_weights(keys.commitment, keys.weights, bytes(32), srs)


def test_weights_for_which_the_bounds_are_false_are_found(keys: EzklKeys, srs: Path) -> None:
    with pytest.raises(CommitmentMismatchError, match="bounds do not hold"):
        audit_weights(keys.commitment, [w * 50 for w in keys.weights], keys.seed, srs)


def test_weights_of_another_shape_are_a_mistake_of_the_caller(keys: EzklKeys, srs: Path) -> None:
    with pytest.raises(InvalidInputError, match="takes weights of shapes"):
        audit_weights(keys.commitment, keys.weights[:-1], keys.seed, srs)


def test_another_reference_string_is_refused(keys: EzklKeys, tmp_path: Path) -> None:
    other = tmp_path / "other.srs"
    other.write_bytes(generate(keys.commitment.key_as(EzklVerifyingKey).srs.logrows, 12345))
    with pytest.raises(ArtifactError, match="not the structured reference string"):
        audit_weights(keys.commitment, keys.weights, keys.seed, other)
    with pytest.raises(ArtifactError, match="not the structured reference string"):
        audit_keys(keys.commitment, other)


def test_anyone_derives_the_same_keys_from_the_program(keys: EzklKeys, srs: Path) -> None:
    assert "follow from the published program" in audit_keys(keys.commitment, srs).checked[0]


@pytest.mark.parametrize(
    ("field", "what"), [("settings", "settings"), ("verifying_key", "verifying key"), ("artifact", "verifier")]
)
def test_keys_that_do_not_follow_from_the_program_are_found(keys: EzklKeys, srs: Path, field: str, what: str) -> None:
    """A hostile owner could publish a verifier that accepts more than the program."""
    data: bytes = getattr(keys.commitment.key, field)
    edited = Commitment(keys.program, replace(keys.commitment.key, **{field: data[:-2] + b"  "}))
    with pytest.raises(CommitmentMismatchError, match=f"published {what} is not"):
        audit_keys(edited, srs)


def test_the_keys_of_another_program_are_found(keys: EzklKeys, srs: Path) -> None:
    """Same shapes, one table entry changed: another function, and another verifying key."""
    table = keys.program.tables[0]
    changed = replace(table, values=(*table.values[:-1], table.values[-1] - 1))
    other = Commitment(replace(keys.program, tables=(changed,)), keys.commitment.key)
    with pytest.raises(CommitmentMismatchError, match="verifying key"):
        audit_keys(other, srs)


# Commitments of the native backend: a root instead of points, and no keys to derive.


def test_the_holder_of_weights_and_seed_finds_the_root(native: NativeKeys) -> None:
    audit = audit_weights(native.commitment, native.weights, native.seed)
    assert audit.fingerprint == native.commitment.fingerprint
    assert "exactly the published commitment" in audit.checked[0]
    assert len(audit.checked) == 2


@pytest.mark.parametrize("tensor", [0, 1, 2])
def test_one_other_weight_gives_another_root(native: NativeKeys, tensor: int) -> None:
    weights = [w.copy() for w in native.weights]
    weights[tensor].flat[0] -= 1 if weights[tensor].flat[0] > 0 else -1
    with pytest.raises(CommitmentMismatchError, match="other weights"):
        audit_weights(native.commitment, weights, native.seed)


def test_weights_alone_do_not_open_the_root(native: NativeKeys) -> None:
    with pytest.raises(CommitmentMismatchError, match="another seed"):
        audit_weights(native.commitment, native.weights, bytes(32))


def test_false_bounds_are_found_under_a_root_too(native: NativeKeys) -> None:
    with pytest.raises(CommitmentMismatchError, match="bounds do not hold"):
        audit_weights(native.commitment, [w * 50 for w in native.weights], native.seed)


def test_sizes_that_the_weights_do_not_explain_take_the_auditor_s_consent(native: NativeKeys) -> None:
    """A commitment of 57 kB may name codewords of 2^24 symbols for any number of rows."""
    key = native.commitment.key_as(NativeVerifyingKey)
    huge = Commitment(native.commitment.program, replace(key, log_length=24))
    with pytest.raises(ResourceError, match=r"pass max_bytes=\d+ \(--max-bytes\)"):
        audit_weights(huge, native.weights, native.seed)
    with pytest.raises(ResourceError, match="max_bytes"):
        audit_weights(native.commitment, native.weights, native.seed, max_bytes=1)
    assert audit_weights(native.commitment, native.weights, native.seed, max_bytes=1 << 30).checked


def test_arguments_of_the_other_backend_are_named(native: NativeKeys, keys: EzklKeys, srs: Path) -> None:
    with pytest.raises(InvalidInputError, match="takes no reference string"):
        audit_weights(native.commitment, native.weights, native.seed, srs)
    with pytest.raises(InvalidInputError, match="needs the reference string"):
        audit_weights(keys.commitment, keys.weights, keys.seed)
    with pytest.raises(InvalidInputError, match="has no keys to audit"):
        audit_keys(native.commitment, srs)
    for held in (native, keys):
        with pytest.raises(InvalidInputError, match="32 bytes, not 31"):
            audit_weights(held.commitment, held.weights, bytes(31), srs if held is keys else None)
