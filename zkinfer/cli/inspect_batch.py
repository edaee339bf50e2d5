"""What the files of batch jobs are and what they give away, in words."""

from collections.abc import Callable

from rich.console import Group, RenderableType

from zkinfer.cli.console import facts
from zkinfer.jobs.challenge import COMMITTED_KIND, SAMPLED_KIND, SampleCommitment, SampledReceipt
from zkinfer.jobs.manifest import MANIFEST_KIND, Manifest
from zkinfer.jobs.receipt import ITEM_KIND, ItemReceipt, JobHeader, receipt_of

Rows = list[tuple[str, str]]

NOT_CHECKED = "not checked here: use zkinfer batch verify"
NOT_CHECKED_SAMPLE = "not checked here: use zkinfer batch verify-sample"

MANIFEST_REVEALS = """\
Public in it: digests of each item's input and output, which whoever guesses one can confirm, unless the proofs hide
them; and the reasons of dead letters."""
ITEM_REVEALS = "Public in it: digests of one item's input and output, unless the proof hides them."
COMMITTED_REVEALS = "Public in it: which items are dead letters. The inputs and outputs are hidden behind salts."
SAMPLED_REVEALS = """\
Public in it: digests of the inputs and outputs of the batches that were picked, and which items are dead letters. The
other inputs and outputs are hidden behind salts."""


def describe_manifest(data: bytes, head: Rows) -> RenderableType:
    """A manifest in words."""
    manifest = Manifest.from_bytes(data)
    rows = [
        *head,
        *_header_rows(JobHeader.of(manifest)),
        ("proven", f"{manifest.proven} items, in {sum(bool(batch.proof) for batch in manifest.batches)} proofs"),
        ("dead letters", str(len(manifest.dead_letters))),
        ("receipt", receipt_of(manifest).hex()),
        ("valid?", NOT_CHECKED),
    ]
    return Group(facts("Manifest of a batch job", rows), "", MANIFEST_REVEALS)


def describe_item(data: bytes, head: Rows) -> RenderableType:
    """An item in words."""
    found = ItemReceipt.from_bytes(data)
    rows = [
        *head,
        *_header_rows(found.header),
        ("item", f"{found.item.index}" + (f", a dead letter: {found.item.reason}" if found.item.dead else "")),
        ("leads to receipt", found.receipt().hex()),
        ("valid?", f"{NOT_CHECKED} --item"),
    ]
    return Group(facts("Item of a batch job", rows), "", ITEM_REVEALS)


def describe_sample_commitment(data: bytes, head: Rows) -> RenderableType:
    """The commitment of a sampled job in words."""
    rows = [*head, *_sample_rows(SampleCommitment.from_bytes(data)), ("proven", "nothing yet")]
    return Group(facts("Commitment of a sampled job", rows), "", COMMITTED_REVEALS)


def describe_sample(data: bytes, head: Rows) -> RenderableType:
    """A sampled receipt in words."""
    receipt = SampledReceipt.from_bytes(data)
    rows = [
        *head,
        *_sample_rows(receipt.commitment),
        ("challenge", receipt.challenge.hex()),
        ("proven", f"{len(receipt.opened)} batches: it is not a proof of all items"),
        (f"{100 * receipt.rate:.4g}% wrong", f"missed with probability {receipt.miss_probability:.3g}, it says"),
        ("valid?", NOT_CHECKED_SAMPLE),
    ]
    return Group(facts("Sampled receipt", rows), "", SAMPLED_REVEALS)


def _header_rows(header: JobHeader) -> Rows:
    return [("for commitment", header.commitment.hex()), ("items", str(header.items))]


def _sample_rows(commitment: SampleCommitment) -> Rows:
    return [
        ("digest", commitment.digest.hex()),
        *_header_rows(commitment.header),
        ("batches", f"{len(commitment.spans)}, of which {commitment.size} are picked"),
    ]


DESCRIPTIONS: dict[str, Callable[[bytes, Rows], RenderableType]] = {
    MANIFEST_KIND: describe_manifest,
    ITEM_KIND: describe_item,
    COMMITTED_KIND: describe_sample_commitment,
    SAMPLED_KIND: describe_sample,
}
"""By the kind of the file."""
