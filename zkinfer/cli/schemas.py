"""What every command prints with `--json`, as a document: `python -m zkinfer.cli.schemas > docs/json.md`."""

import re
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import typer

from zkinfer.cli import app
from zkinfer.cli.results import Failure, Result

HEAD = """\
# What commands print with --json

Every command takes `--json`. Standard output is then one line, an object in JSON, and nothing else; words for people,
warnings and progress go to standard error as without it. A command that ends with an error prints a `Failure`. Only a
wrong command line (exit code 2) prints no object. [Scripts](scripts.md) has examples.

Fields are never renamed, and never mean something else; new ones may come. Digests are hexadecimal, and so are
fingerprints, in groups of four digits with spaces between. Sizes are bytes, times are seconds, and paths are as they
were given. Numbers that are not finite are null. This page is written by
`python -m zkinfer.cli.schemas`.

Every object has these fields:

| field | type | meaning |
|---|---|---|
| `command` | string | the command that was run, such as "verify" or "batch run" |
"""


def commands(group: typer.Typer = app, before: str = "") -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every command of the command line: its name, with that of its group, and its function."""
    for command in group.registered_commands:
        if command.callback is not None:
            yield before + (command.name or command.callback.__name__), command.callback
    for inner in group.registered_groups:
        if inner.typer_instance is not None:
            yield from commands(inner.typer_instance, f"{before}{inner.name} ")


def results_of(command: Callable[..., Any]) -> tuple[type[Result], ...]:
    """The types of what a command ends with, but for `Failure`."""
    returned = typing.get_type_hints(command)["return"]
    return typing.get_args(returned) if isinstance(returned, types.UnionType) else (returned,)


def document() -> str:
    """All results, with the commands that they are of."""
    kinds: dict[type[Result], list[str]] = {Failure: []}
    for name, command in commands():
        for kind in results_of(command):
            kinds.setdefault(kind, []).append(name)
    parts = [HEAD + "\n".join(_rows(Result, Result)) + "\n"]
    for kind, names in kinds.items():
        title = ", ".join(f"`{name}`" for name in names) or "an error"
        summary = _docstring(kind)[0]
        parts.append(f"\n## {kind.__name__}: {title}\n\n{summary}\n\n| field | type | meaning |\n|---|---|---|\n")
        parts.append("\n".join(_rows(kind, None)) + "\n")
    return "".join(parts)


def _docstring(kind: type[Result]) -> tuple[str, dict[str, str]]:
    """The summary of a result's docstring, and what it says of each field."""
    summary, _, attributes = (kind.__doc__ or "").partition("Attributes:\n")
    found = re.findall(r"^ {8}(\w+): (.*(?:\n {12}.*)*)", attributes, re.M)
    return " ".join(summary.split()), {name: " ".join(text.split()) for name, text in found}


def _rows(kind: type[Result], base: type[Result] | None) -> Iterator[str]:
    """A row for each field that the type itself has; `base` is given where these are the fields of all."""
    explained = _docstring(kind)[1]
    for field in msgspec.structs.fields(kind):
        if base is None and field.name in Result.__struct_fields__:
            continue
        yield f"| `{field.name}` | {_type_text(field.type)} | {explained[field.name]} |"


def _type_text(kind: Any) -> str:
    """A type in the words of JSON."""
    schema = msgspec.json.schema(kind)
    schema = schema.get("$defs", {}).get(str(schema.get("$ref", "")).rpartition("/")[2], schema)
    if "enum" in schema:
        return "integer"
    options = schema.get("anyOf", [schema])
    return " or ".join(_schema_text(option) for option in options)


def _schema_text(schema: dict[str, Any]) -> str:
    if schema.get("type") != "array":
        return str(schema.get("type", "object" if "$ref" in schema else "any"))
    items = schema.get("items", {})
    inner = " or ".join(_schema_text(option) for option in items.get("anyOf", [items]))
    return "array" if inner == "any" else f"array of {inner}"


if __name__ == "__main__":
    print(document(), end="")
