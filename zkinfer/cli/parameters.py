"""Parameters of commands that name a file: a path, or a URL of a store. Folders are of this machine."""

from typing import Any

import typer

from zkinfer.errors import InvalidInputError
from zkinfer.files.location import Location

METAVAR = "<path>"


def read_location(text: str) -> Location:
    """A file from the command line; what is not a location is wrong usage."""
    try:
        return Location(text)
    except InvalidInputError as error:
        raise typer.BadParameter(str(error)) from None


def file_argument(help: str, metavar: str = METAVAR) -> Any:  # noqa: A002 (as in typer)
    """A positional argument."""
    return typer.Argument(parser=read_location, metavar=metavar, help=help)


def file_option(*names: str, help: str) -> Any:  # noqa: A002
    """An option, by the name of its parameter where it is given no other."""
    return typer.Option(*names, parser=read_location, metavar=METAVAR, help=help)
