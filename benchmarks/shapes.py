"""What shapes cost that are no powers of two: `python benchmarks/shapes.py [PATTERN ...]`.

Two convolutional networks look up about as many elements, one of even shapes (powers of two alone), one of odd shapes
(10 channels; 62, 31, 29 and 27 places), and a GRU is unrolled over 25 steps. All figures are processor seconds of all
threads, the least of three proofs after a first one; the ratios are those of odd to even, by what is looked up.
"""

import argparse
import fnmatch
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from measure import Stopwatch, markdown_table, provenance
from torch import Tensor, nn

import zkinfer as zk
from zkinfer.protocol.reduction.plan import make_plan
from zkinfer.verifier import verify

STEPS = 25
REPEATS = 3


def _convolutions(channels: int, padding: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, channels, 3, padding=padding),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Conv2d(channels, 16, 3, padding=padding),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=padding),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 10),
    )


class Recurrent(nn.Module):
    """The last state of a GRU."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(8, 32, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.gru(x)
        last: Tensor = states[:, -1]
        return last


@dataclass(frozen=True)
class Case:
    """A network and the shape of one of its samples."""

    network: Callable[[], nn.Module]
    sample: tuple[int, ...]


CASES = {
    "even": Case(lambda: _convolutions(8, 1), (1, 64, 64)),
    "odd": Case(lambda: _convolutions(10, 0), (1, 64, 64)),
    "GRU": Case(Recurrent, (STEPS, 8)),
}


@dataclass(frozen=True)
class Cost:
    """Processor seconds, and what is looked up for one proof: elements, and entries with their limbs."""

    nodes: int
    elements: int
    entries: int
    prove: float
    verify: float
    proof_bytes: int


def measured(case: Case) -> Cost:
    """Compile, prove and verify; of the proofs after the first the fastest counts."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    calibration = rng.standard_normal((8, *case.sample)).astype(np.float32)
    circuit = zk.compile(case.network(), calibration)
    keys = zk.setup(circuit, proofs=1 + REPEATS)
    proof = zk.prove(keys, calibration[:1])
    verify(proof, keys.commitment, calibration[:1])
    proving, verifying = [], []
    for _ in range(REPEATS):
        watch = Stopwatch()
        proof = zk.prove(keys, calibration[:1])
        proving.append(watch.processor)
        watch = Stopwatch()
        verify(proof, keys.commitment, calibration[:1])
        verifying.append(watch.processor)
    program = circuit.program
    plan = make_plan(program, 1)
    looked_up = [program.tensor(site.value).size for site in plan.sites]
    entries = sum(instance.lookups for instance in plan.instances)
    return Cost(len(program.nodes), sum(looked_up), entries, min(proving), min(verifying), len(proof.to_bytes()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patterns", nargs="*", default=["*"], help="names or shell patterns of networks")
    patterns = parser.parse_args().patterns
    chosen = [name for name in CASES if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]
    found = {name: measured(CASES[name]) for name in chosen}
    print(provenance("python benchmarks/shapes.py"))
    rows = [
        [name, f"{c.nodes}", f"{c.elements:,}", f"{c.entries:,}"]
        + [f"{figure:.2f}" for figure in (c.prove, c.verify)]
        + [f"{c.proof_bytes / 1024:,.0f}"]
        for name, c in found.items()
    ]
    print(markdown_table(["network", "nodes", "elements", "entries", "prove s", "verify s", "proof KiB"], rows))
    if {"even", "odd"} <= set(found):
        even, odd = found["even"], found["odd"]
        proving = odd.prove / odd.elements / (even.prove / even.elements)
        verifying = odd.verify / odd.elements / (even.verify / even.elements)
        print(f"\nodd to even, for each element: prove {proving:.1f}, verify {verifying:.1f}")


if __name__ == "__main__":
    main()
