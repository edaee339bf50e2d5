"""What real shapes cost, and what was estimated: `python benchmarks/shapes.py [PATTERN ...] [--all]`.

Networks in pairs of shapes that are powers of two and shapes that are none, recurrent networks, and convolutional
networks at the sizes in use. With --all, GPT-2 small's shape too, and layers of transformers: several, one after
another, beside one of them for as many samples, which looks up as much in fewer nodes. Figures are processor seconds of
all threads, the least of three proofs after a first one. Ratios are those within one run, by what is looked up.

Every network is compiled in one process, its keys are made in a second, and it is proven in a third, whose peak of
memory is shown. With --folder circuits are kept there, and not compiled again.
"""

import argparse
import fnmatch
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from gpt2 import GPT2Small
from gpt2 import inputs as gpt2_inputs
from measure import Stopwatch, markdown_table, provenance
from networks import PreNormLayer
from overhead import block
from real_networks import detector, mobilenet_v2, resnet18
from torch import Tensor, nn

import zkinfer as zk

HEADER = (
    "network", "nodes", "elements", "entries", "compile s", "setup s", "prove s", "verify s", "ns an element",
    "memory MB", "proof kB", "estimate s", "estimate / measured: time", "memory", "bytes",
)  # fmt: skip
"""The last three are what was estimated over what was measured."""

PAIRS = (
    ("odd", "even"),
    ("MLP 1,000", "MLP 1,024"),
    ("MLP 2,047", "MLP 2,048"),
    ("GRU, 100 steps", "GRU, 32 steps"),
    ("6 layers of width 128", "1 layer of width 128, 6 samples"),
    ("2 layers of width 768", "1 layer of width 768, 2 samples"),
    ("ResNet-18 at 224", "even"),
    ("MobileNetV2 at 224", "even"),
    ("detector at 320", "even"),
)


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
    """The last state of a GRU, or the largest of all its states."""

    def __init__(self, *, pooled: bool = False) -> None:
        super().__init__()
        self.gru = nn.GRU(8, 32, batch_first=True)
        self.pooled = pooled

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.gru(x)
        found: Tensor = states.amax(dim=1) if self.pooled else states[:, -1]
        return found


