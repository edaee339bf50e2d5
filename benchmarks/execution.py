"""Execution of integer programs against onnxruntime's float32: `python benchmarks/execution.py`.

Models are random, with the sizes that the table names: two linear layers with a function in between, and a network of
two convolutions. Both sides run the same ONNX model on the same number of threads: onnxruntime in float32, zkinfer as
the integer program that it compiles to, with 8 bits for weights and 8 or 16 for activations, keeping what a prover
needs. (None of these programs has a product for numpy's BLAS, which has threads of its own.) Each time is the least of
several runs, taken in turns, so that both meet the same machine; one execution of each program is first compared with
the reference evaluator.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import zkinfer as zk
from zkinfer.circuit.evaluate import evaluate
from zkinfer.execution.executor import Executor
from zkinfer.jit.threads import set_threads

SECONDS = 2.0
"""About how long the runs of one comparison take, at least five of each."""

Floats = npt.NDArray[np.float32]


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
    executor = Executor(circuit.program, circuit.weights)
    tensor = circuit.program.inputs[0]
    require_exact(executor, circuit, rng.integers(tensor.lo, tensor.hi + 1, (2, *tensor.shape)))
    for batch in batches:
        inputs = rng.integers(tensor.lo, tensor.hi + 1, (batch, *tensor.shape))
        reals = rng.normal(size=(batch, *shape[1:])).astype(np.float32)
        floats = session(make(batch), threads)
        ours, theirs = least_times([partial(executor.run, [inputs]), partial(floats.run, None, {"x": reals})])
        memory = executor.peak_bytes(batch) / 2**20
        yield f"{name:<29} {bits:>4} {batch:>6} {ours:>10.3f} {theirs:>12.3f} {ours / theirs:>6.2f}x {memory:>9.1f}"


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--full", action="store_true", help="larger models and batches too; minutes and gigabytes")
    arguments = parser.parse_args()
    set_threads(arguments.threads)
    widths, batches = ([256, 1024, 4096], [1, 64, 1024]) if arguments.full else ([256, 1024], [1, 64])
    images = [(16, 16), (32, 28)] if arguments.full else [(16, 16)]
    print(f"{arguments.threads} threads; least times in milliseconds; memory of execution at most, in MiB")
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
