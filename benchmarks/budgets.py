"""What keys and proofs of batch 1 cost: setup, disk, and time and bytes of a proof.

    python benchmarks/budgets.py [--model NAME] [--bits N] [--proofs N ...] [--proof-sizes SIZE ...] [--markdown FILE]
    python benchmarks/budgets.py --networks [NAME ...] [--all] [--proof-sizes SIZE ...] [--markdown FILE]

The first is one model of circuits/ with keys of several budgets, beside what was estimated; the second is networks of
several sizes, those whose names have one of the given words in them: the digits models, blocks of linear, GELU, linear,
and, with --all, GPT-2 small's shape with 32 positions, which takes many minutes and 15 GB. With several sizes of proofs
each network has a row for each. Each time is the least of several proofs. Processor times are of all threads: what
others do on the machine changes them little.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import overhead
from cases import CIRCUITS
from measure import limit_threads, markdown_table, provenance

import zkinfer as zk
from zkinfer.backend import PROOF_SIZES, ProofSize
from zkinfer.native.estimate import NativeEstimate
from zkinfer.verifier import verify

HEADER = (
    "keys for",
    "proof size",
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
NETWORKS_HEADER = (
    "network",
    "keys for",
    "proof size",
    "proof kB",
    "without outputs",
    "prove ms",
    "verify ms",
    "setup s",
    "keys MB",
    "processor: prove ms",
    "verify ms",
    "setup s",
)
REPEATS = 8


@dataclass(frozen=True)
class Times:
    """Seconds on the clock, and of processors."""

    wall: float
    busy: float


def timed(run: Callable[[], Any]) -> tuple[Any, Times]:
    """What a function returns, and how long it took."""
    start, busy = time.perf_counter(), time.process_time()
    result = run()
    return result, Times(time.perf_counter() - start, time.process_time() - busy)


@dataclass(frozen=True)
class Measured:
    """Keys, and proofs made with them.

    Attributes:
        disk, proof, argument, commitment: bytes: of the keys, of a proof, of it without outputs, of the commitment.
    """

    setup: Times
    prove: Times
    verify: Times
    disk: int
    proof: int
    argument: int
    commitment: int


def measure(circuit: zk.Circuit, x: np.ndarray, proofs: int, proof_size: ProofSize) -> Measured:
    """One circuit with keys for so many proofs of that size."""
    keys, setup = timed(lambda: zk.setup(circuit, proofs=proofs, proof_size=proof_size))
    disk = sum(path.stat().st_size for path in keys.folder.rglob("*") if path.is_file())
    proving, verifying = [], []
    for _ in range(min(REPEATS, proofs)):
        proof, taken = timed(lambda: zk.prove(keys, x, saturate=True))
        proving.append(taken)
        _, taken = timed(partial(verify, proof, keys.commitment, inputs=x, saturate=True))
        verifying.append(taken)
    prove, check = (Times(min(t.wall for t in found), min(t.busy for t in found)) for found in (proving, verifying))
    sizes = len(proof.to_bytes()), len(proof.data), len(keys.commitment.to_bytes())
    return Measured(setup, prove, check, disk, *sizes)


def row(circuit: zk.Circuit, x: np.ndarray, proofs: int, proof_size: ProofSize) -> list[str]:
    """One budget, as text, as in `HEADER`."""
    expected = zk.estimate(circuit, proofs=proofs, proof_size=proof_size)
    found = measure(circuit, x, proofs, proof_size)
    assert isinstance(expected, NativeEstimate)
    return [
        f"{proofs:,}",
        proof_size,
        f"{found.setup.wall:.1f}",
        f"{expected.setup_seconds:.1f}",
        f"{found.disk / 1e6:,.0f}",
        f"{expected.disk_bytes / 1e6:,.0f}",
        f"{1e3 * found.prove.wall:,.0f}",
        f"{1e3 * expected.prove_seconds:,.0f}",
        f"{found.proof / 1e3:,.0f}",
        f"{expected.proof_bytes / 1e3:,.0f}",
        f"{found.commitment / 1e3:,.0f}",
        f"{1e3 * found.verify.wall:,.0f}",
        f"{found.setup.busy:.2f}",
        f"{1e3 * found.prove.busy:,.0f}",
        f"{1e3 * found.verify.busy:,.0f}",
    ]


def network_row(name: str, circuit: zk.Circuit, x: np.ndarray, proofs: int, proof_size: ProofSize) -> list[str]:
    """One network, as text, as in `NETWORKS_HEADER`."""
    found = measure(circuit, x, proofs, proof_size)
    return [
        name,
        f"{proofs:,}",
        proof_size,
        f"{found.proof / 1e3:,.0f}",
        f"{found.argument / 1e3:,.0f}",
        f"{1e3 * found.prove.wall:,.0f}",
        f"{1e3 * found.verify.wall:,.0f}",
        f"{found.setup.wall:.1f}",
        f"{found.disk / 1e6:,.1f}",
        f"{1e3 * found.prove.busy:,.0f}",
        f"{1e3 * found.verify.busy:,.0f}",
        f"{found.setup.busy:.1f}",
    ]


def digits(model: str, bits: int) -> tuple[zk.Circuit, np.ndarray]:
    """A model of circuits/ and one input."""
    folder = CIRCUITS / model
    calibration = np.load(folder / "calibration.npy")
    circuit = zk.compile(folder / "model.onnx", calibration, activation_bits=bits, weight_bits=bits)
    return circuit, np.load(folder / "held-out.npy")[:1]


def block(width: int) -> tuple[zk.Circuit, np.ndarray]:
    """Linear, GELU, linear, as `overhead.py` measures it."""
    return overhead.compiled(width, 1), overhead.samples(width, 1)


def gpt2(positions: int) -> tuple[zk.Circuit, np.ndarray]:
    """GPT-2 small's shape, as `gpt2.py` measures it."""
    import gpt2  # torch, which nothing else here needs

    calibration = gpt2.inputs(gpt2.CALIBRATION, positions)
    return zk.compile(gpt2.network(12, positions), calibration), gpt2.inputs(1, positions)


