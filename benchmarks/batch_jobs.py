"""Batch jobs: what they cost beside plain calls of prove, memory over a long job, and random kills.

    python benchmarks/batch_jobs.py [--rounds 3] [--items 100000] [--kills 1000] [--folder FOLDER]

The first two prove the digits perceptron of circuits/. A figure is left out where its option is 0. `--folder` takes the
kills elsewhere: on a file system in memory more batches pass between two kills, on a disk more of them hit a write.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import psutil

import zkinfer as zk

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

MODEL = ROOT / "circuits" / "digits-mlp"
BATCH = 1024
BATCHES = 12
MIB = 1 << 20
PROOFS = 400


def make_keys() -> zk.Keys:
    """Keys of the digits perceptron."""
    return zk.setup(zk.compile(MODEL / "model.onnx", np.load(MODEL / "calibration.npy")), proofs=PROOFS)


def digits(count: int) -> np.ndarray:
    """So many inputs: the model's calibration data, again and again."""
    x = np.load(MODEL / "calibration.npy")
    return x[np.arange(count) % len(x)]


def throughput(keys: zk.Keys, rounds: int, folder: Path) -> None:
    """Items a second of a job, over those of back-to-back calls of prove at the same batch size, in turns.

    The job proves in one process beside this one, as the command does; counted from its first proof, which waits for
    that process to start, to its end, outputs and manifest included.
    """
    x = digits(BATCH * BATCHES)
    np.save(folder / "x.npy", x)
    zk.prove(keys, x[:BATCH])
    plain, job = [], []
    for number in range(rounds):
        start = time.perf_counter()
        for first in range(0, len(x), BATCH):
            zk.prove(keys, x[first : first + BATCH]).to_bytes()
        plain.append(len(x) / (time.perf_counter() - start))
        begun: list[zk.batch.Progress] = []

        def observe(progress: zk.batch.Progress, begun: list[zk.batch.Progress] = begun) -> None:
            if progress.items and not begun:
                begun.append(progress)

        end = zk.batch.run(
            folder / f"job-{number}", keys, folder / "x.npy", batch_size=BATCH, executor="processes", observer=observe
        ).progress
        job.append((end.items - begun[0].items) / (end.seconds - begun[0].seconds))
    print(f"{BATCHES} batches of {BATCH} items, {rounds} rounds: {median(job):.0f} items/s as a job")
    ratios = [one / other for one, other in zip(job, plain, strict=True)]
    print(f"throughput of the job over back-to-back calls: {median(ratios):.1%}")


def memory(keys: zk.Keys, items: int, folder: Path) -> None:
    """Resident memory along one job that proves in its own process."""
    np.save(folder / "many.npy", digits(items))
    process, samples = psutil.Process(), []

    def observe(progress: zk.batch.Progress) -> None:
        samples.append((progress.counts.done / items, process.memory_info().rss / MIB))

    outcome = zk.batch.run(folder / "many", keys, folder / "many.npy", batch_size=BATCH, observer=observe)
    print(f"{items} items in {outcome.progress.seconds:.0f} s, {outcome.progress.counts.batches_done} proofs")
    for low, high in ((0.05, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.0)):
        found = [used for share, used in samples if low <= share < high]
        if found:
            print(f"memory from {low:.0%} to {high:.0%} of the items: {min(found):.0f} to {max(found):.0f} MiB")
    print(f"memory at the end, with outputs and manifest written: {process.memory_info().rss / MIB:.0f} MiB")


def kills(count: int, folder: Path) -> None:
    """Random kills of jobs that record what they do; an assertion fails if anything is lost or repeated."""
    from support.kills import kill_often

    start = time.perf_counter()
    tally = kill_often(folder, count, seed=count)
    print(
        f"{tally.kills} kills in {time.perf_counter() - start:.0f} s: {tally.jobs} jobs of {tally.batches} batches "
        f"completed with {tally.proofs} proofs; none lost, none repeated"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args()
    if options.rounds or options.items:
        keys = make_keys()
        with tempfile.TemporaryDirectory() as folder:
            if options.rounds:
                throughput(keys, options.rounds, Path(folder))
            if options.items:
                memory(keys, options.items, Path(folder))
    if options.kills:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            kills(options.kills, Path(folder))


if __name__ == "__main__":
    main()
