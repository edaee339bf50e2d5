"""How much memory this process may have: what the machine has, or less where it runs under a limit.

In a container, or under a batch system, the limit is that of a control group: of the process's own, or of one that this
is within. What exceeds it is killed, whatever the machine has left.
"""

import contextlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

OVERESTIMATED = 1.25
"""Work is refused if it is estimated to take more than so many times the memory that there is."""


def memory_limit(root: Path = Path("/")) -> int:
    """Bytes: the least of the machine's memory, the limits of control groups, and the process's own.

    Args:
        root: where `proc` is, and what is mounted.
    """
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *group_limits(root), *_own_limits()])


def _own_limits() -> Iterator[int]:
    """Of the address space and of the data of this process."""
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        soft, _ = resource.getrlimit(kind)
        if soft != resource.RLIM_INFINITY:
            yield soft


def group_limits(root: Path) -> Iterator[int]:
    """The limits of the control groups that this process is in, of either version, and of all that these are within."""
    paths = _paths(root)
    for mounted, place, name in _mounts(root):
        path = paths.get(name)
        if path is None:
            continue
        inside = path.relative_to(mounted) if path.is_relative_to(mounted) else PurePosixPath()
        top = root / place.relative_to("/")
        own = top.joinpath(*(part for part in inside.parts if part != ".."))
        for folder in (own, *own.parents):
            with contextlib.suppress(OSError, ValueError):  # no such file, or "max": no limit
                yield int((folder / name).read_text())
            if folder == top:
                break


_LIMIT, _LIMIT_V1 = "memory.max", "memory.limit_in_bytes"


def _paths(root: Path) -> dict[str, PurePosixPath]:
    """The process's control group, by the name of the file that has its limit."""
    found = {}
    for line in _lines(root / "proc/self/cgroup"):
        number, controllers, path = line.split(":", 2)
        if number == "0" and not controllers:
            found[_LIMIT] = PurePosixPath(path)
        elif "memory" in controllers.split(","):
            found[_LIMIT_V1] = PurePosixPath(path)
    return found


def _mounts(root: Path) -> Iterator[tuple[PurePosixPath, PurePosixPath, str]]:
    """Where control groups are seen: the group at the top, its folder, and the name of the file that has a limit."""
    for line in _lines(root / "proc/self/mountinfo"):
        own, _, other = line.partition(" - ")
        _, _, _, mounted, place, *_ = own.split(" ")
        kind, _, options = other.split(" ", 2)
        if kind == "cgroup2":
            yield PurePosixPath(mounted), PurePosixPath(place), _LIMIT
        elif kind == "cgroup" and "memory" in options.split(","):
            yield PurePosixPath(mounted), PurePosixPath(place), _LIMIT_V1


def _lines(path: Path) -> list[str]:
    """Of a file of the kernel; none where there is no such file, as on other systems than Linux."""
    try:
        # Names of groups are any bytes but line ends.
        return [line for line in os.fsdecode(path.read_bytes()).split("\n") if line]
    except OSError:
        return []
