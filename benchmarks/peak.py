"""The peak of memory of this process, for benchmarks."""

import re
from pathlib import Path


def peak_bytes() -> int:
    """Most bytes that were resident at once, libraries and mapped files included; of Linux.

    `getrusage` would give the parent's peak where that was higher: what a process was before it became another program
    counts there.
    """
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return 1024 * int(found[1])
