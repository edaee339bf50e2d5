"""The fixed cost of a proof, on the digits models at batch 1: `small_proofs.py [--repeats N] [--proofs N ...]`.

Such a proof spends most of its time in the protocol's Python code, not in kernels. Of it are printed:

* calls between files: how often one `zk.prove` calls from one file of the package into another;
* bytes of a proof by part, and of the commitment file, for keys of several budgets;
* processor seconds of one proof, without execution, on one thread, the copy of the weights that it opens included. The
  prover's randomness is fixed, so that the proofs of two commits are the same bytes.

To compare two commits, run this in a checkout of each, in turns.
"""

import argparse
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

import numpy as np
from measure import ROOT, markdown_table, provenance

import zkinfer as zk
from zkinfer.circuit.qformat import quantize
from zkinfer.execution.executor import Executor
from zkinfer.jit.threads import set_threads
from zkinfer.native.prove import commit_run, prove_run
from zkinfer.native.setup import commit_weights, key_sizes
from zkinfer.native.witness import values_read
from zkinfer.protocol.native_proof.encoding import decode
from zkinfer.protocol.randomness import Randomness
from zkinfer.protocol.reduction.plan import make_plan
from zkinfer.typing import FloatArray

MODELS = ("digits-mlp", "digits-cnn")
WARM = 2
"""Proofs that are made first, which load kernels and fill caches."""


def calls_between_files(circuit: zk.Circuit, x: FloatArray) -> int:
    """How often one proof calls a function of another file of the package than the caller's."""
    package, count = str(Path(zk.__file__).parent), 0

    def counted(frame: FrameType, event: str, _: Any) -> None:
        nonlocal count
        if event == "call" and frame.f_back is not None:
            caller, called = frame.f_back.f_code.co_filename, frame.f_code.co_filename
            count += called != caller and called.startswith(package) and caller.startswith(package)

    keys = zk.setup(circuit, proofs=WARM + 1)
    for _ in range(WARM):
        zk.prove(keys, x)
    sys.setprofile(counted)
    try:
        zk.prove(keys, x)
    finally:
        sys.setprofile(None)
    return count


def proving_seconds(circuit: zk.Circuit, x: FloatArray, repeats: int) -> float:
    """Processor seconds from an executed run to the bytes of its proof; the least of so many."""
    program, weights = circuit.program, circuit.weights
    inputs = [quantize(x.reshape(1, *program.inputs[0].shape), program.inputs[0])]
    plan, sizes = make_plan(program, 1, (False,), (False,)), key_sizes(program, WARM + repeats)
    opening = sizes.opening
    executor = Executor(program, weights, keep=values_read(program))
    values = {number: array for number, array in enumerate(executor.run(inputs)) if array is not None}
    values |= dict(enumerate(inputs))
    statement, seconds = b"statement".ljust(32, b"."), []
    with TemporaryDirectory() as folder:
        matrix = commit_weights(program, weights, sizes, bytes([1] * 32), Path(folder) / "matrix")
        link = matrix.commitment.link()
        for _ in range(WARM + repeats):
            start = time.process_time()
            randomness = Randomness(bytes([2] * 32))
            run = commit_run(plan, dict(values), executor.tables, opening, randomness, sizes.log_copies)
            copy = matrix.take()
            prove_run(run, statement, copy.matrix, opening, Randomness(bytes([3] * 32)), copy.place, link)
            seconds.append(time.process_time() - start)
    return min(seconds[WARM:])


PARTS = ("message", "weights", "witness", "about_pads")
"""Of a proof: its reduction, the openings of the weights and of all else, and the proof about the pads."""


def bytes_by_part(circuit: zk.Circuit, x: FloatArray, proofs: int) -> list[int]:
    """Bytes of a proof and of its parts, with keys for so many; then of the commitment, and of its range proof."""
    keys = zk.setup(circuit, proofs=proofs)
    proof = zk.prove(keys, x)
    parts = [len(getattr(decode(proof.data), part)) for part in PARTS]
    whole = len(proof.to_bytes())
    return [whole, *parts, whole - sum(parts), len(keys.commitment.to_bytes()), len(keys.commitment.range_proof)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=20, help="proofs that are timed, of each model")
    parser.add_argument("--proofs", type=int, nargs="+", default=[100, 1000], help="budgets of keys")
    arguments = parser.parse_args()
    set_threads(1)
    rows, sizes = [], []
    for name in MODELS:
        folder = Path(ROOT, "circuits", name)
        circuit = zk.compile(folder / "model.onnx", np.load(folder / "calibration.npy"))
        x = np.load(folder / "held-out.npy")[:1]
        seconds = proving_seconds(circuit, x, arguments.repeats)
        for proofs in arguments.proofs:
            found = bytes_by_part(circuit, x, proofs)
            sizes.append([name, f"{proofs:,}", *(f"{size:,}" for size in found)])
        rows.append([name, f"{calls_between_files(circuit, x):,}", f"{1000 * seconds:.1f}"])
    print(provenance("python benchmarks/small_proofs.py"))
    print(markdown_table(["model", "calls between files", "proof, processor ms"], rows))
    columns = ["message", "weights' opening", "other opening", "pads", "rest", "commitment", "its range proof"]
    print(markdown_table(["model", "keys for", "proof, bytes", *columns], sizes))


if __name__ == "__main__":
    main()
