"""What a command says and how it ends: words for people or JSON for scripts, one line for an error, an exit code."""

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, ParamSpec, cast

import typer
from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from zkinfer.cli.failures import failure, printable
from zkinfer.cli.results import ExitCode, Fact, Failure, Result, json_line

P = ParamSpec("P")

# rich itself honours NO_COLOR and writes plain text where the stream is not a terminal.
out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


class Debug:
    """Whether `--debug` was given: errors then keep their traceback."""

    enabled = False


Json = Annotated[bool, typer.Option("--json", help="Print the result as one line of JSON (docs/json.md).")]


def guarded(command: Callable[P, Result]) -> Callable[P, None]:
    """A command that ends with its result's exit code, and has the option `--json`.

    With that option, what it says on standard output is the result, one line of JSON. Errors become one red line on
    standard error, an exit code, and with the option a `Failure` on standard output.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        as_json, call = bool(kwargs.pop("json")), cast("typer.Context", kwargs.pop("call"))
        out.quiet = as_json
        try:
            result = command(*args, **kwargs)
        except (typer.BadParameter, typer.Exit, typer.Abort, BrokenPipeError):
            raise  # wrong usage, an end that was meant, and nobody who reads on
        except (Exception, KeyboardInterrupt) as error:
            if Debug.enabled and not isinstance(error, KeyboardInterrupt):
                raise
            result = failure(error)
            show_failure(result)
        finally:
            out.quiet = False
        if as_json:
            print(json_line(command_name(call), result))
        if result.exit_code:
            raise typer.Exit(result.exit_code)

    signature = inspect.signature(command)
    call = inspect.Parameter("call", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    option = inspect.Parameter("json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Json)
    run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), call, option])  # type: ignore[attr-defined]
    run.__annotations__ = {**command.__annotations__, "call": typer.Context, "json": Json}
    return run


def command_name(call: typer.Context) -> str:
    """The name of the command that was called, without `zkinfer`."""
    names, within = [call.info_name or ""], call.parent
    while within is not None and within.parent is not None:  # the outermost is `zkinfer` itself
        names.insert(0, within.info_name or "")
        within = within.parent
    return " ".join(names)


def show_failure(found: Failure) -> None:
    """An error in one line."""
    if found.exit_code is ExitCode.INTERRUPTED:
        err.print("[red]interrupted[/red]")
        return
    line = Text(found.title, style="bold red")
    line.append(f": {found.message}", style="default not bold")
    err.print(line)


def facts(title: str, rows: Sequence[tuple[str, str]]) -> Text:
    """Names and values under a title, one a line, never folded: digests are there to be copied."""
    width = max(len(name) for name, _ in rows)
    text = Text(title, style="bold")
    for name, value in rows:
        text.append(f"\n  {printable(name):<{width}}  ", style="cyan not bold")
        text.append(printable(value), style="default not bold")
    return text


@dataclass(frozen=True)
class Description:
    """Names and values about a thing, and a remark.

    Attributes:
        title: what it is.
        rows: names and values; a name may come again.
        remark: what follows them; empty for none.
    """

    title: str
    rows: Sequence[tuple[str, str]]
    remark: str = ""

    def __rich__(self) -> RenderableType:
        described = facts(self.title, self.rows)
        return Group(described, "", self.remark) if self.remark else described


def as_facts(rows: Sequence[tuple[str, str]]) -> list[Fact]:
    """Names and values as data."""
    return [Fact(printable(name), printable(value)) for name, value in rows]


def print_table(table: Table) -> None:
    """Print a table as wide as the terminal, of 80 columns where there is none; wider, where figures would be cut."""
    if out.quiet:
        return
    width = Measurement.get(out, out.options, table).minimum
    Console(highlight=False, width=max(out.width, width)).print(table)
