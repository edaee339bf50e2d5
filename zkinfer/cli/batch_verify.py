"""The commands with which others check a batch job, all of it or one item, and the one that writes an item for them."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zkinfer.cli import batch_options as option
from zkinfer.cli import results
from zkinfer.cli.app import Context, MinBits, Saturate, warn_test_only
from zkinfer.cli.arrays import read_context
from zkinfer.cli.batch_options import batch, missed_row, read_challenge, read_digest, required
from zkinfer.cli.console import err, facts, guarded, out
from zkinfer.cli.verified import output_rows, weights_row
from zkinfer.errors import InvalidInputError
from zkinfer.progress import duration

if TYPE_CHECKING:
    from zkinfer.jobs.item_bundle import VerifiedItem
    from zkinfer.jobs.verification import VerifiedJob

OPERATORS_RATE = (
    "the operator chose this rate and the size of the sample; ask about your own with --rate and --confidence"
)


@batch.command("item")
@guarded
def write_item(
    folder: option.Folder,
    number: Annotated[int, typer.Argument(min=0, metavar="ITEM", help="Number of the item, from 0.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to make, for the person who asks.")],
    keys: option.Keys = None,
    share_batch: Annotated[
        bool,
        typer.Option("--share-batch", help="The person may see the other items of the same proof, as the folder does."),
    ] = False,
) -> results.ItemWritten:
    """Write a folder that shows one item: its path to the receipt, its proof, and the inputs of its batch.

    If the folder would show other items too, the command says so and asks; where nobody can answer, it writes nothing.
    """
    from zkinfer.files.key_folder import read_commitment
    from zkinfer.jobs.api import status
    from zkinfer.jobs.item_bundle import shown_of_others, write_item_folder

    job = status(folder).job
    shown = shown_of_others(folder, number)
    if shown and not share_batch and sys.stdin.isatty():
        err.print(f"[yellow]{output} will show {shown}[/yellow]")
        share_batch = typer.confirm("Write it?", err=True)
    commitment = read_commitment(keys or Path(job.keys))
    found = write_item_folder(folder, number, output, commitment, share_batch=share_batch)
    rows = [("item", f"{number:,} of {found.header.items:,}"), ("receipt", found.receipt().hex())]
    if found.item.dead:
        rows.append(("dead letter", found.item.reason))
    elif shown:
        rows.append(("shows", f"{shown}, too"))
    out.print(facts(f"Wrote {output}", rows))
    return results.ItemWritten(
        folder=str(output),
        item=number,
        receipt=found.receipt().hex(),
        dead=found.item.reason if found.item.dead else None,
    )


@batch.command("verify")
@guarded
def verify(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="The job's folder; with --item, that item's folder.")
    ],
    commitment: option.Commitment,
    inputs: option.Inputs = None,
    context: Context = "",
    saturate: Saturate = False,
    receipt: option.Receipt = None,
    item: Annotated[
        int | None, typer.Option(min=0, help="Check this item alone, in a folder made by zkinfer batch item.")
    ] = None,
    workers: option.Checkers = 1,
    min_bits: MinBits = None,
) -> results.JobVerified | results.ItemVerified:
    """Check a whole job, or one item, with your own inputs. Exits with 0 if all is valid, 1 if anything is refused."""
    from zkinfer.jobs.item_bundle import verify_item_folder
    from zkinfer.jobs.verification import verify_job

    digest = None if receipt is None else read_digest("--receipt", receipt)
    bound = read_context(context)
    if item is None:
        verified = verify_job(
            folder,
            commitment,
            inputs,
            receipt=digest,
            context=bound,
            saturate=saturate,
            workers=workers,
            min_bits=min_bits,
        )
        rows = [
            ("receipt", verified.receipt.hex()),
            ("items", f"{verified.proven:,} proven, {verified.dead:,} not, in {verified.proofs:,} proofs"),
        ]
        _show("VALID: this model gives these outputs for these items", verified, rows)
        return _as_result(verified)
    if digest is None:
        raise InvalidInputError("an item is checked against the receipt that was published: --receipt")
    if len(inputs or ()) > 1:
        raise InvalidInputError("the input of one item comes in one file: a single --inputs")
    own = inputs[0] if inputs else None
    shown = verify_item_folder(
        folder, item, digest, commitment, own, context=bound, saturate=saturate, min_bits=min_bits
    )
    rows = [
        ("receipt", digest.hex()),
        ("item", f"{shown.index:,}, of a job of {shown.items:,}"),
        *output_rows("output", shown.outputs),
    ]
    _show("VALID: this model gives this output for this item", shown, rows)
    return results.ItemVerified(
        fingerprint=shown.fingerprint,
        receipt=digest.hex(),
        item=shown.index,
        items=shown.items,
        outputs=[array.tolist() for array in shown.outputs],
        security_bits=shown.security_bits,
        test_only=shown.test_only,
        weights_in_bounds=shown.weights_in_bounds,
        seconds=shown.seconds,
        clipped=shown.clipped,
    )


@batch.command("verify-sample")
@guarded
def verify_sample(
    folder: option.Folder,
    commitment: option.Commitment,
    published: Annotated[
        str, typer.Option(help="The digest that was published before the challenge was drawn, in hexadecimal.")
    ],
    challenge: option.Challenge,
    inputs: option.Inputs = None,
    context: Context = "",
    saturate: Saturate = False,
    receipt: option.Receipt = None,
    rate: Annotated[
        float | None, typer.Option(help="Rate of wrong outputs that you ask about. Default: the operator's choice.")
    ] = None,
    confidence: Annotated[
        float | None,
        typer.Option(help="Refuse a sample that misses --rate with a probability above 1 - confidence. Needs --rate."),
    ] = None,
    workers: option.Checkers = 1,
    min_bits: MinBits = None,
) -> results.JobVerified:
    """Check a sampled job, with your own inputs, digest and challenge. It is not a proof of all items."""
    from zkinfer.jobs.verification import verify_job

    verified = verify_job(
        folder,
        commitment,
        required(inputs),
        receipt=None if receipt is None else read_digest("--receipt", receipt),
        context=read_context(context),
        saturate=saturate,
        workers=workers,
        published=read_digest("--published", published),
        challenge=read_challenge(challenge),
        rate=rate,
        confidence=confidence,
        min_bits=min_bits,
    )
    rows = [
        ("receipt", verified.receipt.hex()),
        ("proven", f"{verified.proven:,} of {verified.items:,} items, in {verified.proofs:,} proofs"),
        missed_row(verified.rate, verified.miss_probability),
        *([("", OPERATORS_RATE)] if verified.rate_of_operator else []),
        ("", "provided that the challenge came after the digest, from someone other than the operator"),
    ]
    _show("VALID SAMPLE: not a proof of all items", verified, rows)
    return _as_result(verified)


def _as_result(verified: "VerifiedJob") -> results.JobVerified:
    """What was verified of a job, as data."""
    return results.JobVerified(
        fingerprint=verified.fingerprint,
        receipt=verified.receipt.hex(),
        items=verified.items,
        proven=verified.proven,
        dead=verified.dead,
        proofs=verified.proofs,
        security_bits=verified.security_bits,
        test_only=verified.test_only,
        weights_in_bounds=verified.weights_in_bounds,
        miss_probability=verified.miss_probability,
        rate=verified.rate,
        rate_of_operator=verified.rate_of_operator,
        seconds=verified.seconds,
        clipped=verified.clipped,
    )


def _show(title: str, verified: "VerifiedJob | VerifiedItem", rows: list[tuple[str, str]]) -> None:
    """What was verified, for which model, and how well."""
    before = [("model", f"{verified.fingerprint}  (compare it with the fingerprint that the owner published)")]
    after = [
        *(
            [("clipped", f"{verified.clipped:,} values of inputs: proven as the nearest bound")]
            if verified.clipped
            else []
        ),
        ("security", f"about {verified.security_bits:.0f} bits a proof"),
        weights_row(verified.weights_in_bounds),
        ("checked in", duration(verified.seconds)),
    ]
    out.print(facts(title, [*before, *rows, *after]))
    if verified.test_only:
        warn_test_only()
