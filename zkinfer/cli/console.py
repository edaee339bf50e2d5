"""What a command says and how it ends: two consoles, one line for an error, documented exit codes."""

import enum
import functools
from collections.abc import Callable
from typing import ParamSpec

import typer
from rich.console import Console
from rich.text import Text

from zkinfer.errors import (
    CommitmentMismatchError,
    CompileError,
    InvalidInputError,
    InvalidProofError,
    MalformedCommitmentError,
    MalformedProofError,
    MissingDependencyError,
    NothingCheckedError,
    ResourceError,
    StatementError,
    VerificationError,
    VerifierUnavailableError,
    WrongKeyError,
    ZkinferError,
)
from zkinfer.extras import EXTRAS, optional_package

P = ParamSpec("P")

# rich itself honours NO_COLOR and writes plain text where the stream is no terminal.
out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


class ExitCode(enum.IntEnum):
    """How the process ends.

    OK: done, or the proof is valid. REFUSED: the proof, or what was audited, was checked and does not hold. USAGE: the
    command line is wrong. BAD_INPUT: a file or an argument is not what it should be, so that nothing was checked.
    FAILED: a backend failed, or memory, disk, time or an optional package is missing.
    """

    OK = 0
    REFUSED = 1
    USAGE = 2
    BAD_INPUT = 3
    FAILED = 4


# The part of a verification that each error stands for.
CHECKS: dict[type[VerificationError], str] = {
    MalformedProofError: "proof file",
    MalformedCommitmentError: "commitment file",
    StatementError: "statement",
    CommitmentMismatchError: "commitment",
    InvalidProofError: "cryptographic check",
}


def exit_code(error: ZkinferError) -> ExitCode:
    """The exit code that an error of the library leads to."""
    match error:
        case VerifierUnavailableError():
            return ExitCode.FAILED
        case NothingCheckedError():
            return ExitCode.BAD_INPUT
        case VerificationError():
            return ExitCode.REFUSED
        case InvalidInputError() | CompileError() | WrongKeyError():
            return ExitCode.BAD_INPUT
        case _:
            return ExitCode.FAILED


def missing_extra(error: ModuleNotFoundError) -> MissingDependencyError | None:
    """The advice for a missing optional package; None where the package is no option of zkinfer."""
    package = optional_package(error)
    if package is None:
        return None
    return MissingDependencyError(
        f"this command needs {package}, which is not installed: pip install 'zkinfer[{EXTRAS[package]}]'"
    )


class Debug:
    """Whether `--debug` was given: errors then keep their traceback."""

    enabled = False


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """The command, with the library's errors as one red line and an exit code."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except ModuleNotFoundError as error:
            advice = missing_extra(error)
            if Debug.enabled or advice is None:
                raise
            raise fail(advice) from None
        except ZkinferError as error:
            if Debug.enabled:
                raise
            raise fail(error) from None
        except MemoryError:
            if Debug.enabled:
                raise
            raise fail(ResourceError("there is too little memory for this")) from None
        except KeyboardInterrupt:
            err.print("[red]interrupted[/red]")
            raise typer.Exit(130) from None

    return run


def printable(text: str) -> str:
    """Text from a file of unknown origin, with nothing in it that a terminal would obey."""
    return "".join(c if c.isprintable() else " " for c in text)


def fail(error: ZkinferError) -> typer.Exit:
    """Print an error and give the exit that it leads to."""
    refused = exit_code(error) is ExitCode.REFUSED
    check = next((name for kind, name in CHECKS.items() if isinstance(error, kind)), "verification")
    line = Text(f"REFUSED ({check})" if refused else "error", style="bold red")
    line.append(f": {printable(str(error))}", style="default not bold")
    err.print(line)
    return typer.Exit(exit_code(error))


def facts(title: str, rows: list[tuple[str, str]]) -> Text:
    """Names and values under a title, one a line, never folded: digests are there to be copied."""
    width = max(len(name) for name, _ in rows)
    text = Text(title, style="bold")
    for name, value in rows:
        text.append(f"\n  {printable(name):<{width}}  ", style="cyan not bold")
        text.append(printable(value), style="default not bold")
    return text
