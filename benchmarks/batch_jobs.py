"""Batch jobs: what they cost beside plain calls of prove, memory over a long job, and random kills.

    python benchmarks/batch_jobs.py [--models digits-mlp digits-cnn] [--rounds 5] [--items 100000] [--kills 1000]
                                    [--executors inline processes ray] [--folder FOLDER]

The first proves reference models of circuits/, the second the first of them. A figure is left out where its
option is 0. Most kills hit jobs that prove inline, the others such with worker processes and on a Ray cluster that is
started for each. `--folder` takes the kills elsewhere: on a file system in memory more batches pass between two kills,
on a disk more of them hit a write.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
import psutil

import zkinfer as zk

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

CIRCUITS = ROOT / "circuits"
MODELS = ("digits-mlp", "digits-cnn")
BATCH = 1024
BATCHES = 32
MB = 10**6
PROOFS = 400

SHARES = {"inline": 0.8, "processes": 0.15, "ray": 0.05}
"""Of the kills. Starting workers takes seconds, and a cluster longer."""

SECONDS = {"processes": 1.0, "ray": 2.0}
"""The longest time from a proof to the next kill."""


def make_keys(model: Path) -> zk.Keys:
    """Keys of a reference model."""
    return zk.setup(zk.compile(model / "model.onnx", np.load(model / "calibration.npy")), proofs=PROOFS)


def samples(model: Path, count: int) -> np.ndarray:
    """So many inputs: the model's calibration data, again and again."""
    x = np.load(model / "calibration.npy")
    return x[np.arange(count) % len(x)]


def throughput(model: Path, rounds: int, folder: Path) -> None:
    """Items a second of a job, over those of back-to-back calls of prove at the same batch size, in turns.

    Both prove in this process; the job's time is all of it, outputs and manifest included.
    """
    keys, x = make_keys(model), samples(model, BATCH * BATCHES)
    np.save(folder / "x.npy", x)
    zk.prove(keys, x[:BATCH])
    plain, ratios, shares = [], [], []
    for number in range(rounds):
        start = time.perf_counter()
        for first in range(0, len(x), BATCH):
            zk.prove(keys, x[first : first + BATCH]).to_bytes()
        plain.append(time.perf_counter() - start)
        start = time.perf_counter()
        outcome = zk.batch.run(folder / f"{model.name}-{number}", keys, folder / "x.npy", batch_size=BATCH)
        job = time.perf_counter() - start
        ratios.append(plain[-1] / job)
        shares.append(outcome.progress.counts.prove_seconds / job)
    print(
        f"{model.name}: {BATCHES} batches of {BATCH} items, {median(plain) / BATCHES:.2f} s each, {rounds} rounds; "
        f"throughput of a job over back-to-back calls {median(ratios):.1%} ({min(ratios):.1%} to {max(ratios):.1%}); "
        f"proving, of the job's time, {median(shares):.1%}"
    )


def memory(model: Path, items: int, folder: Path) -> None:
    """Resident memory along one job that proves in its own process."""
    keys = make_keys(model)
    np.save(folder / "many.npy", samples(model, items))
    process, found = psutil.Process(), []

    def observe(progress: zk.batch.Progress) -> None:
        found.append((progress.counts.done / items, process.memory_info().rss / MB))

    outcome = zk.batch.run(folder / "many", keys, folder / "many.npy", batch_size=BATCH, observer=observe)
    print(f"{items} items in {outcome.progress.seconds:.0f} s, {outcome.progress.counts.batches_done} proofs")
    for low, high in ((0.05, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.0)):
        used = [resident for share, resident in found if low <= share < high]
        if used:
            print(f"memory from {low:.0%} to {high:.0%} of the items: {min(used):.0f} to {max(used):.0f} MB")
    print(f"memory at the end, with outputs and manifest written: {process.memory_info().rss / MB:.0f} MB")


def kills(count: int, folder: Path, executors: Sequence[str]) -> None:
    """Random kills of jobs; an assertion fails if anything is lost or repeated.

    Inline jobs record what they do and prove nothing, so that many can be killed. The others are whole commands with
    real proofs, whose leader, workers or session are hit, and their results are checked without anything of a job.
    """
    from support.killed_commands import kill_commands
    from support.killed_jobs import kill_often

    left = count
    for position, name in enumerate(executors):
        share = left if position == len(executors) - 1 else round(count * SHARES[name])
        left -= share
        place = folder / name
        place.mkdir()
        start = time.perf_counter()
        if name == "inline":
            tally = kill_often(place, share, seed=count)
        else:
            tally = kill_commands(place, share, seed=count, executor=name, seconds=SECONDS[name])
        print(
            f"{name}: {tally.kills} kills in {time.perf_counter() - start:.0f} s: {tally.jobs} jobs of {tally.batches} "
            f"batches completed with {tally.proofs} proofs of the budget; none lost, none repeated",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--executors", nargs="+", choices=SHARES, default=list(SHARES))
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.rounds:
            for model in options.models:
                throughput(CIRCUITS / model, options.rounds, Path(folder))
        if options.items:
            memory(CIRCUITS / options.models[0], options.items, Path(folder))
    if options.kills:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            kills(options.kills, Path(folder), options.executors)


if __name__ == "__main__":
    main()
