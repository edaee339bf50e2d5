"""Where the time of verifying goes: `python benchmarks/verifying.py [NAME] [--folder FOLDER] [--repeats N]`.

NAME is a network of `shapes.py`; the default has two layers of a transformer of width 768. Printed are processor
milliseconds of one verification by part, of the fastest of some: each part without those that it calls. Then those of
the whole, from an object of the commitment and from its bytes; and of the first verification in a process, which also
decodes the commitment, makes the plan and verifies the commitment's own proof about its weights.

With --folder circuit, commitment and proof are kept there, and not made again.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from measure import markdown_table, provenance
from shapes import CASES, compiled

import zkinfer as zk
from zkinfer.files.proof import Proof
from zkinfer.protocol.lookup import protocol as lookup
from zkinfer.protocol.native_proof import protocol
from zkinfer.protocol.pads import protocol as pads
from zkinfer.protocol.pcs import folding
from zkinfer.protocol.pcs import protocol as pcs
from zkinfer.protocol.reduction import opening, reduce
from zkinfer.protocol.reduction.box_functional import PointEnds
from zkinfer.verifier import native, verify

DEFAULT = "2 layers of width 768"

PARTS: tuple[tuple[str, Any, str], ...] = (
    ("decoding the proof", Proof, "from_bytes"),
    ("decoding the proof", native, "decode"),
    ("lookups", reduce, "run_lookup"),
    ("sumchecks", reduce, "run_sumcheck"),
    ("sumchecks", lookup, "run_sumcheck"),
    ("public values", reduce, "evaluate"),
    ("claims on values, level by level", protocol, "reduce_statement"),
    ("claims on cells", protocol, "plan_openings"),
    ("weights of cells at a point", opening, "weight_at"),
    ("weights of cells at a point", PointEnds, "__init__"),
    ("openings", protocol, "run_opening"),
    ("openings: the last fold", folding, "_check_codeword"),
    ("openings: the last fold", folding, "_check_target"),
    ("proof about the pads", protocol, "run_pads_proof"),
    ("Merkle paths", pcs, "check_leaves"),
    ("Merkle paths", folding, "check_leaves"),
    ("Merkle paths", pads, "check_leaves"),
)
"""The part, and the function in the place where it is looked up."""

ALL_ELSE = "all else"


@contextmanager
def timed() -> Iterator[dict[str, float]]:
    """Processor seconds that the parts take meanwhile, each without those that it calls."""
    found = dict.fromkeys((*(part for part, _, _ in PARTS), ALL_ELSE), 0.0)
    running, last = [ALL_ELSE], time.process_time()

    def book() -> None:
        nonlocal last
        now = time.process_time()
        found[running[-1]] += now - last
        last = now

    def measured(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **named: Any) -> Any:
            book()
            running.append(part)
            try:
                return function(*arguments, **named)
            finally:
                book()
                running.pop()

        return run

    with ExitStack() as patched:
        for part, place, name in PARTS:
            patched.enter_context(mock.patch.object(place, name, measured(part, getattr(place, name))))
        yield found
        book()


def made(name: str, folder: Path) -> tuple[bytes, bytes, Any]:
    """Commitment, proof and inputs of a network."""
    compiled(CASES[name], folder)
    inputs = np.load(folder / "inputs.npy")
    commitment, proof = folder / "model.zkc", folder / "proof.zkp"
    if not proof.exists():
        keys = zk.setup(zk.Circuit.load(folder / "circuit.zkx"))
        keys.commitment.save(commitment)
        zk.prove(keys, inputs, saturate=True).save(proof)
    return commitment.read_bytes(), proof.read_bytes(), inputs


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", default=DEFAULT, choices=CASES, help="of a network")
    parser.add_argument("--folder", type=Path, help="keep files here")
    parser.add_argument("--repeats", type=int, default=10, help="verifications that are timed")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="zkinfer-verifying-") as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        commitment, proof, inputs = made(given.name, folder)

    def seconds(source: bytes | zk.Commitment) -> float:
        start = time.process_time()
        verify(proof, source, inputs=inputs, saturate=True)
        return time.process_time() - start

    first = seconds(commitment)
    decoded = zk.Commitment.of(commitment)
    whole, from_bytes = (min(seconds(source) for _ in range(given.repeats)) for source in (decoded, commitment))
    runs = []
    for _ in range(given.repeats):
        with timed() as found:
            seconds(decoded)
        runs.append(found)
    best = min(runs, key=lambda run: sum(run.values()))
    total = sum(best.values())
    longest = sorted(best, key=best.__getitem__, reverse=True)
    rows = [(part, f"{1e3 * best[part]:.1f}", f"{best[part] / total:.0%}") for part in longest]
    print(provenance("python benchmarks/verifying.py"))
    print(markdown_table(("part", "ms", "share"), rows))
    print(f"whole {1e3 * whole:.0f} ms, from bytes {1e3 * from_bytes:.0f} ms, first in a process {1e3 * first:.0f} ms")


if __name__ == "__main__":
    main()
