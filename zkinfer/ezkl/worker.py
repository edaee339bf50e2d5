"""The process in which ezkl runs. It serves one request and ends.

Run as ``python -m zkinfer.ezkl.worker`` with a request on standard input:
``{"calls": [[name, args, kwargs], ...]}``. Answers with one JSON line on the descriptor given as its argument.
ezkl can panic, abort, hang or hold the interpreter's lock for minutes, so it never runs anywhere else.
"""

import asyncio
import inspect
import json
import os
import sys
from typing import Any

ALLOWED = frozenset(
    {
        "gen_settings",
        "compile_circuit",
        "setup",
        "gen_witness",
        "prove",
        "verify",
        "create_evm_verifier",
        "kzg_commit",
    }
)


async def _run(name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    import ezkl

    if name not in ALLOWED:
        raise ValueError(f"{name!r} is not a call that this worker makes")
    if "py_run_args" in kwargs:
        run_args = ezkl.PyRunArgs()
        for key, value in kwargs["py_run_args"].items():
            setattr(run_args, key, tuple(value) if isinstance(value, list) else value)
        kwargs["py_run_args"] = run_args
    result = getattr(ezkl, name)(*args, **kwargs)
    return await result if inspect.isawaitable(result) else result


def _as_json(result: Any) -> Any:
    if isinstance(result, list) and result and hasattr(result[0], "x"):
        return [[point.x, point.y] for point in result]
    return result if isinstance(result, bool | int | float | str) else None


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    results: list[Any] = []
    for name, args, kwargs in request["calls"]:
        try:
            result = asyncio.run(_run(name, args, kwargs))
        except BaseException as error:  # ezkl's panics are no Exceptions
            return {"results": results, "failed": name, "error": type(error).__name__, "message": str(error)}
        results.append(_as_json(result))
    return {"results": results}


def main() -> None:
    """Serve one request."""
    descriptor = int(sys.argv[1])
    answer = _answer(json.load(sys.stdin))
    with os.fdopen(descriptor, "w") as channel:
        json.dump(answer, channel)
    # ezkl's threads can crash the interpreter while it shuts down; the answer is already out.
    os._exit(0)


if __name__ == "__main__":
    main()
