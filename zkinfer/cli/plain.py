"""`zkinfer verify` where the packages of the command line are not installed: the same options, words and exit codes.

Checking a proof is what the base install is for, so that this command needs nothing else. All others, and colours, come
with the extra `cli`.
"""

import argparse
import sys
from collections.abc import Callable

import zkinfer
from zkinfer.cli.arrays import lineage, read_arrays, read_context
from zkinfer.cli.failures import failure
from zkinfer.cli.results import ExitCode, Failure, Verified, json_line
from zkinfer.cli.verified import TEST_ONLY, valid_text, verified_result, verified_rows
from zkinfer.errors import InvalidInputError, VerifierUnavailableError
from zkinfer.extras import install
from zkinfer.files.location import Location
from zkinfer.verifier.verify import engine_name, verify


def main(arguments: list[str]) -> int:
    """Runs the command; returns its exit code.

    Args:
        arguments: what follows `zkinfer`.
    """
    if arguments[:1] == ["--version"]:
        print(f"zkinfer {zkinfer.__version__}")
        return ExitCode.OK
    others = f"all other commands need typer and rich: {install('cli')}"
    options = _parser(others)
    if arguments and not arguments[0].startswith("-") and arguments[0] != "verify":
        print(f"error: `zkinfer {arguments[0]}` needs typer and rich: {install('cli')}", file=sys.stderr)
        return ExitCode.FAILED
    given = options.parse_args(arguments)
    try:
        result: Verified | Failure = _verify(given)
    except (Exception, KeyboardInterrupt) as error:
        result = failure(error)
        print(f"{result.title}: {result.message}", file=sys.stderr)
    if given.json:
        print(json_line("verify", result))
    return result.exit_code


def _verify(given: argparse.Namespace) -> Verified:
    verified = verify(
        given.proof,
        given.commitment,
        inputs=None if given.inputs is None else read_arrays(given.inputs),
        outputs=None if given.outputs is None else read_arrays(given.outputs),
        context=read_context(given.context),
        engine=given.engine,
        saturate=given.saturate,
        lineage=lineage(given.rotation),
        max_runs=given.max_runs,
        min_bits=given.min_bits,
        decimals=given.decimals,
    )
    if not given.json:
        rows = verified_rows(verified)
        width = max(len(name) for name, _ in rows)
        print("\n".join([valid_text(verified), *(f"  {name:<{width}}  {value}" for name, value in rows)]))
    if verified.test_only:
        print(TEST_ONLY, file=sys.stderr)
    return verified_result(verified)


def _parser(others: str) -> argparse.ArgumentParser:
    """The options of `verify`; tests/cli/test_plain.py holds that they are those of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="zkinfer", description="Zero-knowledge inference. In the base install: check a proof.", epilog=others
    )
    commands = parser.add_subparsers(metavar="verify", required=True)
    verify = commands.add_parser(
        "verify",
        help="check a proof",
        description="Check a proof. Exits with 0 if it is valid, 1 if it was refused, 3 if nothing could be checked.",
        allow_abbrev=False,
    )
    verify.add_argument("proof", type=_location, help="proof file")
    verify.add_argument("commitment", type=_location, help="the model owner's commitment (.zkc)")
    verify.add_argument("--inputs", type=_location, help="what the model was run on: .npy, .npz or .json")
    verify.add_argument("--outputs", type=_location, help="the outputs that you received, to compare, in such a file")
    verify.add_argument("--decimals", type=_at_least(0), help="the outputs were rounded to so many digits")
    verify.add_argument("--context", default="", help="what the proof is bound to: text, @file, or hex:00ff")
    verify.add_argument("--engine", type=_engine, default="python", help="which verifier: python by default")
    verify.add_argument("--saturate", action="store_true", help="values out of range become the nearest bound")
    verify.add_argument("--rotation", type=_location, action="append", default=[], help="a rotation (.zkr); repeatable")
    verify.add_argument("--max-runs", type=_at_least(1), help="runs of the circuit that the proof may cover")
    verify.add_argument("--min-bits", type=float, help="security that the parameters must be worth: 128 by default")
    verify.add_argument("--json", action="store_true", help="print the result as one line of JSON (docs/json.md)")
    return parser


def _at_least(least: int) -> Callable[[str], int]:
    """The type of an option that is a whole number from `least` up."""

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} up")
        return int(text)

    return read


def _location(text: str) -> Location:
    try:
        return Location(text)
    except InvalidInputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _engine(name: str) -> str:
    try:
        return engine_name(name)
    except VerifierUnavailableError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
