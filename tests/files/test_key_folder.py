"""Moving keys to another file system: the budget is in one place at a time."""

import errno
from pathlib import Path

import pytest

from zkinfer.errors import BudgetError, InvalidInputError, ResourceError
from zkinfer.files.budget import Budget, create
from zkinfer.files.key_folder import move_keys


def budget(folder: Path) -> Budget:
    return Budget(folder / "budget", bytes(32), 3)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with one of three proofs spent."""
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "file").write_text("content")
    create(folder / "budget", bytes(32), 3)
    budget(folder).spend()
    return folder


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Renaming a whole folder fails as if the target were on another file system; a part under construction moves."""
    rename = Path.rename

    def other_device(path: Path, target: Path) -> Path:
        if ".part-" not in path.name:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", other_device)


def move(source: Path, target: Path) -> Path:
    return move_keys(source, target, budget(source))


def test_within_a_file_system_it_is_renamed(source: Path, tmp_path: Path) -> None:
    inode = (source / "budget").stat().st_ino
    target = move(source, tmp_path / "new" / "target")
    assert not source.exists()
    assert (target / "budget").stat().st_ino == inode


@pytest.mark.usefixtures("elsewhere")
def test_to_another_file_system_it_is_copied_and_removed(source: Path, tmp_path: Path) -> None:
    target = move(source, tmp_path / "target")
    assert not source.exists()
    assert (target / "file").read_text() == "content"
    assert budget(target).spent == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["target"]


@pytest.mark.usefixtures("elsewhere")
def test_whoever_still_has_the_old_folder_gets_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zkinfer.files.key_folder.shutil.rmtree", lambda *_, **__: None)
    target = move(source, tmp_path / "target")
    with pytest.raises(BudgetError):
        budget(source).spend()
    assert budget(target).spend() == 1


@pytest.mark.usefixtures("elsewhere")
def test_a_copy_that_fails_leaves_the_old_folder_in_use(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("zkinfer.files.key_folder.shutil.copytree", full)
    with pytest.raises(ResourceError, match="No space left"):
        move(source, tmp_path / "target")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
    assert budget(source).spend() == 1


def test_an_existing_target_is_left_alone(source: Path, tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    with pytest.raises(InvalidInputError, match="exists"):
        move(source, tmp_path / "target")
    assert source.exists()


@pytest.mark.skipif("os.geteuid() == 0", reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(source: Path, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    with pytest.raises(ResourceError, match="cannot write"):
        move(source, locked / "target")
    assert source.exists()
