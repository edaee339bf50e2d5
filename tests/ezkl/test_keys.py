"""Key folders: whole or absent, private where they must be, checked when they are read."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.example_programs import Example, everything, mlp
from support.paths import TESTS

from zkinfer.backend import Keys
from zkinfer.errors import ArtifactError, BoundsError, InvalidInputError, ResourceError, WrongKeyError
from zkinfer.ezkl.keys import EzklKeys
from zkinfer.ezkl.prove import prove
from zkinfer.ezkl.setup import setup
from zkinfer.ezkl.verifying_key import EzklVerifyingKey
from zkinfer.files.artifact import building_folder
from zkinfer.files.key_folder import SECRET_FILE


def key_of(keys: EzklKeys) -> EzklVerifyingKey:
    """The verifying key that is published."""
    return keys.commitment.key_as(EzklVerifyingKey)


DAMAGES = {
    "a byte short": lambda data: data[:-1],
    "only the beginning": lambda data: data[:40],
    "a byte long": lambda data: data + b"x",
    "a flipped bit": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
}


@pytest.fixture
def copy(keys: EzklKeys, tmp_path: Path) -> Path:
    """A copy of the session's keys to damage."""
    return Path(shutil.copytree(keys.folder, tmp_path / "copy"))


def test_load_gives_back_what_setup_made(keys: EzklKeys) -> None:
    loaded = Keys.load(keys.folder)
    assert isinstance(loaded, EzklKeys)
    assert loaded.commitment == keys.commitment
    assert loaded.seed == keys.seed
    assert [w.tolist() for w in loaded.weights] == [w.tolist() for w in keys.weights]


def test_secrets_are_readable_by_their_owner_alone(keys: EzklKeys) -> None:
    assert stat.S_IMODE((keys.folder / SECRET_FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE(keys.folder.stat().st_mode) == 0o700


def test_no_other_file_holds_the_weights(keys: EzklKeys) -> None:
    """Field elements as ezkl writes them, or int64: neither the weights nor the salt appear elsewhere."""
    salt = keys.committed_weights[-1].to_bytes(32, "little")
    weights = keys.weights[0].astype("<i8").tobytes()
    for path in keys.folder.iterdir():
        data = path.read_bytes()
        assert (weights in data) == (path.name == SECRET_FILE)
        assert salt not in data
        assert salt.hex().encode() not in data


def test_save_moves(tmp_path: Path) -> None:
    """Two copies of a key would each spend the same budget."""
    example = mlp()
    keys = setup(example.program, example.weights, proofs=2)
    before = keys.folder
    keys.save(tmp_path / "saved")
    assert not before.exists()
    prove(keys, [example.x], b"")
    assert Keys.load(tmp_path / "saved").proofs_left == 1
    with pytest.raises(InvalidInputError, match="exists"):
        keys.save(tmp_path / "saved")


@pytest.mark.parametrize(
    "name",
    sorted(
        [
            "commitment.zkc",
            "secret.zkk",
            "budget",
            "circuit.ezkl",
            "proving.key",
            "verifying.key",
            "settings.json",
            "reference.srs",
            "model.onnx",
        ]
    ),
)
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(ArtifactError, match=name.split(".")[0]):
        Keys.load(copy)


@pytest.mark.parametrize("name", ["commitment.zkc", "secret.zkk", "circuit.ezkl", "proving.key", "settings.json"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_refused(copy: Path, name: str, damage: str) -> None:
    path = copy / name
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    with pytest.raises((ArtifactError, WrongKeyError)):
        Keys.load(copy)


def test_files_of_other_keys_are_refused(copy: Path) -> None:
    other = everything()
    foreign = setup(other.program, other.weights, proofs=2)
    shutil.copyfile(foreign.folder / "proving.key", copy / "proving.key")
    with pytest.raises(WrongKeyError, match="belongs to other keys"):
        Keys.load(copy)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ArtifactError):
            Keys.load(path)


def test_the_same_seed_gives_the_same_commitment(keys: EzklKeys, example: Example) -> None:
    again = setup(example.program, example.weights, proofs=64, seed=bytes(32))
    fresh = setup(example.program, example.weights, proofs=64)
    assert again.commitment == keys.commitment
    assert key_of(fresh).weight_points != key_of(keys).weight_points
    assert key_of(fresh).verifying_key == key_of(keys).verifying_key


def test_the_verifying_key_does_not_depend_on_the_weights(keys: EzklKeys, example: Example) -> None:
    other = setup(example.program, [w // 2 for w in example.weights], proofs=64, seed=bytes(32))
    assert key_of(other).verifying_key == key_of(keys).verifying_key
    assert key_of(other).artifact == key_of(keys).artifact
    assert key_of(other).weight_points != key_of(keys).weight_points


def test_arguments_out_of_range(example: Example) -> None:
    with pytest.raises(InvalidInputError, match="proofs"):
        setup(example.program, example.weights, proofs=0)
    with pytest.raises(InvalidInputError, match="32 bytes"):
        setup(example.program, example.weights, seed=b"short")
    with pytest.raises(BoundsError):
        setup(example.program, [w * 100 for w in example.weights])


def test_a_failed_setup_leaves_nothing(example: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("zkinfer.ezkl.setup.shutil.copyfile", full)
    with pytest.raises(ResourceError, match="No space left"):
        setup(example.program, example.weights, folder=tmp_path / "keys")
    assert list(tmp_path.iterdir()) == []


def test_kills_during_setup_leave_nothing_that_looks_like_keys(tmp_path: Path) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[2]); from pathlib import Path\n"
        "from support.example_programs import mlp; from zkinfer.ezkl.setup import setup\n"
        "example = mlp(); print('begun', flush=True)\n"
        "setup(example.program, example.weights, folder=Path(sys.argv[1]), proofs=2)"
    )
    target, support = tmp_path / "keys", str(TESTS)
    for delay in (0.05, 0.3, 0.6):
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(target), support], stdout=subprocess.PIPE, start_new_session=True
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(delay)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert not target.exists() or Keys.load(target)
        shutil.rmtree(target, ignore_errors=True)
    example = mlp()
    setup(example.program, example.weights, folder=target, proofs=2)
    assert [path.name for path in tmp_path.iterdir()] == ["keys"], "what was left behind was cleaned up"


def test_a_build_in_progress_is_not_cleaned_up_by_another(tmp_path: Path) -> None:
    with building_folder(tmp_path / "keys") as first:
        with building_folder(tmp_path / "keys") as second:
            assert first.exists()
            assert second.exists()
        shutil.rmtree(tmp_path / "keys")
    assert (tmp_path / "keys").exists()