def _layers(count: int, width: int) -> nn.Module:
    layers = (PreNormLayer(causal=False, width=width, heads=width // 64, gelu="tanh") for _ in range(count))
    return nn.Sequential(*layers)


@dataclass(frozen=True)
class Case:
    """A network.

    Attributes:
        network: a module, or a model of ONNX.
        sample: shape of one sample.
        batch: samples of one proof.
        always: whether it is measured without being asked for.
        tokens: whether its inputs are tokens.
    """

    network: Callable[[], nn.Module | onnx.ModelProto]
    sample: tuple[int, ...]
    batch: int = 1
    always: bool = True
    tokens: bool = False

    def inputs(self, count: int) -> npt.NDArray[Any]:
        """Samples, of which the first ones are always the same: normal numbers, or tokens."""
        if self.tokens:
            return gpt2_inputs(count, *self.sample)
        return np.random.default_rng(0).standard_normal((count, *self.sample), dtype=np.float32).clip(-4, 4)


CASES = {
    "even": Case(lambda: _convolutions(8, 1), (1, 64, 64)),
    "odd": Case(lambda: _convolutions(10, 0), (1, 64, 64)),
    "MLP 1,024": Case(lambda: block(1024), (1024,), 256),
    "MLP 1,000": Case(lambda: block(1000), (1000,), 256),
    "MLP 2,048": Case(lambda: block(2048), (2048,), 64),
    "MLP 2,047": Case(lambda: block(2047), (2047,), 64),
    "GRU, 32 steps": Case(Recurrent, (32, 8)),
    "GRU, 100 steps": Case(Recurrent, (100, 8)),
    "GRU, 256 steps, pooled": Case(lambda: Recurrent(pooled=True), (256, 8)),
    "ResNet-18 at 224": Case(resnet18, (3, 224, 224)),
    "MobileNetV2 at 224": Case(mobilenet_v2, (3, 224, 224)),
    "detector at 320": Case(detector, (3, 320, 320)),
    "GPT-2 small, 32 positions": Case(lambda: GPT2Small(12, 32), (32,), always=False, tokens=True),
    "6 layers of width 128": Case(lambda: _layers(6, 128), (32, 128), always=False),
    "1 layer of width 128, 6 samples": Case(lambda: _layers(1, 128), (32, 128), 6, always=False),
    "2 layers of width 768": Case(lambda: _layers(2, 768), (32, 768), always=False),
    "1 layer of width 768, 2 samples": Case(lambda: _layers(1, 768), (32, 768), 2, always=False),
}


@dataclass(frozen=True)
class Cost:
    """What was measured of a network; seconds are those of the processor.

    Attributes:
        elements, entries: looked up for one proof, and entries of the lookup argument: with limbs, and filled up.
        peak: bytes of the process that proves.
        expected: estimated seconds, bytes of memory and bytes of the proof.
        estimating: seconds that the estimate took.
    """

    nodes: int
    elements: int
    entries: int
    compile: float
    setup: float
    prove: float
    verify: float
    peak: int
    bytes: int
    expected: tuple[float, int, int]
    estimating: float
    counts: dict[str, int]

    @property
    def estimated_over_measured(self) -> tuple[float, float, float]:
        """Of time, memory and bytes."""
        seconds, memory, size = self.expected
        return seconds / self.prove, memory / self.peak, size / self.bytes

    def row(self, name: str) -> list[str]:
        """As in `HEADER`."""
        return [
            name,
            *(f"{count:,}" for count in (self.nodes, self.elements, self.entries)),
            *(f"{seconds:.1f}" for seconds in (self.compile, self.setup)),
            *(f"{seconds:.2f}" for seconds in (self.prove, self.verify)),
            f"{1e9 * self.prove / self.elements:,.0f}",
            f"{self.peak / 1e6:,.0f}",
            f"{self.bytes / 1e3:,.0f}",
            f"{self.estimating:.1f}",
            *(f"{ratio:.2f}" for ratio in self.estimated_over_measured),
        ]


def compiled(case: Case, folder: Path) -> float:
    """Writes circuit and inputs to a folder, if they are not there; seconds that compiling took."""
    took = folder / "compiling.json"
    if took.exists():
        return float(json.loads(took.read_text()))
    np.save(folder / "inputs.npy", case.inputs(case.batch))
    torch.manual_seed(0)
    watch = Stopwatch()
    circuit = zk.compile(case.network(), case.inputs(max(8, case.batch) if case.batch > 1 else 4))
    circuit.save(folder / "circuit.zkx")
    took.write_text(json.dumps(watch.processor))
    return float(json.loads(took.read_text()))


def measured(name: str, folder: Path) -> Cost:
    """Compile, make keys, prove and verify."""
    folder.mkdir(parents=True, exist_ok=True)

    def process(*arguments: str) -> dict[str, Any]:
        done = subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.PIPE, text=True)
        found = json.loads(done.stdout.splitlines()[-1])
        assert isinstance(found, dict)
        return found

    made = process(__file__, "--compile", name, "--folder", str(folder))
    script = str(Path(__file__).parent / "shape_proofs.py")
    made |= process(script, str(folder), "keys")
    process(script, str(folder), "warm")
    made |= process(script, str(folder), "proofs")
    return Cost(**made)


def ratios(found: dict[str, Cost]) -> list[str]:
    """What an element costs in one network over what it costs in another."""
    lines = []
    for odd, even in PAIRS:
        if odd in found and even in found:
            a, b = found[odd], found[even]
            proving, verifying = (
                x / a.elements / (y / b.elements) for x, y in ((a.prove, b.prove), (a.verify, b.verify))
            )
            lines.append(f"{odd} to {even}, for each element: prove {proving:.2f}, verify {verifying:.2f}")
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patterns", nargs="*", help="names or shell patterns of networks; all but the slowest if none")
    parser.add_argument("--all", action="store_true", help="measure the slowest too")
    parser.add_argument("--folder", type=Path, help="keep circuits here")
    parser.add_argument("--json", type=Path, help="write all figures here")
    parser.add_argument("--compile", choices=CASES, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.compile:
        print(json.dumps({"compile": compiled(CASES[given.compile], given.folder)}))
        return
    chosen = [
        name
        for name, case in CASES.items()
        if any(fnmatch.fnmatchcase(name, p) for p in given.patterns)
        or (not given.patterns and (given.all or case.always))
    ]
    if not chosen:
        parser.error(f"no such network; there are: {'; '.join(CASES)}")
    found: dict[str, Cost] = {}
    with tempfile.TemporaryDirectory(prefix="zkinfer-shapes-") as temporary:
        for name in chosen:
            found[name] = measured(name, (given.folder or Path(temporary)) / name.replace(" ", "-").replace(",", ""))
            print(*found[name].row(name), sep=" | ", flush=True)
    print(provenance("python benchmarks/shapes.py"))
    print(markdown_table(HEADER, [cost.row(name) for name, cost in found.items()]))
    print("\n".join(ratios(found)))
    if given.json:
        given.json.write_text(json.dumps({name: vars(cost) for name, cost in found.items()}))


if __name__ == "__main__":
    main()
