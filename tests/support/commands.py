"""Running commands for what they print with `--json`."""

import json
from pathlib import Path
from typing import TypeVar

import msgspec
from typer.testing import CliRunner

from zkinfer.cli import app
from zkinfer.cli.results import Result

R = TypeVar("R", bound=Result)


def as_json(kind: type[R], *arguments: str | Path) -> R:
    """What a command prints with `--json`, which has to be one line, with exactly the fields of `kind`."""
    ended = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    lines = ended.stdout.splitlines()
    assert len(lines) == 1, ended.output
    found = json.loads(lines[0])
    command = found.pop("command")
    assert command
    assert command == " ".join(map(str, arguments[: len(command.split())]))
    assert set(found) == {field.name for field in msgspec.structs.fields(kind)}, found
    assert found["exit_code"] == ended.exit_code
    return msgspec.convert(found, kind)
