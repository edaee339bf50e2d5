"""Errors as results: an exit code, which check refused, and one line that says what to do."""

from zkinfer.cli.results import ExitCode, Failure
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
from zkinfer.extras import EXTRAS, install, optional_package

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
    """The advice for a missing optional package; None where the package is not an option of zkinfer."""
    package = optional_package(error)
    if package is None:
        return None
    return MissingDependencyError(f"this command needs {package}, which is not installed: {install(EXTRAS[package])}")


def failure(error: BaseException) -> Failure:
    """An error as a result: any that is not the library's own, nor of the machine, is a fault of zkinfer."""
    match error:
        case KeyboardInterrupt():
            return Failure(exit_code=ExitCode.INTERRUPTED, error="KeyboardInterrupt", check=None, message="interrupted")
        case MemoryError():
            return failure(
                ResourceError(
                    "there is too little memory for this: give the process more, or hand in fewer samples at once "
                    "(zkinfer batch run proves a large file in parts)"
                )
            )
        case ModuleNotFoundError():
            advice = missing_extra(error)
            return internal(error) if advice is None else failure(advice)
        case ZkinferError():
            code, check = exit_code(error), None
            if code is ExitCode.REFUSED:
                check = next((name for kind, name in CHECKS.items() if isinstance(error, kind)), "verification")
            return Failure(exit_code=code, error=type(error).__name__, check=check, message=printable(str(error)))
    return internal(error)


def internal(error: BaseException) -> Failure:
    """An error that nobody foresaw. Nothing was refused by it, and nothing is wrong with what was given."""
    name = type(error).__name__
    message = (
        f"zkinfer itself failed, and nothing was found out ({name}: {printable(str(error))}); please report this line "
        "with the command, and with the traceback that `zkinfer --debug COMMAND` shows"
    )
    return Failure(exit_code=ExitCode.INTERNAL, error=name, check=None, message=message)


def printable(text: str) -> str:
    """Text from a file of unknown origin, with nothing in it that a terminal would obey."""
    return "".join(c if c.isprintable() else " " for c in text)
