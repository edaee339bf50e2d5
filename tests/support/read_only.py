"""A copy of the package that lies where nothing can be written, and processes that have no home: as in a container.

Permissions do not bind root, so what must not be written is a path through a regular file, for whoever runs the tests.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from support.paths import ROOT

from zkinfer.jit.compiling import PACKAGES


def read_only_copy(folder: Path) -> Path:
    """A copy of the package in a new folder, whose kernels cannot be kept beside their source."""
    copy = shutil.copytree(ROOT / "zkinfer", folder / "zkinfer", ignore=shutil.ignore_patterns("__pycache__"))
    for package in PACKAGES:
        (copy / package / "__pycache__").touch()
    return Path(copy.parent)


def run_there(
    place: Path, temporary: Path, *arguments: str | Path, **variables: str
) -> "subprocess.CompletedProcess[str]":
    """Run Python on a read-only copy, with no home and with one folder for temporary files."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA_", "XDG_"))}
    environment |= {"HOME": "/dev/null/home", "TMPDIR": str(temporary), "PYTHONPATH": str(place), **variables}
    command = [sys.executable, "-B", *map(str, arguments)]
    return subprocess.run(command, env=environment, cwd=place, capture_output=True, text=True, check=False)
