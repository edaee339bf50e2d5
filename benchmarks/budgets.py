"""What the budget of keys costs: setup, disk, and time and bytes of a proof, beside what was estimated.

    python benchmarks/budgets.py [--model NAME] [--bits N] [--proofs N ...] [--markdown FILE]

Each time is the least of several proofs at batch 1. Processor times are of all threads: what others do on the machine
changes them little.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from cases import CIRCUITS
from measure import limit_threads, markdown_table, provenance

import zkinfer as zk
from zkinfer.native.estimate import NativeEstimate
from zkinfer.verifier import verify

HEADER = (
    "keys for",
    "setup s",
    "estimated",
    "disk MB",
    "estimated",
    "prove ms",
    "estimated",
    "proof kB",
    "estimated",
    "commitment kB",
    "verify ms",
    "processor: setup s",
    "prove ms",
    "verify ms",
)
REPEATS = 8


def row(circuit: zk.Circuit, x: np.ndarray, proofs: int) -> list[str]:
    """One budget, as text, as in `HEADER`."""
    expected = zk.estimate(circuit, proofs=proofs)
    assert isinstance(expected, NativeEstimate)
    start, busy = time.perf_counter(), time.process_time()
    keys = zk.setup(circuit, proofs=proofs)
    setup, setup_busy = time.perf_counter() - start, time.process_time() - busy
    disk = sum(path.stat().st_size for path in keys.folder.rglob("*") if path.is_file())
    proving, verifying = [], []
    for _ in range(min(REPEATS, proofs)):
        start, busy = time.perf_counter(), time.process_time()
        proof = zk.prove(keys, x)
        proving.append((time.perf_counter() - start, time.process_time() - busy))
        start, busy = time.perf_counter(), time.process_time()
        verify(proof, keys.commitment, inputs=x)
        verifying.append((time.perf_counter() - start, time.process_time() - busy))
    (prove, prove_busy), (check, check_busy) = (map(min, zip(*found, strict=True)) for found in (proving, verifying))
    return [
        f"{proofs:,}",
        f"{setup:.1f}",
        f"{expected.setup_seconds:.1f}",
        f"{disk / 1e6:,.0f}",
        f"{expected.disk_bytes / 1e6:,.0f}",
        f"{1e3 * prove:,.0f}",
        f"{1e3 * expected.prove_seconds:,.0f}",
        f"{len(proof.to_bytes()) / 1e3:,.0f}",
        f"{expected.proof_bytes / 1e3:,.0f}",
        f"{len(keys.commitment.to_bytes()) / 1e3:,.0f}",
        f"{1e3 * check:,.0f}",
        f"{setup_busy:.2f}",
        f"{1e3 * prove_busy:,.0f}",
        f"{1e3 * check_busy:,.0f}",
    ]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--model", default="digits-mlp", help="one of circuits/")
    parser.add_argument("--bits", type=int, default=16, help="of activations and weights")
    parser.add_argument("--proofs", type=int, nargs="+", default=[50, 100, 200, 500, 1000, 4000], help="budgets")
    parser.add_argument("--markdown", type=Path, help="write the table here too")
    arguments = parser.parse_args()
    limit_threads(arguments.threads)
    folder = CIRCUITS / arguments.model
    bits = {"activation_bits": arguments.bits, "weight_bits": arguments.bits}
    circuit = zk.compile(folder / "model.onnx", np.load(folder / "calibration.npy"), **bits)
    x = np.load(folder / "held-out.npy")[:1]
    text = markdown_table(HEADER, [row(circuit, x, proofs) for proofs in arguments.proofs])
    print(provenance("python benchmarks/budgets.py"))
    print(text)
    if arguments.markdown:
        arguments.markdown.write_text(text)


if __name__ == "__main__":
    main()
