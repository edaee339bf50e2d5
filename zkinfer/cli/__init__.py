"""The command line. Importing it is cheap: each command imports what it needs when it runs."""

from zkinfer.cli import audit as audit  # commands register themselves, here and below
from zkinfer.cli import batch as batch
from zkinfer.cli import batch_report as batch_report
from zkinfer.cli import batch_verify as batch_verify
from zkinfer.cli import engine as engine
from zkinfer.cli import rotate as rotate
from zkinfer.cli.app import app


def main() -> None:
    """Entry point of the `zkinfer` command."""
    app(prog_name="zkinfer")


__all__ = ["app", "main"]
