"""The report of a job: one HTML file with what was proven, how fast, how large, and what failed.

It holds its pictures itself, loads nothing and runs nothing, so it can be mailed or archived as it is. It is written
from the job's state, for the operator of the job. It shows nothing to others: see `verification`.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.filesize import decimal

from zkinfer.arguments import as_path
from zkinfer.backend import find_backend
from zkinfer.errors import InvalidInputError, ShapeError, ZkinferError
from zkinfer.files.artifact import write_atomically
from zkinfer.files.commitment import Commitment
from zkinfer.files.key_folder import COMMITMENT_FILE
from zkinfer.files.npy import map_npy
from zkinfer.files.proof import Proof
from zkinfer.jobs.inputs import PathLike
from zkinfer.jobs.job import Job, manifest_file, output_names, proof_name, proofs_folder
from zkinfer.jobs.manifest import Manifest
from zkinfer.jobs.report_overview import overview
from zkinfer.jobs.report_page import drawing, facts, page, paragraph, section, table
from zkinfer.jobs.state import Announcement, JobCounts, Row, State
from zkinfer.pictures.bars import part_bars
from zkinfer.pictures.program import program_picture
from zkinfer.pictures.scatter import scatter
from zkinfer.progress import duration
from zkinfer.typing import Array, FloatArray

REPORT_FILE = "report.html"
BLOCK = 1 << 14
"""Items that are compared at a time."""

POINTS = 4000
"""Numbers that are drawn of an output, evenly spaced, where it holds more."""

MAX_DRAWN = 80
"""Nodes of a program that is drawn in the report."""

OTHER = "all else"


@dataclass(frozen=True)
class Accuracy:
    """How far a proven output is from that of the float model, over the items that were proven.

    Attributes:
        name: of the file of outputs.
        largest, mean: of the absolute differences.
        agreement: share of the items with the same largest entry; None where an item has one number only.
        in_float, proven: some of the numbers, to be drawn.
    """

    name: str
    largest: float
    mean: float
    agreement: float | None
    in_float: FloatArray
    proven: FloatArray


def write_report(folder: PathLike, *, float_outputs: Sequence[Array] = ()) -> Path:
    """Write the report of a job into its folder; of one that is not complete, as far as it has come.

    Args:
        folder: of the job.
        float_outputs: what the float model gives: for each output of the circuit an array of the shape of the job's
            file of outputs, (items, *item shape), which may be mapped from a file. Only for complete jobs.

    Returns:
        The report's file.

    Raises:
        InvalidInputError: there is no job; or outputs of the float model for one that has none, or of another shape.
        ResourceError: the file cannot be written.
    """
    target = as_path("folder", folder)
    with closing(State(target)) as state:
        job, counts, rows = state.job, state.counts(), list(state.rows())
        dead = [(letter.index, letter.reason) for letter in state.dead_letters()]
        unpicked = "not picked" if state.sample is None or state.sample.challenge else "not yet picked"
    proven = [(row, row.announced) for row in rows if row.status == "done" and row.announced is not None]
    failed = [
        (f"{row.first:,} to {row.stop - 1:,}", row.attempts, row.reason) for row in rows if row.status == "failed"
    ]
    sections = [
        section("Details", facts(_summary(target, counts, proven, unpicked))),
        *(_performance(target, proven, [item for item, _ in dead]) if proven else ()),
        *_circuit(job),
        *(_accuracy(accuracy) for accuracy in compare_outputs(target, float_outputs)),
        section("Failed batches", table(("items", "attempts", "reason"), failed)),
        section("Dead letters", table(("item", "reason"), [(f"{item:,}", reason) for item, reason in dead])),
    ]
    path = target / REPORT_FILE
    text = page(f"Batch job {target.absolute().name}", overview(target, job, counts), sections)
    write_atomically(path, text.encode(), private=True)
    return path


def _performance(folder: Path, proven: Sequence[tuple[Row, Announcement]], dead: Sequence[int]) -> Iterator[str]:
    """The sections about time and size; there is a proof.

    Args:
        folder: of the job.
        dead: the items that are dead letters, in order.
    """
    first = [row.first for row, _ in proven]
    items = [row.stop - row.first - bisect_left(dead, row.stop) + bisect_left(dead, row.first) for row, _ in proven]
    speed = [count / max(proof.seconds, 1e-9) for count, (_, proof) in zip(items, proven, strict=True)]
    size = [proof.proof_bytes / count / 1000 for count, (_, proof) in zip(items, proven, strict=True)]
    seconds = phase_seconds(proof for _, proof in proven)
    phases = part_bars("Proving time by part, all proofs together", seconds, duration)
    batch = "first item of the batch"
    throughput = scatter("Throughput", (first, speed), (batch, "items a second, one worker"), median=True)
    yield section("Time", drawing(phases) + drawing(throughput))
    sizes = scatter("Size of proofs", (first, size), (batch, "kB an item"), median=True)
    yield section("Size", _bytes_by_part(folder, proven[0][0]) + drawing(sizes))


def _bytes_by_part(folder: Path, row: Row) -> str:
    """A picture of the first proof's bytes; nothing where its file is gone or damaged."""
    try:
        proof = Proof.load(proofs_folder(folder) / proof_name(row.first))
        parts = find_backend(proof.backend).proof_parts(proof)
    except ZkinferError:
        return ""
    title = f"The proof of items {row.first:,} to {row.stop - 1:,} by part"
    return drawing(part_bars(title, parts, lambda size: decimal(round(size))))


