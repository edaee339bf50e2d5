"""The first screen of a job's report: what a person who decides asks, before anything technical.

What was proven, for which model, when, on what data, what that is worth, and how somebody else checks it.
"""

import shlex
import time
from collections.abc import Sequence
from pathlib import Path

from zkinfer.files.commitment import fingerprint_of
from zkinfer.files.location import Location
from zkinfer.jobs.job import Job, manifest_file, output_names
from zkinfer.jobs.manifest import Manifest
from zkinfer.jobs.receipt import receipt_of
from zkinfer.jobs.report_page import command, facts, paragraph
from zkinfer.jobs.state import JobCounts

RATE = "--rate is the rate of wrong answers that the checker asks about. The one here is what the operator chose."

MAX_FILES = 5
"""Files of inputs, or of outputs, that are named; the others are counted."""


def overview(folder: Path, job: Job, counts: JobCounts) -> str:
    """The first screen, as HTML."""
    file = manifest_file(folder)
    if not file.exists():
        done = f"{counts.done:,} of {counts.items + counts.executed:,} items are done."
        return paragraph(f"Not complete: {done} Nothing can be checked yet.")
    manifest = Manifest.load(file)
    receipt = receipt_of(manifest).hex()
    return "".join(
        (
            paragraph(_lead(manifest)),
            facts(_rows(folder, job, manifest, receipt, file.stat().st_mtime)),
            paragraph("Anyone can check this, with the commitment and their own copy of the inputs:", note=True),
            command(check_command(folder, job, manifest, receipt)),
            "" if manifest.sample is None else paragraph(RATE, note=True),
            paragraph(
                "This page is the operator's word. What counts is what that command says where the checker runs it.",
                note=True,
            ),
        )
    )


def _lead(manifest: Manifest) -> str:
    """The result in a sentence or two."""
    dead, sample = len(manifest.dead_letters), manifest.sample
    text = f"{manifest.proven:,} of {manifest.items:,} answers are proven"
    if sample is not None:
        return (
            f"{text}, a sample that was drawn by challenge. If {100 * sample.rate:.4g}% of all answers were wrong, it "
            f"would have missed them with probability {sample.miss_probability:.3g}."
        )
    if not dead:
        return f"{text}: all of them."
    return f"{text}, {dead:,} not: the model cannot take {'its input' if dead == 1 else 'their inputs'}."


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_FILES:,} more" if len(names) > MAX_FILES else ""
    return ", ".join(names[:MAX_FILES]) + more


def _rows(folder: Path, job: Job, manifest: Manifest, receipt: str, finished: float) -> list[tuple[str, str]]:
    inputs = f"{manifest.items:,} items in {_listed([Location(file.path).name for file in job.inputs])}"
    answers = [name for name in output_names(len(tuple(folder.glob("outputs*.npy")))) if (folder / name).exists()]
    return [
        ("model", f"{fingerprint_of(manifest.commitment)} (the fingerprint of its published commitment)"),
        ("data", inputs + (", which the proofs hide" if manifest.private_inputs else "")),
        (
            "answers",
            "hidden in the proofs" if manifest.private_outputs else f"in the folder of the job: {_listed(answers)}",
        ),
        ("context", _context(manifest.context) or "none"),
        ("finished", time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(finished))),
        ("receipt", receipt),
    ]


def check_command(folder: Path, job: Job, manifest: Manifest, receipt: str) -> str:
    """The command line that checks the job, for a shell; `model.zkc` stands for the published commitment."""
    sample = manifest.sample
    words = ["zkinfer", "batch", "verify" if sample is None else "verify-sample", folder.absolute().name, "model.zkc"]
    if not manifest.private_inputs:
        for file in job.inputs:
            words += ["--inputs", Location(file.path).name]
    if manifest.context:
        words += ["--context", _context(manifest.context)]
    if manifest.saturate:
        words.append("--saturate")
    if sample is not None:
        words += ["--published", manifest.digest.hex(), "--challenge", f"hex:{sample.challenge.hex()}"]
        words += ["--rate", repr(sample.rate)]
    return shlex.join([*words, "--receipt", receipt])


def _context(context: bytes) -> str:
    """A context as the command line takes it."""
    text = context.decode("utf-8", errors="replace")
    plain = text.isprintable() and text.encode() == context and not text.startswith(("@", "hex:"))
    return text if plain else f"hex:{context.hex()}"
