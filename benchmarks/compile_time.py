"""Time of compiling against the number of layers: `python benchmarks/compile_time.py [--layers N ...] [--plot FILE]`.

A chain is one kind of layer many times over. What a compiler does for each layer must not depend on how many came
before, so that the seconds of a chain lie on a line. The defaults take about half a minute; the figures that matter are
those of chains that are ten times as long.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from measure import markdown_table, provenance
from onnx import TensorProto, helper, numpy_helper

import zkinfer as zk

WIDTH = 4
LAYERS = (25, 50, 100)
SAMPLES = 16

Layer = Callable[[int, str, str], list[onnx.NodeProto]]


def _elementwise(k: int, x: str, y: str) -> list[onnx.NodeProto]:
    return [helper.make_node(("Relu", "Tanh")[k % 2], [x], [y], name=y)]


def _silu(k: int, x: str, y: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("Sigmoid", [x], [f"s{k}"], name=f"s{k}"),
        helper.make_node("Mul", [x, f"s{k}"], [y], name=y),
    ]


def _concat_slice(k: int, x: str, y: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("Concat", [x, x], [f"c{k}"], name=f"c{k}", axis=1),
        helper.make_node("Slice", [f"c{k}", "start", "end", "axis"], [y], name=y),
    ]


def _matmul(k: int, x: str, y: str) -> list[onnx.NodeProto]:
    return [helper.make_node("MatMul", [x, f"w{k}"], [y], name=y)]


def _residual(k: int, x: str, y: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("MatMul", [x, f"w{k}"], [f"m{k}"], name=f"m{k}"),
        helper.make_node("Relu", [f"m{k}"], [f"r{k}"], name=f"r{k}"),
        helper.make_node("Mul", [f"r{k}", "tenth"], [f"t{k}"], name=f"t{k}"),
        helper.make_node("Add", [x, f"t{k}"], [y], name=y),
    ]


CHAINS: dict[str, Layer] = {
    "elementwise": _elementwise,
    "SiLU": _silu,
    "Concat and Slice": _concat_slice,
    "MatMul": _matmul,
    "residual": _residual,
}


def chain(layer: Layer, length: int) -> onnx.ModelProto:
    """A model of so many layers between a product with a weight and the output."""
    rng = np.random.default_rng(0)
    tensors = {
        "start": np.array([0]),
        "end": np.array([WIDTH]),
        "axis": np.array([1]),
        "tenth": np.float32(0.1),
        # Rotations, so that a long chain neither grows nor vanishes.
        **{f"w{k}": np.linalg.qr(rng.normal(size=(WIDTH, WIDTH)))[0].astype(np.float32) for k in range(-1, length)},
    }
    nodes = [helper.make_node("MatMul", ["x", "w-1"], ["h0"], name="h0")]
    for k in range(length):
        nodes += layer(k, f"h{k}", f"h{k + 1}")
    read = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", WIDTH])],
        [helper.make_tensor_value_info(f"h{length}", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in tensors.items() if name in read],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def seconds(layer: Layer, length: int) -> float:
    """Processor seconds of compiling one chain."""
    x = np.random.default_rng(1).uniform(-1, 1, (SAMPLES, WIDTH)).astype(np.float32)
    model = chain(layer, length)
    start = time.process_time()
    zk.compile(model, x)
    return time.process_time() - start


def draw(layers: list[int], times: dict[str, list[float]], path: Path) -> None:
    """Seconds against layers, one line a chain."""
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
    for name, values in times.items():
        axis.plot(layers, values, marker="o", label=name)
    axis.set(xlabel="layers", ylabel="processor seconds of compiling", xlim=0, ylim=0)
    axis.legend()
    axis.grid(alpha=0.3)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, nargs="+", default=list(LAYERS), help="lengths of the chains")
    parser.add_argument("--chains", nargs="+", choices=list(CHAINS), default=list(CHAINS))
    parser.add_argument("--plot", type=Path, default=Path("compile_time.png"), help="where the curves are drawn")
    arguments = parser.parse_args()
    # The first circuit of a process loads libraries.
    seconds(CHAINS["elementwise"], 1)
    times = {name: [seconds(CHAINS[name], length) for length in arguments.layers] for name in arguments.chains}
    print(provenance("python benchmarks/compile_time.py"))
    print()
    print(
        markdown_table(
            ["chain", *(f"{length} layers" for length in arguments.layers)],
            [[name, *(f"{value:.2f} s" for value in values)] for name, values in times.items()],
        )
    )
    draw(arguments.layers, times, arguments.plot)
    print(f"\nThe curves are in {arguments.plot}.")


if __name__ == "__main__":
    main()
