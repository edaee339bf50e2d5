"""The command that hands a model on to fresh keys."""

from pathlib import Path
from typing import Annotated

import typer

import zkinfer
from zkinfer.cli import results
from zkinfer.cli.app import app
from zkinfer.cli.arrays import read_seed
from zkinfer.cli.console import facts, guarded, out
from zkinfer.cli.parameters import output_option
from zkinfer.files.location import Location
from zkinfer.files.rotation import ROTATION_FILE, Rotation


@app.command()
@guarded
def rotate(
    keys: Annotated[Path, typer.Argument(metavar="KEYS", help="Folder of the keys.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the new keys.")],
    publish: Annotated[Location | None, output_option(help="Write a copy of the rotation (.zkr) here.")] = None,
    seed: Annotated[
        str | None,
        typer.Option(
            help="32 secret bytes, as @file or hex:, which an auditor of the weights needs too. Random by default."
        ),
    ] = None,
) -> results.Rotated:
    """Make new keys for the same weights, for more proofs, and a rotation to publish that proves they are the same."""
    old = zkinfer.Keys.load(keys)
    new = zkinfer.rotate(old, folder=output, seed=None if seed is None else read_seed(seed))
    if publish is not None:
        Rotation.load(output / ROTATION_FILE).save(publish)
    public = publish or output / ROTATION_FILE
    rows = [
        ("file", str(public)),
        ("from", old.commitment.fingerprint),
        ("to", new.commitment.fingerprint),
        ("proofs left", f"{old.proofs_left:,} with the old keys, {new.proofs_left:,} with the new ones"),
    ]
    out.print(facts("Rotation, to be published; keep the rest of the folder private", rows))
    return results.Rotated(
        folder=str(output),
        rotation=str(public),
        old_fingerprint=old.commitment.fingerprint,
        new_fingerprint=new.commitment.fingerprint,
        old_proofs_left=old.proofs_left,
        new_proofs_left=new.proofs_left,
    )
