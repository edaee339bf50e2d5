"""What is installed is what the sources hold, also where an earlier build has left a folder behind."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import ROOT

pytest.importorskip("setuptools")


def test_a_module_of_an_earlier_build_is_not_packed(tmp_path: Path) -> None:
    built = tmp_path / "lib" / "zkinfer"
    (built / "gone").mkdir(parents=True)
    (built / "gone" / "__init__.py").write_text("")
    (built / "moved_away.py").write_text("")
    command = [sys.executable, "setup.py", "--quiet", "egg_info", "--egg-base", str(tmp_path)]
    subprocess.run([*command, "build", "--build-base", str(tmp_path)], cwd=ROOT, check=True, capture_output=True)
    assert (built / "errors.py").is_file()
    assert (built / "__init__.pyi").is_file()
    assert not (built / "gone").exists()
    assert not (built / "moved_away.py").exists()


def test_editable_installs_are_paths() -> None:
    """A hook of setuptools comes after the folders: above the clone, the clone itself would be taken as the package."""
    lines = [line for line in (ROOT / "Makefile").read_text().splitlines() if "editable" in line.lower()]
    installs = [line for line in lines if "$(PIP_INSTALL)" in line]
    assert len(installs) == 3
    assert all("$(EDITABLE)" in line for line in installs)
    assert "EDITABLE := --config-settings editable_mode=compat --editable" in lines
