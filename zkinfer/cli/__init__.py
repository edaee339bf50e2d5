"""The command line. Importing it is cheap: each command imports what it needs when it runs."""

from zkinfer.cli import audit as audit  # its command registers itself, as do those of the next
from zkinfer.cli import engine as engine
from zkinfer.cli.app import app


def main() -> None:
    """Entry point of the `zkinfer` command."""
    app(prog_name="zkinfer")


__all__ = ["app", "main"]
