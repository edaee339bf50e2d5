"""What making keys takes: processor seconds, and memory beside the weights that are handed in.

    python benchmarks/making_keys.py [--width 4096] [--layers 2] [--bits 8] [--proofs 100]

The model is some square matrices of random integers, so that nothing has to be compiled. Memory is the most that is the
process's own at a time; pages of mapped files, which the system may reclaim, are counted apart. Both are compared with
the weights as float32. Kernels are compiled before.
"""

import argparse
import re
import tempfile
import threading
from pathlib import Path
from types import TracebackType

import numpy as np
from measure import MB, Stopwatch, markdown_table

from zkinfer.circuit.program import PROGRAM_VERSION, Einsum, Program, Tensor
from zkinfer.native.setup import key_sizes, setup
from zkinfer.typing import IntArray

HEADER = ("weights", "float32 MiB", "proofs", "copies", "processor s", "own memory MiB", "over float32", "mapped MiB")
SAMPLE_SECONDS = 0.01


class Memory:
    """Most memory of this process while the block runs, beside what it had before; of Linux.

    Attributes:
        own: bytes that are in no file.
        mapped: bytes of mapped files and libraries.
    """

    def __init__(self) -> None:
        self.own = self.mapped = 0
        self._before = _resident()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            own, mapped = (now - before for now, before in zip(_resident(), self._before, strict=True))
            self.own, self.mapped = max(self.own, own), max(self.mapped, mapped)


def _resident() -> tuple[int, int]:
    status = Path("/proc/self/status").read_text()
    own, mapped = (re.search(rf"{name}:\s+(\d+) kB", status) for name in ("RssAnon", "RssFile"))
    assert own is not None
    assert mapped is not None
    return 1024 * int(own[1]), 1024 * int(mapped[1])


def model(width: int, layers: int, bits: int) -> tuple[Program, list[IntArray]]:
    """Products of one input and several matrices, with the weights in the narrowest integers."""
    largest = (1 << (bits - 1)) - 1
    weights = tuple(Tensor(f"w{i}", (width, width), 0, -largest, largest) for i in range(layers))
    bound = largest * width
    nodes = tuple(Einsum(Tensor(f"y{i}", (1, width), 0, -bound, bound), "bi,oi->bo", (0, 1 + i)) for i in range(layers))
    outputs = tuple(range(1 + layers, 1 + 2 * layers))
    program = Program(PROGRAM_VERSION, (Tensor("x", (1, width), 0, -1, 1),), weights, (), nodes, outputs)
    rng, dtype = np.random.default_rng(0), np.int8 if bits <= 8 else np.int16
    return program, [rng.integers(-largest, largest + 1, (width, width), dtype=dtype) for _ in range(layers)]


def measured(width: int, layers: int, bits: int, proofs: int) -> list[str]:
    """The row of one size."""
    program, weights = model(width, layers, bits)
    floats = 4 * sum(weight.size for weight in weights)
    with tempfile.TemporaryDirectory() as folder, Memory() as memory:
        watch = Stopwatch()
        setup(program, weights, folder=Path(folder) / "keys", proofs=proofs)
        processor = watch.processor
    return [
        f"{floats // 4:,}",
        f"{floats / MB:.0f}",
        f"{proofs:,}",
        str(key_sizes(program, proofs).copies),
        f"{processor:.1f}",
        f"{memory.own / MB:.0f}",
        f"{memory.own / floats:.1f}",
        f"{memory.mapped / MB:.0f}",
    ]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=4096)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--bits", type=int, default=8)
    parser.add_argument("--proofs", type=int, default=100)
    arguments = parser.parse_args()
    measured(600, 1, arguments.bits, 5)
    row = measured(arguments.width, arguments.layers, arguments.bits, arguments.proofs)
    print(markdown_table(HEADER, [row], left=0))


if __name__ == "__main__":
    main()
