"""The command line. Importing it is cheap: each command imports what it needs when it runs.

Its packages, typer and rich, come with the extra `cli`. Without them there is `zkinfer verify` alone.
"""

import sys

from zkinfer.extras import EXTRAS, optional_package

try:
    from zkinfer.cli import audit as audit  # commands register themselves, here and below
    from zkinfer.cli import batch as batch
    from zkinfer.cli import batch_report as batch_report
    from zkinfer.cli import batch_verify as batch_verify
    from zkinfer.cli import engine as engine
    from zkinfer.cli import rotate as rotate
    from zkinfer.cli.app import app
except ModuleNotFoundError as error:
    if EXTRAS.get(optional_package(error) or "") != "cli":
        raise


def main() -> None:
    """Entry point of the `zkinfer` command."""
    if "app" not in globals():
        from zkinfer.cli import plain

        sys.exit(plain.main(sys.argv[1:]))
    app(prog_name="zkinfer")


__all__ = ["app", "main"]
