"""One call of `ezkl.verify`, in a process of its own: run by path, imports nothing of zkinfer.

ezkl may abort, hang or print; none of that must reach the process that asks. The one argument is a folder with
proof.json, settings.json, vk and srs; the outcome is written to outcome.json beside them.
"""

import contextlib
import json
import os
import sys
from importlib import metadata
from pathlib import Path

MEMORY_BYTES = 16 << 30


def limit() -> None:
    """No core files, and no more address space than `MEMORY_BYTES`, where the platform knows such limits."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def outcome() -> dict[str, str]:
    """What ezkl answers: "accepted", "refused" (with the reason) or "absent"; and its version."""
    try:
        import ezkl
    except ImportError as error:
        return {"outcome": "absent", "message": str(error), "version": ""}
    answer = {"message": "", "version": metadata.version("ezkl")}
    try:
        accepted = ezkl.verify("proof.json", "settings.json", "vk", "srs", True)
    except RuntimeError as error:
        return {"outcome": "refused", **answer, "message": str(error)}
    return {"outcome": "accepted" if accepted is True else "refused", **answer}


def main() -> None:
    """Ask, and write the answer down."""
    os.chdir(sys.argv[1])
    limit()
    Path("outcome.json").write_text(json.dumps(outcome()))


if __name__ == "__main__":
    main()
