"""Where kernels are kept if neither the package's folder nor the user's home can be written, as in many containers.

What is kept is code that runs when it is read, so the folder has to be this user's alone.
"""

import atexit
import os
import shutil
import stat
import sys
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

NAME = "zkinfer-kernels"


@cache
def private_folder() -> Path | None:
    """A folder for compiled kernels below that for temporary files; None where there is none. Says which, once.

    Usually it is the same one for all processes of this user, so that kernels are compiled once. If somebody else has
    put something in its place, it is a new one, which is removed when the process ends.
    """
    try:
        folder = _shared() or _fresh()
    except OSError:
        folder = None
    where = "compiled anew by each process" if folder is None else f"kept in {folder}"
    _say(
        f"zkinfer: kernels are {where}, because neither the package's folder nor the user's cache can be written; "
        "NUMBA_CACHE_DIR names another place"
    )
    return folder


def is_private(path: Path) -> bool:
    """Whether this is a folder, not a link to one, of this user, that nobody else can enter."""
    found = path.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077


def _shared() -> Path | None:
    folder = Path(tempfile.gettempdir()) / f"{NAME}-{os.geteuid()}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    return folder if is_private(folder) else None


def _fresh() -> Path:
    folder = tempfile.mkdtemp(prefix=f"{NAME}-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _say(line: str) -> None:
    print(line, file=sys.stderr)
