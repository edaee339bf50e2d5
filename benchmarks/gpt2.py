"""A network of GPT-2-small's shape, from torch to a verified proof, stage by stage.

    python benchmarks/gpt2.py [--positions N ...] [--no-proofs] [--layers N] [--markdown FILE]

12 layers, width 768, 12 heads, 50,257 tokens, embeddings tied to the scores; weights are random, drawn as GPT-2's are
before training, normalizations with scales and shifts of their own. Each stage is a process of its own, so that its
memory is its own. The first of the proofs of a process reads the keys from disk and loads all kernels; the others do
not. The exit status is 1 if the scores are further from float than a cosine similarity of 0.999.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from measure import markdown_table, provenance
from networks import SEED, PreNormLayer, randomized
from peak import peak_bytes
from runtime import onnxruntime
from torch import Tensor, nn
from torch.nn import functional

import zkinfer as zk
from zkinfer.circuit.program import Lookup
from zkinfer.timings import collected
from zkinfer.verifier import verify

WIDTH, HEADS, TOKENS, LONGEST = 768, 12, 50257, 1024
DEVIATION = 0.02
"""Of GPT-2's initial weights; those that write to the residual sum are smaller by the root of twice the layers."""

CALIBRATION, HELD_OUT = 8, 4
PROOFS = 16
"""Budget of the keys."""

MIN_COSINE = 0.999
GB = 10**9

Figures = dict[str, Any]


class GPT2Small(nn.Module):
    """Scores of the next token at every position."""

    def __init__(self, layers: int, positions: int) -> None:
        super().__init__()
        self.length = positions
        self.tokens, self.positions = nn.Embedding(TOKENS, WIDTH), nn.Embedding(LONGEST, WIDTH)
        self.layers = nn.Sequential(
            *(PreNormLayer(causal=True, width=WIDTH, heads=HEADS, gelu="tanh") for _ in range(layers))
        )
        self.normalize = nn.LayerNorm(WIDTH)
        for part in self.modules():
            if isinstance(part, (nn.Linear, nn.Embedding)):
                nn.init.normal_(part.weight, 0, DEVIATION)
        for layer in self.layers:
            for part in (layer.attention.out, layer.feed_forward[2]):
                nn.init.normal_(part.weight, 0, DEVIATION / math.sqrt(2 * layers))

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.tokens(x) + self.positions.weight[: self.length]
        return functional.linear(self.normalize(self.layers(hidden)), self.tokens.weight)


def inputs(count: int, positions: int) -> npt.NDArray[np.int64]:
    """Random tokens."""
    return np.random.default_rng(SEED).integers(0, TOKENS, (count, positions))


@dataclass(frozen=True)
class Paths:
    """What the stages hand to each other, in one folder."""

    folder: Path

    @property
    def model(self) -> Path:
        """ONNX file."""
        return self.folder / "model.onnx"

    @property
    def circuit(self) -> Path:
        """Circuit file."""
        return self.folder / "circuit.zki"

    @property
    def keys(self) -> Path:
        """Folder of the keys."""
        return self.folder / "keys"

    @property
    def commitment(self) -> Path:
        """Commitment file."""
        return self.folder / "model.zkc"

    @property
    def proof(self) -> Path:
        """Proof file."""
        return self.folder / "proof.zkp"


def network(layers: int, positions: int) -> onnx.ModelProto:
    """The network with random weights, as ONNX."""
    torch.manual_seed(SEED)
    module = randomized(GPT2Small(layers, positions).eval())
    with torch.no_grad():
        return zk.export(module, inputs(1, positions))


def export(paths: Paths, layers: int, positions: int) -> Figures:
    """From torch to ONNX, and one inference in onnxruntime."""
    proto = network(layers, positions)
    paths.model.write_bytes(proto.SerializeToString())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(paths.model, options, providers=["CPUExecutionProvider"])
    times = []
    for _ in range(5):
        start = time.perf_counter()
        session.run(None, {session.get_inputs()[0].name: inputs(1, positions)})
        times.append(time.perf_counter() - start)
    return {"onnxruntime s": round(min(times), 4)}


def compiled(paths: Paths, layers: int, positions: int) -> Figures:
    """From ONNX to a circuit."""
    circuit = zk.compile(paths.model, inputs(CALIBRATION, positions))
    circuit.save(paths.circuit)
    lookups = [node for node in circuit.program.nodes if isinstance(node, Lookup)]
    return {
        "weights": sum(weight.size for weight in circuit.weights),
        "nodes": len(circuit.program.nodes),
        "looked up": sum(node.out.size for node in lookups),
    }


def report(paths: Paths, layers: int, positions: int) -> Figures:
    """The circuit beside float, on inputs that did not calibrate it."""
    output = zk.Circuit.load(paths.circuit).report(inputs(CALIBRATION + HELD_OUT, positions)[CALIBRATION:]).outputs[0]
    assert output.agreement is not None
    return {
        "cosine": round(output.cosine, 7),
        "largest error": round(output.max_error, 4),
        "of range": round(output.relative_error, 4),
        "same answer": round(output.agreement, 4),
    }


