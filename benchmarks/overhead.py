"""The headline: what proving costs over inference, for MLP blocks of growing width and batch.

    python benchmarks/overhead.py [--widths 256 1024] [--batches 1 64 1024] [--markdown FILE]

A block is linear, GELU, linear, with committed weights of 8 bits. Proving is all that `zk.prove` does, execution
included, in zero knowledge at 128 bits of security; inference is onnxruntime in float32, the baseline of the overhead,
and beside it in int8, as its own dynamic quantization makes it of the same block. All take the same threads, in one
process, and are the least of several runs. Each size has a process of its own; its peak memory is shown, and how much
of what a bound allows the proofs add: six times weights and activations as float64. A width that is not a power of two
is among the defaults.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from measure import MB, limit_threads, markdown_table, provenance
from onnx import helper, numpy_helper
from peak import peak_bytes
from rich.console import Console
from rich.table import Table
from runtime import QuantType, onnxruntime, quantize_dynamic

import zkinfer as zk
from zkinfer.circuit.program import Lookup
from zkinfer.timings import collected
from zkinfer.verifier import verify

HEADER = (
    "width",
    "batch",
    "inference ms",
    "int8 ms",
    "prove ms",
    "overhead",
    "ns/activation",
    "verify ms",
    "proof kB",
    "peak MB",
    "of bound",
)
PHASES = (
    "execution",
    "witness",
    "commitment",
    "pads",
    "copy of the weights",
    "masks of the weights",
    "lookups",
    "gathered boxes",
    "contractions",
    "sums of parts",
    "committed cells",
    "column points",
    "opening of the weights",
    "opening of the rest",
    "proof about the pads",
)
"""Parts of a proof, whose milliseconds are the columns of a second table. `engine.py --proof` shows their own parts."""

MEMORY_BOUND = 6
"""Times weights and activations as float64: what peak memory should stay below, beside the process itself."""


@dataclass(frozen=True)
class Measurement:
    """One size.

    Attributes:
        inference: milliseconds in float32.
        quantized: milliseconds in int8.
        prove, verify: milliseconds.
        looked_up: elements looked up in one proof.
        proof: bytes.
        peak: MB, of the whole process.
        started: MB, of the process once it has proven a tiny block and run the float model.
        data: MB that weights and activations would take as float64.
        phases: milliseconds.
    """

    width: int
    batch: int
    inference: float
    quantized: float
    prove: float
    verify: float
    looked_up: int
    proof: int
    peak: float
    started: float
    data: float
    phases: dict[str, float]

    @property
    def overhead(self) -> float:
        """Proving over inference in float32."""
        return self.prove / self.inference

    @property
    def overhead_of_quantized(self) -> float:
        """Proving over inference in int8."""
        return self.prove / self.quantized

    def row(self) -> list[str]:
        """The figures as text, as in `HEADER`."""
        return [
            str(self.width),
            str(self.batch),
            f"{self.inference:.2f}",
            f"{self.quantized:.2f}",
            f"{self.prove:.0f}",
            f"{self.overhead:.1f}",
            f"{1e6 * self.prove / self.looked_up:,.0f}",
            f"{self.verify:.0f}",
            f"{self.proof / 1e3:,.0f}",
            f"{self.peak:.0f}",
            f"{(self.peak - self.started) / (MEMORY_BOUND * self.data):.2f}",
        ]

    def phase_row(self) -> list[str]:
        """Milliseconds of the phases, as in `PHASES`, and of what none of them names."""
        rest = self.prove - sum(self.phases.values())
        shown = [self.phases.get(name, 0.0) for name in PHASES]
        others = sum(self.phases.values()) - sum(shown)
        return [str(self.width), str(self.batch), f"{self.prove:.0f}", *(f"{ms:.0f}" for ms in (*shown, rest + others))]


def block(width: int) -> onnx.ModelProto:
    """Linear, GELU, linear, with random weights of realistic size."""
    rng = np.random.default_rng(width)
    names = ("first", "second")
    weights = [rng.standard_normal((width, width), dtype=np.float32) / np.float32(width**0.5) for _ in names]
    bias = rng.standard_normal(width, dtype=np.float32) / 8
    initializers = [numpy_helper.from_array(w, n) for w, n in zip(weights, names, strict=True)]
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "first", "bias"], ["h"], transB=1),
            helper.make_node("Gelu", ["h"], ["a"]),
            helper.make_node("Gemm", ["a", "second"], ["y"], transB=1),
        ],
        "block",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", width])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["batch", width])],
        [*initializers, numpy_helper.from_array(bias, "bias")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def quantized(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model in int8, by onnxruntime's dynamic quantization: weights by channel, activations by each run."""
    with tempfile.TemporaryDirectory(prefix="zkinfer-int8-") as folder:
        path = Path(folder) / "int8.onnx"
        quantize_dynamic(model, path, per_channel=True, weight_type=QuantType.QInt8)
        return onnx.load(path)