def network_rows(words: list[str], everything: bool, sizes: list[ProofSize]) -> list[list[str]]:
    """One network after another, of those with one of the words in their names; all of them without words."""
    cases: list[tuple[str, int, Callable[[], tuple[zk.Circuit, np.ndarray]]]] = [
        ("digits-mlp, 8 bits", 100, lambda: digits("digits-mlp", 8)),
        ("digits-mlp, 16 bits", 100, lambda: digits("digits-mlp", 16)),
        ("digits-cnn, 8 bits", 1000, lambda: digits("digits-cnn", 8)),
        ("digits-cnn, 16 bits", 1000, lambda: digits("digits-cnn", 16)),
        ("block of width 1,024, 8 bits", 100, lambda: block(1024)),
        ("block of width 4,096, 8 bits", 100, lambda: block(4096)),
    ]
    if everything:
        cases.append(("GPT-2's shape, 32 positions, 16 bits", 16, lambda: gpt2(32)))
    rows = []
    for name, proofs, make in cases:
        if not words or any(word in name for word in words):
            circuit, x = make()
            rows += [network_row(name, circuit, x, proofs, size) for size in sizes]
    return rows


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--model", default="digits-mlp", help="one of circuits/")
    parser.add_argument("--bits", type=int, default=16, help="of activations and weights")
    parser.add_argument("--proofs", type=int, nargs="+", default=[50, 100, 200, 500, 1000, 4000], help="budgets")
    parser.add_argument("--networks", nargs="*", metavar="NAME", help="networks of several sizes")
    parser.add_argument("--proof-sizes", nargs="+", choices=PROOF_SIZES, default=["balanced"], help="of the keys")
    parser.add_argument("--all", action="store_true", help="with --networks: GPT-2's shape as well")
    parser.add_argument("--markdown", type=Path, help="write the table here too")
    arguments = parser.parse_args()
    limit_threads(arguments.threads)
    sizes: list[ProofSize] = arguments.proof_sizes
    if arguments.networks is not None:
        text = markdown_table(NETWORKS_HEADER, network_rows(arguments.networks, arguments.all, sizes))
    else:
        circuit, x = digits(arguments.model, arguments.bits)
        rows = [row(circuit, x, proofs, size) for proofs in arguments.proofs for size in sizes]
        text = markdown_table(HEADER, rows)
    print(provenance("python benchmarks/budgets.py"))
    print(text)
    if arguments.markdown:
        arguments.markdown.write_text(text)


if __name__ == "__main__":
    main()
