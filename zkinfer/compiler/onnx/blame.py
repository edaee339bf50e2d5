"""Errors of other libraries over a model, as errors of this one."""

from collections.abc import Iterator
from contextlib import contextmanager

from zkinfer.errors import CompileError, ZkinferError


@contextmanager
def blame(what: str) -> Iterator[None]:
    """Turn whatever a library raises over a model into a CompileError that says what was being done.

    Hostile and merely unusual models make ONNX's tools raise nearly anything, from their own classes to bare
    RuntimeErrors of their C++ side.
    """
    try:
        yield
    except ZkinferError:
        raise
    except Exception as error:
        detail = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CompileError(f"{what}: {detail}") from error
