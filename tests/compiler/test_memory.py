"""Memory of compiling and of circuit files: what they take at most, and what is refused because it does not fit."""

import importlib
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import pytest
from support.benchmarks import loaded

import zkinfer as zk
from zkinfer.compiler import memory
from zkinfer.compiler.onnx import read
from zkinfer.compiler.onnx.export import stored_bytes
from zkinfer.compiler.onnx.load import load_model
from zkinfer.errors import ResourceError

WIDTH = 1536

X = np.random.default_rng(2).uniform(-1, 1, (16, 64)).astype(np.float32)

compiling = importlib.import_module("zkinfer.compiler.compile")
"""The module, which the function of its name hides."""

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
    """Writes the block of this width that `benchmarks/compile_memory.py` measures; returns the bytes of its weights."""
    with contextmanager(loaded)("compile_memory") as benchmark:
        model = benchmark.block(width)
    onnx.save(model, path)
    return sum(len(tensor.raw_data) for tensor in model.graph.initializer)


@pytest.mark.skipif(sys.platform != "linux", reason="what a process took at most is read from Linux's /proc")
def test_compiling_and_saving_take_a_few_times_the_weights(tmp_path: Path) -> None:
    """Before weights were shared and streamed, this was 13 and more; a part does not depend on the model's size."""
    block(64, tmp_path / "small.onnx")
    size = block(WIDTH, tmp_path / "large.onnx")
    arguments = [str(tmp_path / name) for name in ("small.onnx", "large.onnx", "circuit")]
    command = [sys.executable, "-c", PROCESS, *arguments, str(WIDTH)]
    subprocess.run(command, check=True, capture_output=True)  # kernels are compiled once, which takes memory too
    found = subprocess.run(command, check=True, capture_output=True, text=True)
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


class TestWhatSurelyDoesNotFit:
    """It is refused before the work that would not fit; `limit` is what the process may have."""

    @staticmethod
    def limit(monkeypatch: pytest.MonkeyPatch, present: int) -> None:
        monkeypatch.setattr(memory, "memory_limit", lambda: present)

    @staticmethod
    def forbid(monkeypatch: pytest.MonkeyPatch, owner: object, name: str) -> None:
        """Lets the test fail where work is done that would not fit."""

        def begun(*_: object, **__: object) -> None:
            raise AssertionError(f"{name} was begun")

        monkeypatch.setattr(owner, name, begun)

    def test_a_file_is_not_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        size = block(64, tmp_path / "model.onnx")
        self.limit(monkeypatch, size)
        self.forbid(monkeypatch, read, "_parse")
        with pytest.raises(ResourceError, match=r"33\.5 kB takes about 83\.7 kB .* have 33\.3 kB: .* with 83\.7 kB"):
            zk.compile(tmp_path / "model.onnx", X)
        with pytest.raises(ResourceError, match="compile on a machine with"):
            zk.compile((tmp_path / "model.onnx").read_bytes(), X)

    def test_weights_in_other_files_count_and_are_not_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        size = block(64, tmp_path / "model.onnx")
        model = onnx.load(tmp_path / "model.onnx")
        onnx.save(model, tmp_path / "model.onnx", save_as_external_data=True, location="weights", size_threshold=0)
        assert (tmp_path / "model.onnx").stat().st_size < size / 10
        self.limit(monkeypatch, size)
        self.forbid(monkeypatch, read, "load_external_data_for_tensor")
        with pytest.raises(ResourceError, match="compile on a machine with"):
            zk.compile(tmp_path / "model.onnx", X)

    def test_a_message_counts(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.limit(monkeypatch, block(64, tmp_path / "model.onnx"))
        with pytest.raises(ResourceError, match="compile on a machine with"):
            zk.compile(onnx.load(tmp_path / "model.onnx"), X)

    def test_a_module_is_not_exported(self, monkeypatch: pytest.MonkeyPatch) -> None:
        torch = pytest.importorskip("torch")
        layer = torch.nn.Linear(64, 64, bias=False)
        tied = torch.nn.Sequential(layer, torch.nn.ReLU(), layer)
        assert stored_bytes(tied) == 4 * 64 * 64
        self.limit(monkeypatch, 4 * 64 * 64)
        self.forbid(monkeypatch, compiling, "export_call")
        with pytest.raises(ResourceError, match="compile on a machine with"):
            zk.compile(tied, X)

    def test_fewer_samples_are_advised_where_these_fit(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        block(64, tmp_path / "model.onnx")
        many = np.random.default_rng(0).uniform(-1, 1, (5000, 64)).astype(np.float32)
        self.limit(monkeypatch, 3_000_000)
        with monkeypatch.context() as inner:
            self.forbid(inner, compiling, "require_same_function")
            with pytest.raises(
                ResourceError, match=r"5,000 calibration samples .* 3\.0 MB: hand in .* or fewer"
            ) as caught:
                zk.compile(tmp_path / "model.onnx", many)
        fitting = int(str(caught.value).partition("hand in ")[2].split()[0].replace(",", ""))
        assert 1 <= fitting < len(many)
        assert zk.compile(tmp_path / "model.onnx", many[:fitting]).batch == 1

    def test_where_not_even_one_sample_fits_another_machine_is_advised(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The tensors of one run, of a large batch, which the weights do not tell of."""
        size = block(64, tmp_path / "model.onnx")
        self.limit(monkeypatch, 3 * size)
        with pytest.raises(ResourceError, match=r"a smaller batch, or on a machine with .* or more"):
            zk.compile(tmp_path / "model.onnx", X, batch=500)

    def test_what_is_estimated_to_take_a_little_more_is_tried(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        block(64, tmp_path / "model.onnx")
        needed = memory.needed_bytes(load_model(tmp_path / "model.onnx", batch=1), len(X))
        self.limit(monkeypatch, int(needed / 1.24))
        zk.compile(tmp_path / "model.onnx", X)
        self.limit(monkeypatch, int(needed / 1.26))
        with pytest.raises(ResourceError, match="calibration samples"):
            zk.compile(tmp_path / "model.onnx", X)


def test_an_estimate_counts_runs_that_are_computed_at_once(tmp_path: Path) -> None:
    """More samples take what they have themselves, once a part of them fills what is computed at once."""
    block(64, tmp_path / "model.onnx")
    model = load_model(tmp_path / "model.onnx", batch=1)
    one, two, many, more = (memory.needed_bytes(model, n) for n in (1, 2, 1_000_000, 1_000_001))
    assert more - many == memory.SAMPLES * 4 * 64
    assert two - one == memory.SAMPLES * 4 * 64 + memory.ELEMENT_BYTES * 5 * 64
