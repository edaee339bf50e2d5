"""Arguments of the public functions, as they are needed or refused with a sentence."""

import operator
import os
import re
from pathlib import Path

from zkinfer.errors import InvalidInputError


def whole_number(name: str, value: object, *, least: int = 1) -> int:
    """An argument as a Python integer, from Python's integers and numpy's.

    Args:
        name: of the argument, for the message: "the batch size".
        value: what the caller handed in.
        least: the smallest number accepted.

    Raises:
        InvalidInputError: something else, or a smaller number.
    """
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = least - 1
    if isinstance(value, bool) or number < least:
        raise InvalidInputError(f"{name} is a whole number from {least} on, got {value!r}")
    return number


_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")


def url_scheme(text: str) -> str:
    """The scheme of a URL, also of one that was a `pathlib.Path` and so lacks a slash; empty for a path."""
    found = _SCHEME.match(text)
    return "" if found is None or Path(f"{found[1]}:").is_dir() else found[1]


def as_path(name: str, value: object) -> Path:
    """An argument as a path of this machine.

    Args:
        name: of the argument, for the message: "folder".
        value: what the caller handed in.

    Raises:
        InvalidInputError: it is not a path; or it is in a store, which has single files alone.
    """
    try:
        text = os.fsdecode(value)  # type: ignore[arg-type]
    except TypeError:
        raise InvalidInputError(f"{name} is a path, text or a pathlib.Path, got {type(value).__name__}") from None
    if "\0" in text:
        raise InvalidInputError(f"{name} is a path, and no path has a zero byte in it: {text!r}")
    if url_scheme(text):
        raise InvalidInputError(f"{name} is a path of this machine, and {text} is a URL: stores hold files alone")
    return Path(text)
