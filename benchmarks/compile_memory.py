"""Peak memory of compiling, beside the model's float32 size: `python benchmarks/compile_memory.py [NAME ...]`.

    block-WIDTH         an ONNX file of two layers of this width
    module-WIDTH        the same as a torch module in the process, which has its weights once already
    gpt2-LAYERS-LENGTH  an ONNX file of so many layers of GPT-2's shape, for so many positions

Each model is compiled in a process of its own, which has compiled something tiny before: memory is what the process
took at most beyond what it took then, with libraries and kernels loaded. Saving comes after compiling in that process,
reading is a process of its own. The defaults take about a minute.
"""

import argparse
import gc
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from measure import MB, markdown_table, provenance
from onnx import TensorProto, helper, numpy_helper
from peak import peak_bytes

import zkinfer as zk

NAMES = ("block-2048", "block-3000", "module-2048", "gpt2-2-16")
SAMPLES, SEQUENCES = 16, 8


def block(width: int) -> onnx.ModelProto:
    """Two linear layers, each with a ReLU, with random weights."""
    rng = np.random.default_rng(0)
    nodes, tensors = [], []
    for k in range(2):
        weight, bias = rng.normal(size=(width, width)) / np.sqrt(width), rng.normal(size=width)
        tensors += [numpy_helper.from_array(a.astype(np.float32), f"{n}{k}") for n, a in (("w", weight), ("b", bias))]
        nodes += [
            helper.make_node("Gemm", [f"x{k}", f"w{k}", f"b{k}"], [f"h{k}"]),
            helper.make_node("Relu", [f"h{k}"], [f"x{k + 1}"]),
        ]
    inputs = [helper.make_tensor_value_info("x0", TensorProto.FLOAT, ["n", width])]
    outputs = [helper.make_tensor_value_info("x2", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "block", inputs, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def module(width: int) -> Any:
    """The same network in torch."""
    from torch import nn

    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())


def samples(width: int) -> npt.NDArray[np.float32]:
    """Inputs of a block."""
    return np.random.default_rng(1).uniform(-1, 1, (SAMPLES, width)).astype(np.float32)


def made(name: str, path: Path) -> npt.NDArray[Any]:
    """Writes the model of a name, and returns its calibration data."""
    kind, *numbers = name.split("-")
    if kind == "gpt2":
        import gpt2

        layers, length = map(int, numbers)
        path.write_bytes(gpt2.network(layers, length).SerializeToString())
        tokens: npt.NDArray[np.int64] = gpt2.inputs(SEQUENCES, length)
        return tokens
    if kind == "block":
        onnx.save(block(int(numbers[0])), path)
    return samples(int(numbers[0]))


def resident_bytes() -> int:
    """What is resident now; of Linux."""
    gc.collect()
    found = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return 1024 * int(found[1])


def compiled(name: str, folder: Path) -> dict[str, float]:
    """Compiles a model that `made` wrote, and saves the circuit."""
    kind, *numbers = name.split("-")
    zk.compile(module(8) if kind == "module" else block(8), samples(8)).save(folder / "tiny")
    model: Any = module(int(numbers[0])) if kind == "module" else folder / "model.onnx"
    data = np.load(folder / "data.npy")
    empty, start = resident_bytes(), time.process_time()
    circuit = zk.compile(model, data)
    found = {"seconds": time.process_time() - start, "compile": peak_bytes() - empty, "left": resident_bytes() - empty}
    circuit.save(folder / "circuit")
    return found | {"save": peak_bytes() - empty, "weights": sum(weight.size for weight in circuit.weights)}


def loaded(name: str, folder: Path) -> dict[str, float]:
    """Reads the circuit."""
    zk.Circuit.load(folder / "tiny")
    empty = resident_bytes()
    circuit = zk.Circuit.load(folder / "circuit")
    return {"load": peak_bytes() - empty, "digest": int(circuit.digest[:8], 16)}


STAGES = {"compiled": compiled, "loaded": loaded}


def measured(name: str) -> dict[str, float]:
    """All figures of one model, its making and its stages each in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        found: dict[str, float] = {}
        for stage in ("made", *STAGES):
            command = [sys.executable, __file__, name, "--stage", stage, "--folder", folder]
            result = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            found |= json.loads(result.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(NAMES))
    parser.add_argument("--stage", choices=("made", *STAGES), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.stage == "made":
        np.save(arguments.folder / "data.npy", made(arguments.names[0], arguments.folder / "model.onnx"))
        print("{}")
        return
    if arguments.stage is not None:
        print(json.dumps(STAGES[arguments.stage](arguments.names[0], arguments.folder)))
        return
    print(provenance("python benchmarks/compile_memory.py"))
    print()
    rows = []
    for name in arguments.names:
        found = measured(name)
        size = 4 * found["weights"]
        parts = [found[key] for key in ("compile", "left", "save", "load")]
        rows.append([name, f"{size / MB:.0f}", f"{parts[0] / MB:.0f}", *(f"{part / size:.1f}" for part in parts)])
        rows[-1].append(f"{found['seconds']:.1f}")
    header = ["model", "float32 MB", "compile MB", "over float32", "left", "with saving", "reading", "processor s"]
    print(markdown_table(header, rows))


if __name__ == "__main__":
    main()
