"""Parameters of commands that name a file: a path, or a URL of a store. Folders are of this machine."""

from typing import Any

import typer

from zkinfer.arguments import url_scheme
from zkinfer.errors import InvalidInputError
from zkinfer.files.location import Location

METAVAR = "<path>"

PASSING = frozenset({"memory"})
"""Stores that end with the process: what a command wrote there would be lost, and with it a proof of the budget."""


def read_location(text: str) -> Location:
    """A file from the command line; what is not a location is wrong usage."""
    try:
        return Location(text)
    except InvalidInputError as error:
        raise typer.BadParameter(str(error)) from None


def read_output(text: str) -> Location:
    """A file to write, from the command line; one that would be gone when the command ends is wrong usage."""
    location = read_location(text)
    if url_scheme(text).lower() in PASSING:
        raise typer.BadParameter(f"{text} would be gone when this command ends; name a file, or another store")
    return location


def file_argument(metavar: str, help: str) -> Any:  # noqa: A002 (as in typer)
    """A positional argument, under the name that usage and errors give it."""
    return typer.Argument(parser=read_location, metavar=metavar, help=help)


def file_option(*names: str, help: str) -> Any:  # noqa: A002
    """An option, by the name of its parameter where it is given no other."""
    return typer.Option(*names, parser=read_location, metavar=METAVAR, help=help)


def output_option(*names: str, help: str) -> Any:  # noqa: A002
    """An option that names a file to write."""
    return typer.Option(*names, parser=read_output, metavar=METAVAR, help=help)
