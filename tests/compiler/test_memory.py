"""Peak memory of compiling and of circuit files, as multiples of what a model takes as float32."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import zkinfer as zk

WIDTH = 1536

PROCESS = """
import gc, re, sys
from pathlib import Path
import numpy as np
import zkinfer as zk

def status(name):
    return 1024 * int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

def samples(width):
    return np.random.default_rng(0).uniform(-1, 1, (16, width)).astype(np.float32)

small, large, target, width = sys.argv[1:]
zk.compile(small, samples(64)).save(target)  # loads all that compiling needs
gc.collect()
empty = status("VmRSS")
circuit = zk.compile(large, samples(int(width)))
compiled = status("VmHWM") - empty
circuit.save(target)
print(compiled, status("VmHWM") - empty)
"""


def block(width: int, path: Path) -> int:
    """Writes a model of two layers of this width, and returns the bytes of its weights."""
    rng = np.random.default_rng(0)
    nodes, tensors = [], []
    for k in range(2):
        weight, bias = rng.normal(size=(width, width)) / np.sqrt(width), rng.normal(size=width)
        tensors += [numpy_helper.from_array(a.astype(np.float32), f"{n}{k}") for n, a in (("w", weight), ("b", bias))]
        nodes += [
            helper.make_node("Gemm", [f"x{k}", f"w{k}", f"b{k}"], [f"h{k}"]),
            helper.make_node("Relu", [f"h{k}"], [f"x{k + 1}"]),
        ]
    graph = helper.make_graph(
        nodes,
        "block",
        [helper.make_tensor_value_info("x0", TensorProto.FLOAT, ["n", width])],
        [helper.make_tensor_value_info("x2", TensorProto.FLOAT, None)],
        tensors,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return sum(len(tensor.raw_data) for tensor in tensors)


@pytest.mark.skipif(sys.platform != "linux", reason="what a process took at most is read from Linux's /proc")
def test_compiling_and_saving_take_a_few_times_the_weights(tmp_path: Path) -> None:
    """Before weights were shared and streamed, this was 13 and more; a part does not depend on the model's size."""
    block(64, tmp_path / "small.onnx")
    size = block(WIDTH, tmp_path / "large.onnx")
    arguments = [str(tmp_path / name) for name in ("small.onnx", "large.onnx", "circuit")]
    found = subprocess.run(
        [sys.executable, "-c", PROCESS, *arguments, str(WIDTH)], check=True, capture_output=True, text=True
    )
    compiled, saved = map(int, found.stdout.split())
    assert compiled < 4.5 * size
    assert saved < 4.5 * size


def test_a_circuit_holds_its_weights_in_narrow_integers(tmp_path: Path) -> None:
    block(40, tmp_path / "model.onnx")
    x = np.random.default_rng(1).uniform(-1, 1, (16, 40)).astype(np.float32)
    circuit = zk.compile(tmp_path / "model.onnx", x, weight_bits=8)
    circuit.save(tmp_path / "circuit")
    loaded = zk.Circuit.load(tmp_path / "circuit")
    for held in (circuit, loaded):
        matrices = [weight for weight in held.weights if weight.ndim == 2]
        assert [weight.dtype for weight in matrices] == [np.int8, np.int8]
    for before, after in zip(circuit.weights, loaded.weights, strict=True):
        assert np.array_equal(before, after)
        assert not after.flags.writeable
    assert loaded.model == circuit.model