def _circuit(job: Job) -> Iterator[str]:
    """The section about the program, where the keys are still where they were and it is not too large to be read."""
    try:
        commitment = Commitment.load(Path(job.keys) / COMMITMENT_FILE)
    except ZkinferError:
        return
    if commitment.digest != job.commitment:
        return
    nodes = len(commitment.program.nodes)
    if nodes > MAX_DRAWN:
        text = (
            f"It has {nodes:,} nodes. zkinfer inspect MODEL.zkc --graph model.svg draws larger programs than this page."
        )
        yield section("Circuit", paragraph(text, note=True))
        return
    text = (
        "A bar shows which share of all lookups a layer makes. Of what grows with the number of items in a proof, "
        "lookups cost most."
    )
    yield section("Circuit", paragraph(text, note=True) + drawing("".join(program_picture(commitment.program))))


def _accuracy(accuracy: Accuracy) -> str:
    """The section about an output."""
    points = accuracy.in_float.tolist(), accuracy.proven.tolist()
    picture = scatter(f"{accuracy.name}: proven against float", points, ("float model", "proven"))
    return section("Accuracy", facts(_accuracy_facts(accuracy)) + drawing(picture))


def phase_seconds(proofs: Iterable[Announcement]) -> dict[str, float]:
    """Seconds of all proofs by phase, in the order of a proof; what no phase accounts for comes last."""
    found: dict[str, float] = {}
    total = 0.0
    for proof in proofs:
        total += proof.seconds
        for name, seconds in proof.phases.items():
            found[name] = found.get(name, 0.0) + seconds
    return {**found, OTHER: max(0.0, total - sum(found.values()))}


def compare_outputs(folder: Path, float_outputs: Sequence[Array]) -> list[Accuracy]:
    """The job's outputs against those of the float model, an output each.

    Raises:
        InvalidInputError: the job has no outputs to compare, or others.
    """
    if not float_outputs:
        return []
    found = []
    for name, in_float in zip(output_names(len(float_outputs)), float_outputs, strict=True):
        try:
            proven = map_npy(folder / name)
        except InvalidInputError as error:
            raise InvalidInputError(f"there are no outputs to compare: {error}") from None
        if proven.shape != in_float.shape:
            raise ShapeError(
                f"{folder / name} holds outputs of shape {proven.shape}; the float model's {in_float.shape}"
            )
        found.append(_compare(name, in_float, proven))
    return found


def _compare(name: str, in_float: Array, proven: Array) -> Accuracy:
    items, numbers = len(proven), int(np.prod(proven.shape[1:]))
    every = max(1, items * numbers // POINTS)
    largest = total = 0.0
    count = same = compared = 0
    drawn: list[FloatArray] = []
    for start in range(0, items, BLOCK):
        blocks = (array[start : start + BLOCK] for array in (in_float, proven))
        pair = np.stack([np.asarray(block, dtype=np.float64).reshape(-1, numbers) for block in blocks])
        pair = pair[:, np.isfinite(pair).all(axis=(0, 2))]
        errors = np.abs(pair[0] - pair[1])
        largest = max(largest, float(errors.max(initial=0.0)))
        total += float(errors.sum())
        count += errors.size
        same += int((pair[0].argmax(axis=1) == pair[1].argmax(axis=1)).sum()) if numbers > 1 else 0
        compared += pair.shape[1]
        drawn.append(pair.reshape(2, -1)[:, ::every])
    if not count:
        raise InvalidInputError(f"{name} holds no outputs to compare: all items are dead letters")
    points = np.concatenate(drawn, axis=1)
    return Accuracy(name, largest, total / count, same / compared if numbers > 1 else None, points[0], points[1])


def _accuracy_facts(accuracy: Accuracy) -> list[tuple[str, str]]:
    rows = [
        ("output", accuracy.name),
        ("largest difference from float", f"{accuracy.largest:.4g}"),
        ("mean difference", f"{accuracy.mean:.4g}"),
    ]
    if accuracy.agreement is not None:
        rows.append(("same largest entry", f"{100 * accuracy.agreement:.4g}% of the items"))
    return rows


def _summary(
    folder: Path, counts: JobCounts, proven: Sequence[tuple[Row, Announcement]], unpicked: str
) -> list[tuple[str, str]]:
    complete = manifest_file(folder).exists()
    rows = [
        ("state", "complete" if complete else "not complete"),
        ("items", f"{counts.items:,}, of which {counts.done:,} are done, {counts.failed:,} failed"),
        *([(unpicked, f"{counts.executed:,} items, executed and committed to")] if counts.executed else ()),
        ("dead letters", f"{counts.dead:,}"),
        ("proofs", f"{len(proven):,}, {decimal(counts.proof_bytes)} together"),
        ("batches tried again", f"{counts.retries:,}"),
        ("proving", f"{duration(counts.prove_seconds)}, summed over workers"),
    ]
    if counts.prove_seconds:
        rows.append(("throughput of a worker", f"{counts.done / counts.prove_seconds:,.4g} items a second"))
    if complete:
        manifest = Manifest.load(manifest_file(folder))
        if (sample := manifest.sample) is not None:
            worth = f"{100 * sample.rate:.4g}% wrong outputs are missed with probability {sample.miss_probability:.3g}"
            rows.append(("policy", f"a sample of {sample.size:,} batches: {worth}"))
    return rows
