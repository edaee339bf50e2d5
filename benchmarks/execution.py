"""Execution of integer programs against onnxruntime, or against the evaluator: `python benchmarks/execution.py`.

Models are random, with the sizes that the table names: two linear layers with a function in between, and a network of
two convolutions. Both sides run the same ONNX model on the same number of threads: onnxruntime in float32, zkinfer as
the integer program that it compiles to, with 8 bits for weights and 8 or 16 for activations, keeping what a prover
needs. (None of these programs has a product for numpy's BLAS, which has threads of its own.) Each time is the least of
several runs, taken in turns, so that both meet the same machine; one execution of each program is first compared with
the reference evaluator.

With `--evaluator`, the table says what `Circuit.run` gains by the executor: real numbers in, real numbers out, once as
it is and once with the reference evaluator in the executor's place, on circuits of 16 bits. `prepared` is what the
first run takes beside the others, when the executor is made.
"""

import argparse
import dataclasses
import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from runtime import onnxruntime

import zkinfer as zk
from zkinfer.circuit.evaluate import evaluate
from zkinfer.circuit.program import Program
from zkinfer.execution.executor import Executor
from zkinfer.jit.threads import set_threads
from zkinfer.native.witness import values_read

SECONDS = 2.0
"""About how long the runs of one comparison take, at least five of each."""

CIRCUITS = Path(__file__).parents[1] / "circuits"

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]


def normal(rng: np.random.Generator, *shape: int) -> Floats:
    """Weights of deviation 1 / sqrt(length of the sums), as layers are initialized."""
    return (rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


def model(nodes: list[onnx.NodeProto], weights: dict[str, Floats], *shapes: list[int]) -> onnx.ModelProto:
    """An ONNX model from x to y, of these shapes."""
    graph = helper.make_graph(
        nodes,
        "benchmark",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shapes[0])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shapes[1])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def dense(function: str, width: int, batch: int) -> onnx.ModelProto:
    """Linear, function, linear; all of one width."""
    rng = np.random.default_rng(0)
    node = helper.make_node
    nodes = [
        node("Gemm", ["x", "w1", "b1"], ["h"], transB=1),
        node(function, ["h"], ["a"]),
        node("Gemm", ["a", "w2", "b2"], ["y"], transB=1),
    ]
    weights = {name: normal(rng, width, width) for name in ("w1", "w2")}
    weights |= {name: normal(rng, width) for name in ("b1", "b2")}
    return model(nodes, weights, [batch, width], [batch, width])


