"""`python -m zkinfer` is the `zkinfer` command."""

from zkinfer.cli import main

main()
