"""A network of `shapes.py` or `native_cost.py`, compiled already: its estimate, its keys, and proofs of it.

No process of these has torch.

    python benchmarks/shape_proofs.py FOLDER {keys,warm,proofs} [BUDGET]

`keys` reads circuit.zkx of the folder and makes keys there; `proofs` reads them and inputs.npy, and proves. Each prints
its figures as JSON. `warm` makes one proof, so that no kernel is left to be compiled, which takes memory too.
"""

import json
import resource
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from peak import peak_bytes

import zkinfer as zk
from zkinfer.native.estimate import NativeEstimate
from zkinfer.protocol.reduction.plan import make_plan
from zkinfer.verifier import verify

PROOFS = 8
"""Budget of the keys, if none is given."""

REPEATS = 3
"""Proofs that are measured, after a first one; of networks that take longer than `LONG` processor seconds, one."""

LONG = 8.0


def processor() -> float:
    """Processor seconds of this process so far, of all its threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def keys(folder: Path, budget: int = PROOFS) -> dict[str, Any]:
    """The estimate and the keys."""
    circuit = zk.Circuit.load(folder / "circuit.zkx")
    samples = len(np.load(folder / "inputs.npy"))
    before = processor()
    expected = zk.estimate(circuit, samples=samples, proofs=budget)
    estimating = processor() - before
    assert isinstance(expected, NativeEstimate)
    program = circuit.program
    plan = make_plan(program, expected.runs)
    shutil.rmtree(folder / "keys", ignore_errors=True)
    before = processor()
    zk.setup(circuit, folder=folder / "keys", proofs=budget)
    return {
        "nodes": len(program.nodes),
        "elements": sum(expected.runs * program.tensor(site.value).size for site in plan.sites),
        "entries": sum(instance.lookups for instance in plan.instances),
        "estimating": estimating,
        "expected": [expected.prove_seconds, expected.memory_bytes, expected.proof_bytes],
        "counts": vars(expected.counts),
        "setup": processor() - before,
    }


def warm(folder: Path) -> dict[str, Any]:
    """A proof, of which nothing is measured."""
    zk.prove(zk.Keys.load(folder / "keys"), np.load(folder / "inputs.npy"), saturate=True)
    return {}


def proofs(folder: Path) -> dict[str, Any]:
    """Proofs, each verified: the least processor seconds of those after the first, and the peak of memory."""
    loaded, inputs = zk.Keys.load(folder / "keys"), np.load(folder / "inputs.npy")

    def timed(work: Callable[[], Any]) -> tuple[float, Any]:
        before = processor()
        result = work()
        return processor() - before, result

    def once() -> tuple[float, Any]:
        return timed(lambda: zk.prove(loaded, inputs, saturate=True))

    _, proof = once()
    peak = peak_bytes()
    proving = [once()[0]]
    while len(proving) < REPEATS and proving[0] < LONG:
        proving.append(once()[0])
    verifying = [
        timed(lambda: verify(proof, loaded.commitment, inputs=inputs, saturate=True))[0] for _ in range(1 + REPEATS)
    ]
    return {"prove": min(proving), "verify": min(verifying), "peak": peak, "bytes": len(proof.to_bytes())}


if __name__ == "__main__":
    stage: Callable[..., dict[str, Any]] = {"keys": keys, "warm": warm, "proofs": proofs}[sys.argv[2]]
    print(json.dumps(stage(Path(sys.argv[1]), *map(int, sys.argv[3:]))))
