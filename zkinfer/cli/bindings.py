"""Options of the form NAME=VALUE that say what a model leaves open, as `zkinfer.compile` takes them."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from zkinfer.cli.arrays import read_arrays
from zkinfer.errors import InvalidInputError

T = TypeVar("T")


def read_shape(text: str) -> int | list[int | None]:
    """A size, such as `32`, or a whole shape, such as `?,3,48,320`."""
    sizes = [None if part.strip() in ("?", "") else int(part) for part in text.split(",")]
    return sizes[0] if len(sizes) == 1 and sizes[0] is not None else sizes


def read_constant(text: str) -> Any:
    """A number, or `@file` for the array in a `.npy` file."""
    if text.startswith("@"):
        return read_arrays(text[1:])
    return float(text) if set(text.lower()) & set(".einf") else int(text)


def read_axis(text: str) -> int | None:
    """The number of an axis, or `none`."""
    return None if text == "none" else int(text)


def named(option: str, given: Iterable[str] | None, read: Callable[[str], T]) -> dict[str, T]:
    """The values of an option that may be repeated, by their names.

    Args:
        option: its name, for errors.
        given: each of the form NAME=VALUE.
        read: makes a value of a text; raises ValueError for another form.

    Raises:
        InvalidInputError: not of that form, or a name twice.
    """
    found: dict[str, T] = {}
    for text in given or ():
        name, equals, value = text.rpartition("=")
        try:
            if not equals or not name or name in found:
                raise ValueError
            found[name] = read(value)
        except ValueError:
            raise InvalidInputError(
                f"{option} {text!r}: not of the form NAME=VALUE, or a name that was given"
            ) from None
    return found
