"""What the files of batch jobs are and what they give away, in words."""

from collections.abc import Callable
from typing import Any

from zkinfer.cli.console import Description
from zkinfer.files import kinds
from zkinfer.files.commitment import fingerprint_of
from zkinfer.jobs.manifest import Manifest
from zkinfer.jobs.receipt import ItemReceipt, JobHeader, receipt_of

Rows = list[tuple[str, str]]

MAX_ITEMS = 1 << 18
"""A job of more has a receipt that takes more than about a second to compute, and a short file may claim any number."""

NOT_CHECKED = "not checked here: use zkinfer batch verify"
NOT_CHECKED_SAMPLE = "not checked here: use zkinfer batch verify-sample"

MANIFEST_REVEALS = """\
Public in it: digests of each item's input and output, which a person who guesses one can confirm, unless the proofs
hide them; and the reasons of dead letters."""
ITEM_REVEALS = "Public in it: digests of one item's input and output, unless the proof hides them."
SAMPLED_REVEALS = """\
Public in it: digests of the inputs and outputs of the batches that were picked, and the reasons of dead letters. The
other inputs and outputs are hidden behind salts."""


def describe_manifest(manifest: Manifest, head: Rows, everything: bool) -> Description:
    """A manifest in words; that of a sampled job may be its commitment, from before the challenge."""
    sample = manifest.sample
    dead = ("dead letters", f"{len(manifest.dead_letters):,}")
    header = [*head, *_header_rows(JobHeader.of(manifest)), dead]
    receipt = ("receipt", "of so many items it takes minutes or more: shown with --all")
    if everything or sample is not None or manifest.items <= MAX_ITEMS:
        receipt = ("receipt", receipt_of(manifest).hex())
    proven = f"{manifest.proven:,} items, in {sum(bool(batch.proof) for batch in manifest.batches):,} proofs"
    if sample is None:
        rows = [*header, ("proven", proven), receipt, ("valid?", NOT_CHECKED)]
        return Description("Manifest of a batch job", rows, MANIFEST_REVEALS)
    sampled = [
        ("digest", manifest.digest.hex()),
        ("batches", f"{len(manifest.batches):,}, of which {sample.size:,} are picked"),
    ]
    if not sample.challenge:
        rows = [*header, *sampled, ("proven", "nothing yet")]
        return Description("Commitment of a sampled job", rows, SAMPLED_REVEALS)
    rows = [
        *header,
        *sampled,
        ("challenge", sample.challenge.hex()),
        ("proven", f"{proven}: it is not a proof of all items"),
        (f"{100 * sample.rate:.4g}% wrong", f"missed with probability {sample.miss_probability:.3g}, it says"),
        receipt,
        ("valid?", NOT_CHECKED_SAMPLE),
    ]
    return Description("Manifest of a sampled job", rows, SAMPLED_REVEALS)


def describe_item(found: ItemReceipt, head: Rows, everything: bool) -> Description:
    """An item in words."""
    rows = [
        *head,
        *_header_rows(found.header),
        ("item", f"{found.item.index:,}" + (f", a dead letter: {found.item.reason}" if found.item.dead else "")),
        ("leads to receipt", found.receipt().hex()),
        ("valid?", f"{NOT_CHECKED} --item"),
    ]
    return Description("Item of a batch job", rows, ITEM_REVEALS)


def _header_rows(header: JobHeader) -> Rows:
    return [("for commitment", fingerprint_of(header.commitment)), ("items", f"{header.items:,}")]


DESCRIPTIONS: dict[str, Callable[[Any, Rows, bool], Description]] = {
    kinds.MANIFEST.tag: describe_manifest,
    kinds.ITEM.tag: describe_item,
}
"""By the kind of the file; each takes what the file holds."""