def convolutional(channels: int, size: int, batch: int) -> onnx.ModelProto:
    """Two convolutions of 3 x 3, the second with twice the channels, mean pooling in between, and ten outputs."""
    rng = np.random.default_rng(0)
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w1", "b1"], ["c1"], kernel_shape=[3, 3], pads=[1] * 4),
        node("Relu", ["c1"], ["r1"]),
        node("AveragePool", ["r1"], ["p1"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", ["p1", "w2", "b2"], ["c2"], kernel_shape=[3, 3], pads=[1] * 4),
        node("Relu", ["c2"], ["r2"]),
        node("Flatten", ["r2"], ["f"]),
        node("Gemm", ["f", "w3", "b3"], ["y"], transB=1),
    ]
    weights = {
        "w1": normal(rng, channels, 3, 3, 3),
        "w2": normal(rng, 2 * channels, channels, 3, 3),
        "w3": normal(rng, 10, 2 * channels * (size // 2) ** 2),
        "b1": normal(rng, channels),
        "b2": normal(rng, 2 * channels),
        "b3": normal(rng, 10),
    }
    return model(nodes, weights, [batch, 3, size, size], [batch, 10])


def session(proto: onnx.ModelProto, threads: int) -> onnxruntime.InferenceSession:
    """The float model, ready to run."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])


def least_times(candidates: list[Callable[[], Any]]) -> list[float]:
    """The least wall time of each in milliseconds, after one run to warm up."""
    times: list[list[float]] = [[] for _ in candidates]
    begin = time.perf_counter()
    for run in range(10_000):
        for candidate, seen in zip(candidates, times, strict=True):
            start = time.perf_counter()
            candidate()
            if run:
                seen.append(time.perf_counter() - start)
        if run >= 5 and time.perf_counter() - begin > SECONDS:
            break
    return [1000 * min(seen) for seen in times]


def require_exact(executor: Executor, circuit: zk.Circuit, inputs: npt.NDArray[np.int64]) -> None:
    """Compares one execution with the reference evaluator."""
    expected = evaluate(circuit.program, circuit.weights, [inputs])
    for got, wanted in zip(executor.run([inputs]), expected, strict=True):
        if got is not None:
            np.testing.assert_array_equal(got, wanted)


def compare(
    name: str, make: Callable[[int], onnx.ModelProto], bits: int, batches: list[int], threads: int
) -> Iterator[str]:
    """A line of the table for each batch."""
    rng = np.random.default_rng(1)
    single = make(1)
    shape = [d.dim_value for d in single.graph.input[0].type.tensor_type.shape.dim]
    calibration = rng.normal(size=(16, *shape[1:])).astype(np.float32)
    circuit = zk.compile(single, calibration, activation_bits=bits, weight_bits=8, max_table_entries=1 << 16)
    executor = Executor(circuit.program, circuit.weights, keep=values_read(circuit.program))
    tensor = circuit.program.inputs[0]
    require_exact(executor, circuit, rng.integers(tensor.lo, tensor.hi + 1, (2, *tensor.shape)))
    for batch in batches:
        inputs = rng.integers(tensor.lo, tensor.hi + 1, (batch, *tensor.shape))
        reals = rng.normal(size=(batch, *shape[1:])).astype(np.float32)
        floats = session(make(batch), threads)
        ours, theirs = least_times([partial(executor.run, [inputs]), partial(floats.run, None, {"x": reals})])
        memory = executor.peak_bytes(batch) / 1e6
        yield f"{name:<29} {bits:>4} {batch:>6} {ours:>10.3f} {theirs:>12.3f} {ours / theirs:>6.2f}x {memory:>9.1f}"


class Evaluator(Executor):
    """The reference evaluator in the place of the executor."""

    def __init__(self, program: Program, weights: Sequence[Integers]) -> None:
        self.program, self.weights = program, weights

    def integers(self, inputs: Sequence[Integers], wanted: Sequence[int]) -> list[Integers]:
        """See `Executor.integers`."""
        values = evaluate(self.program, self.weights, inputs)
        return [np.broadcast_to(values[v], (len(inputs[0]), *values[v].shape[1:])) for v in wanted]


def against_evaluator(name: str, circuit: zk.Circuit, samples: list[int]) -> Iterator[str]:
    """A line for each number of samples: milliseconds of `Circuit.run`, with the evaluator and with the executor."""
    before = dataclasses.replace(circuit)
    vars(before)["executor"] = Evaluator(circuit.program, circuit.weights)
    tensor, rng = circuit.program.inputs[0], np.random.default_rng(2)
    one = np.zeros((1, *tensor.shape[1:]))
    begin = time.perf_counter()
    circuit.run(one)
    first = 1000 * (time.perf_counter() - begin)
    for count in samples:
        x = rng.integers(tensor.lo, tensor.hi + 1, (count, *tensor.shape[1:])) / 2.0**tensor.frac_bits
        np.testing.assert_array_equal(circuit.run(x), before.run(x))
        slow, fast = least_times([partial(before.run, x), partial(circuit.run, x)])
        prepared = f"{first - fast:>10.1f}" if count == 1 else ""
        yield f"{name:<29} {count:>7} {slow:>11.3f} {fast:>10.3f} {slow / fast:>6.1f}x {prepared}"


def circuits() -> Iterator[tuple[str, zk.Circuit]]:
    """The pinned models of digits, wide layers and convolutions, of sizes that are powers of two and others."""
    for name in ("digits-mlp", "digits-cnn"):
        folder = CIRCUITS / name
        yield name, zk.compile(folder / "model.onnx", np.load(folder / "calibration.npy"))
    rng = np.random.default_rng(1)
    for width in (1000, 2048):
        calibration = rng.normal(size=(16, width)).astype(np.float32)
        yield f"gelu block, width {width}", zk.compile(dense("Gelu", width, 1), calibration)
    for channels, size in ((13, 15), (32, 28)):
        calibration = rng.normal(size=(16, 3, size, size)).astype(np.float32)
        yield f"convolutions, {channels} at {size} x {size}", zk.compile(convolutional(channels, size, 1), calibration)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--full", action="store_true", help="larger models and batches too; minutes and gigabytes")
    parser.add_argument("--evaluator", action="store_true", help="Circuit.run against the reference evaluator")
    arguments = parser.parse_args()
    set_threads(arguments.threads)
    if arguments.evaluator:
        print(f"{arguments.threads} threads; least times of Circuit.run in milliseconds")
        print(f"{'circuit':<29} samples   evaluator   executor   ratio   prepared")
        for name, circuit in circuits():
            for line in against_evaluator(name, circuit, [1, 7, 256]):
                print(line, flush=True)
        return
    widths, batches = ([256, 1024, 4096], [1, 64, 1024]) if arguments.full else ([256, 1024], [1, 64])
    images = [(16, 16), (32, 28)] if arguments.full else [(16, 16)]
    print(f"{arguments.threads} threads; least times in milliseconds; memory of execution at most, in MB")
    print(f"{'model':<29} bits  batch    zkinfer  onnxruntime   ratio    memory")
    for bits in (8, 16):
        for width in widths:
            for function in ("Relu", "Gelu"):
                name = f"{function.lower()} block, width {width}"
                for line in compare(name, partial(dense, function, width), bits, batches, arguments.threads):
                    print(line, flush=True)
        for channels, size in images:
            name = f"convolutions, {channels} at {size} x {size}"
            for line in compare(name, partial(convolutional, channels, size), bits, batches[:2], arguments.threads):
                print(line, flush=True)


if __name__ == "__main__":
    main()
