"""A batch job: proofs that one committed model classified all 1,797 digits of a data set, checked by someone else.

    python examples/batch_digits/run.py [FOLDER]

You can interrupt it at any moment and run it again with the same folder: it continues where it stopped.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import zkinfer as zk

MODEL = Path(__file__).parent.parent.parent / "circuits" / "digits-mlp"
CONTEXT = b"all digits, first night"


def prepare(folder: Path) -> None:
    """Makes a file of inputs and a folder of keys. The owner publishes the commitment that is in this folder."""
    pixels, _ = load_digits(return_X_y=True)
    np.save(folder / "digits.npy", (pixels / 16).astype(np.float32))
    circuit = zk.compile(MODEL / "model.onnx", np.load(MODEL / "calibration.npy"))
    zk.setup(circuit, folder=folder / "keys", proofs=200)


def report(progress: zk.jobs.Progress) -> None:
    counts = progress.counts
    print(f"{counts.done} of {counts.items} digits proven in {progress.seconds:.0f} s {progress.event}")


def main(folder: Path) -> None:
    job = folder / "job"
    if (job / "state.sqlite").exists():
        outcome = zk.jobs.resume(job, observer=report)
    else:
        if not (folder / "keys").exists():
            prepare(folder)
        outcome = zk.jobs.run(job, folder / "keys", folder / "digits.npy", context=CONTEXT, observer=report)
    counts = outcome.progress.counts
    size, seconds = counts.proof_bytes / 1e6, outcome.progress.seconds
    print(f"{counts.batches_done} proofs of {size:.1f} MB together in {seconds:.0f} s")
    print(f"report: {zk.jobs.write_report(job)}")

    # Someone else has the commitment, the inputs and the job's folder, and trusts nothing in that folder.
    commitment = folder / "keys" / "commitment.zkc"
    verified = zk.jobs.verify_job(job, commitment, folder / "digits.npy", context=CONTEXT)
    print(f"verified: {verified.proven} of {verified.items} digits, in {verified.seconds:.0f} s")
    print(f"receipt: {verified.receipt.hex()}")

    _, labels = load_digits(return_X_y=True)
    answers = np.load(job / "outputs.npy").argmax(axis=1)
    print(f"the committed model names {(answers == labels).mean():.1%} of the digits as they are labelled")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        target = Path(sys.argv[1])
        target.mkdir(parents=True, exist_ok=True)
        main(target)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