def _session(model: onnx.ModelProto, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def least(run: Callable[[], object], repeats: int) -> float:
    """Milliseconds of the fastest of some runs, after one that is not counted."""
    run()
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return 1e3 * best


def samples(width: int, batch: int) -> npt.NDArray[np.float32]:
    """Inputs of a block."""
    return np.random.default_rng(batch).standard_normal((batch, width), dtype=np.float32).clip(-4, 4)


def prepare(width: int, batch: int, proofs: int, folder: Path) -> None:
    """Compile, and make keys in a folder: in a process of its own, whose memory is not the prover's."""
    zk.setup(compiled(width, batch), proofs=proofs, folder=folder)


def compiled(width: int, batch: int) -> zk.Circuit:
    """The circuit of a block, of 8 bits."""
    ends = [np.full((1, width), end, np.float32) for end in (-4, 4)]
    return zk.compile(block(width), np.concatenate([samples(width, min(batch, 64)), *ends]), precision="ezkl")


def measure(width: int, batch: int, threads: int, folder: Path, repeats: int) -> Measurement:
    """Prove and verify one size; to be called once in a process."""
    limit_threads(threads)
    _prove_something_tiny()
    session = _session(block(width), threads)
    quantized_session = _session(quantized(block(width)), threads)
    x = samples(width, batch)
    inference = least(lambda: session.run(None, {"x": x}), 3 * repeats)
    in_int8 = least(lambda: quantized_session.run(None, {"x": x}), 3 * repeats)
    started = _peak()
    keys = zk.Keys.load(folder)
    best: tuple[float, dict[str, float], zk.Proof] | None = None
    for _ in range(repeats + 1):
        with collected() as phases:
            start = time.perf_counter()
            proof = zk.prove(keys, x, saturate=True)
            seconds = time.perf_counter() - start
        if best is None or seconds < best[0]:
            best = (seconds, phases, proof)
        inference = min(inference, least(lambda: session.run(None, {"x": x}), repeats))
        in_int8 = min(in_int8, least(lambda: quantized_session.run(None, {"x": x}), repeats))
    assert best is not None
    peak = _peak()
    seconds, phases, proof = best
    verifying = least(lambda: verify(proof, keys.commitment, inputs=x, saturate=True), repeats)
    program = keys.program
    values = batch * sum(program.tensor(v).size for v in range(program.num_values))
    weights = sum(weight.size for weight in program.weights)
    return Measurement(
        width=width,
        batch=batch,
        inference=inference,
        quantized=in_int8,
        prove=1e3 * seconds,
        verify=verifying,
        looked_up=batch * sum(node.out.size for node in program.nodes if isinstance(node, Lookup)),
        proof=len(proof.to_bytes()),
        peak=peak,
        started=started,
        data=8 * (values + (1 - batch) * weights) / MB,
        phases={name: 1e3 * value for name, value in phases.items()},
    )


def _prove_something_tiny() -> None:
    """Loads and compiles all that a process needs once."""
    x = np.random.default_rng(0).standard_normal((4, 32), dtype=np.float32)
    zk.prove(zk.setup(zk.compile(block(32), x, precision="ezkl"), proofs=1), x, saturate=True)


def _peak() -> float:
    return peak_bytes() / MB


def in_process(width: int, batch: int, arguments: argparse.Namespace) -> Measurement:
    """The same in processes of their own: one that makes the keys, and one that proves."""
    command = [sys.executable, __file__, "--widths", str(width), "--batches", str(batch)]
    command += ["--threads", str(arguments.threads), "--proofs", str(arguments.proofs)]
    command += ["--repeats", str(arguments.repeats)]
    with tempfile.TemporaryDirectory(prefix="zkinfer-overhead-") as folder:
        keys = str(Path(folder) / "keys")
        subprocess.run([*command, "--prepare", keys], check=True)
        done = subprocess.run([*command, "--keys", keys], check=True, stdout=subprocess.PIPE, text=True)
    return Measurement(**json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", type=int, nargs="+", default=[256, 1000, 1024])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 64, 1024])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--proofs", type=int, default=64, help="budget of the keys")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--markdown", type=Path, help="write the tables here too")
    parser.add_argument("--prepare", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--keys", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    width, batch = arguments.widths[0], arguments.batches[0]
    if arguments.prepare:
        prepare(width, batch, arguments.proofs, arguments.prepare)
        return
    if arguments.keys:
        print(json.dumps(asdict(measure(width, batch, arguments.threads, arguments.keys, arguments.repeats))))
        return
    measurements: list[Measurement] = []
    table = Table(title=f"MLP blocks, {arguments.threads} threads, keys for {arguments.proofs} proofs")
    for name in HEADER:
        table.add_column(name, justify="right")
    for width in arguments.widths:
        for batch in arguments.batches:
            measurements.append(in_process(width, batch, arguments))
            print(" ".join(measurements[-1].row()), flush=True)
            table.add_row(*measurements[-1].row())
    Console(width=200).print(table)
    parts = markdown_table(["width", "batch", "prove ms", *PHASES, "rest"], [m.phase_row() for m in measurements])
    print(parts)
    if arguments.markdown:
        text = markdown_table(HEADER, [m.row() for m in measurements])
        arguments.markdown.write_text("\n\n".join((provenance("python benchmarks/overhead.py"), text, parts)))


if __name__ == "__main__":
    main()
