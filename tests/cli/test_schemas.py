"""The page about `--json` is that of the commands that there are."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from zkinfer.cli import app
from zkinfer.cli.results import ExitCode, Failure, Result
from zkinfer.cli.schemas import commands, document, results_of

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_up_to_date() -> None:
    assert (DOCS / "json.md").read_text() == document(), "run python -m zkinfer.cli.schemas > docs/json.md"


def test_every_command_has_a_result_of_its_own_and_no_result_is_left_over() -> None:
    found = {kind for _, command in commands() for kind in results_of(command)}
    assert all(issubclass(kind, Result) and kind not in (Result, Failure) for kind in found)
    assert found | {Failure} == set(Result.__subclasses__())


def test_every_command_has_the_option() -> None:
    def options(command: Any, name: str = "zkinfer") -> Iterator[tuple[str, set[str]]]:
        if inner := getattr(command, "commands", None):
            for own, below in inner.items():
                yield from options(below, f"{name} {own}")
        else:
            yield name, {option for parameter in command.params for option in parameter.opts}

    found = dict(options(typer.main.get_command(app)))
    assert len(found) == len(list(commands())) > 20
    assert [name for name, has in found.items() if "--json" not in has] == []


def test_the_table_of_exit_codes_has_each_once() -> None:
    rows = re.findall(r"^\| (\d+) \|", (DOCS / "scripts.md").read_text(), re.M)
    assert [int(row) for row in rows] == [code.value for code in ExitCode]
