"""Kernels where neither the package's folder nor a home can be written: kept in a folder of this user alone, or not."""

import os
import stat
import tempfile
from pathlib import Path

import pytest

pytest.importorskip("numba")

from support.read_only import read_only_copy, run_there

from zkinfer.jit.private_folder import NAME, is_private, private_folder

USE_A_KERNEL = """
import zkinfer
assert zkinfer.__file__.startswith({place!r}), zkinfer.__file__
import zkinfer.protocol.lookup.kernels, zkinfer.protocol.sumcheck.kernels, zkinfer.native.kernels
from zkinfer.jit.compiling import kernel
from zkinfer.protocol.field.kernels import from_ints, to_ints
assert to_ints(from_ints([1, 2, -3])).tolist()[:2] == [1, 2]
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, for this process too."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr("zkinfer.jit.private_folder._say", lambda line: None)
    private_folder.cache_clear()
    return folder


def own_name() -> str:
    return f"{NAME}-{os.geteuid()}"


def test_without_home_and_cache_kernels_are_kept_in_a_private_folder(tmp_path: Path, temporary: Path) -> None:
    place = read_only_copy(tmp_path / "package")
    folder = temporary / own_name()
    code = USE_A_KERNEL.format(place=str(place))
    done = run_there(place, temporary, "-c", code)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("zkinfer: kernels are")]
    assert f"kept in {folder}" in line
    assert is_private(folder)
    kept = {path.name for path in folder.rglob("*.nbi")}
    assert kept
    made = {path: path.stat().st_mtime_ns for path in folder.rglob("*.nbc")}
    assert run_there(place, temporary, "-c", code).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.nbc")} == made


def test_without_any_folder_kernels_are_compiled_by_each_process(tmp_path: Path) -> None:
    place = read_only_copy(tmp_path / "package")
    code = (
        "import tempfile; from pathlib import Path; tempfile.tempdir = '/dev/null/tmp'\n"
        "from zkinfer.jit.compiling import kernel\n"
        "import zkinfer.protocol.merkle.kernels\n"
    )
    done = run_there(place, tmp_path, "-c", code)
    assert done.returncode == 0, done.stderr
    assert "compiled anew by each process" in done.stderr


def test_the_folder_is_the_same_for_all_processes_of_a_user(temporary: Path) -> None:
    folder = private_folder()
    assert folder == temporary / own_name()
    private_folder.cache_clear()
    assert private_folder() == folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("planted", ["link", "open", "file", "dangling"])
def test_what_somebody_else_may_write_is_not_used(temporary: Path, tmp_path: Path, planted: str) -> None:
    """Kept kernels are code: who can put a file there runs it as this user."""
    path = temporary / own_name()
    if planted == "link":
        (tmp_path / "theirs").mkdir(mode=0o700)
        path.symlink_to(tmp_path / "theirs")
    elif planted == "dangling":
        path.symlink_to(tmp_path / "nowhere")
    elif planted == "open":
        path.mkdir()
        path.chmod(0o770)
    else:
        path.touch()
    folder = private_folder()
    assert folder is not None
    assert folder != path
    assert is_private(folder)
    assert not any((tmp_path / "theirs").glob("*"))


def test_a_folder_of_another_user_is_not_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o700)
    assert is_private(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    assert not is_private(tmp_path)
