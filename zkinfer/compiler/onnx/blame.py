"""Errors of other libraries over a model, as errors of this one."""

from collections.abc import Iterator
from contextlib import contextmanager

from zkinfer.errors import CompileError, ZkinferError


@contextmanager
def blame(what: str) -> Iterator[None]:
    """Turn any exception that a library raises over a model into a CompileError.

    Malicious and unusual models make ONNX's tools raise exceptions of many classes, their own and bare RuntimeErrors of
    their C++ code.

    Args:
        what: says what is wrong with the model; the library's message follows it.
    """
    try:
        yield
    except ZkinferError:
        raise
    except Exception as error:
        detail = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CompileError(f"{what}: {detail}") from error