def setup(paths: Paths, layers: int, positions: int) -> Figures:
    """Keys."""
    keys = zk.setup(zk.Circuit.load(paths.circuit), folder=paths.keys, proofs=PROOFS)
    keys.commitment.save(paths.commitment)
    size = sum(path.stat().st_size for path in paths.keys.rglob("*") if path.is_file())
    return {"keys GB": round(size / GB, 2), "commitment MB": round(paths.commitment.stat().st_size / 1e6, 1)}


def prove(paths: Paths, layers: int, positions: int) -> Figures:
    """Two proofs of one inference."""
    keys = zk.Keys.load(paths.keys)
    found: list[tuple[float, dict[str, float]]] = []
    for _ in range(2):
        with collected() as phases:
            start = time.perf_counter()
            proof = zk.prove(keys, inputs(1, positions))
            found.append((time.perf_counter() - start, phases))
    proof.save(paths.proof)
    (first, _), (second, phases) = found
    accounted = {name: round(seconds, 2) for name, seconds in phases.items()}
    return {
        "first proof s": round(first, 1),
        "proof s": round(second, 1),
        "proof MB": round(paths.proof.stat().st_size / 1e6, 1),
        "phases": {**accounted, "all else": round(second - sum(phases.values()), 2)},
    }


def check(paths: Paths, layers: int, positions: int) -> Figures:
    """Two verifications."""
    times = []
    for _ in range(2):
        start = time.perf_counter()
        result = verify(paths.proof, paths.commitment, inputs=inputs(1, positions))
        times.append(time.perf_counter() - start)
    return {"verify s": round(times[-1], 1), "bits": round(result.security_bits, 1)}


STAGES: dict[str, Callable[[Paths, int, int], Figures]] = {
    "export": export,
    "compile": compiled,
    "report": report,
    "setup": setup,
    "prove": prove,
    "verify": check,
}
WITHOUT_PROOFS = ("export", "compile", "report")


def in_process(stage: str, folder: Path, layers: int, positions: int) -> Figures:
    """A stage in a process of its own: its figures, its seconds and its peak of memory."""
    command = [sys.executable, __file__, "--layers", str(layers), "--positions", str(positions)]
    start = time.perf_counter()
    done = subprocess.run(
        [*command, "--stage", stage, "--folder", str(folder)], check=True, stdout=subprocess.PIPE, text=True
    )
    return {"s": round(time.perf_counter() - start, 1), **json.loads(done.stdout.splitlines()[-1])}


def described(figures: Figures) -> str:
    """Figures as one line."""
    return ", ".join(f"{name} {value:,}" if not isinstance(value, str) else value for name, value in figures.items())


def measure(layers: int, positions: int, stages: list[str]) -> tuple[dict[str, Figures], list[list[str]]]:
    """All stages for one length of input: their figures, and rows for a table."""
    found: dict[str, Figures] = {}
    rows = []
    with tempfile.TemporaryDirectory(prefix="zkinfer-gpt2-") as folder:
        for stage in stages:
            figures = found[stage] = in_process(stage, Path(folder), layers, positions)
            phases = figures.pop("phases", {})
            seconds, peak = figures.pop("s"), figures.pop("peak GB")
            rows.append([str(positions), stage, f"{seconds:.1f}", f"{peak:.1f}", described(figures)])
            print(*rows[-1], sep=" | ", flush=True)
            if phases:
                rows.append([str(positions), "phases of a proof", "", "", described(phases)])
                print(*rows[-1], sep=" | ", flush=True)
    return found, rows


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--positions", type=int, nargs="+", default=[32, 128])
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--no-proofs", action="store_true", help="compile and compare only")
    parser.add_argument("--markdown", type=Path, help="write the table here too")
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # the exporter's
    if arguments.stage:
        figures = STAGES[arguments.stage](Paths(arguments.folder), arguments.layers, arguments.positions[0])
        peak = peak_bytes() / GB
        print(json.dumps({"peak GB": round(peak, 2), **figures}))
        return 0
    stages = list(WITHOUT_PROOFS if arguments.no_proofs else STAGES)
    close, rows = True, []
    for positions in arguments.positions:
        found, more = measure(arguments.layers, positions, stages)
        rows += more
        close = close and found["report"]["cosine"] >= MIN_COSINE
    if arguments.markdown:
        header = ("positions", "stage", "s", "peak GB", "figures")
        arguments.markdown.write_text(
            provenance("python benchmarks/gpt2.py") + "\n\n" + markdown_table(header, rows, left=2)
        )
    return int(not close)


if __name__ == "__main__":
    sys.exit(main())
