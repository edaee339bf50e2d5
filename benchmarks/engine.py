"""The speed of the prover's parts, measured against the speed of this machine's memory and arithmetic.

    python benchmarks/engine.py                    # one thread, then all
    python benchmarks/engine.py --threads 1 --markdown
    python benchmarks/engine.py --proof 4096 1024      # the phases of a proof, and the limit of each

u is the time per element of `c[i] = a[i] * b[i] + c[i]` over 2^22 float64, in the same run and on the same threads.
Each figure is the best of several repetitions: by the clock, and, as "core ns", the time of all processors together,
which says more where other programs run. Multiples of u are by the clock. The last columns say which share of two
limits a row reaches: of the bytes a second that u's loop moves (32 bytes an element), and of the multiply-adds a second
that a loop on registers does. Memory is what the call adds to its input at its peak, as a multiple of the input.
"""

import argparse
import os
import platform
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba.core.codegen import get_host_cpu_features
from phases import Machine, phases

from zkinfer.jit.compiling import kernel
from zkinfer.jit.threads import get_threads, split, threads
from zkinfer.protocol.channel import ProverChannel, Writer
from zkinfer.protocol.field import kernels, scalar, warmup
from zkinfer.protocol.field.encoding import BASE_BYTES
from zkinfer.protocol.field.kernels.vector import LANES, fma, load, splat, store
from zkinfer.protocol.field.params import P
from zkinfer.protocol.lookup.params import Block, LookupInstance
from zkinfer.protocol.lookup.protocol import run_lookup
from zkinfer.protocol.lookup.prover import KernelWitness, multiplicities
from zkinfer.protocol.lookup.tables import RangeTable
from zkinfer.protocol.merkle.columns import SaltedColumns
from zkinfer.protocol.merkle.kernels import hash_messages
from zkinfer.protocol.merkle.paths import hash_leaf, hash_node
from zkinfer.protocol.merkle.tree import build_tree
from zkinfer.protocol.pcs.params import Code
from zkinfer.protocol.pcs.prover import commit
from zkinfer.protocol.transcript import Transcript

STREAM_BYTES = 32
"""Moved for each element of u's loop: three reads and a write."""

REGISTER_ROUNDS = 1 << 16
REGISTER_CHAINS = 12

LOG_COLUMNS = 11
CODE = Code(log_columns=LOG_COLUMNS, blinding=256, log_length=LOG_COLUMNS + 2)
"""Of the commitment that is measured: 2304 symbols become 8192, and 256 columns may be shown."""

SHORT_LEAF = 95
"""Bytes of a salt and nine symbols: a leaf of the commitments that a small proof makes."""


@dataclass(frozen=True)
class Row:
    """A measurement.

    Attributes:
        name, unit: what is done, and for what the time is given.
        units: how many of them one call does.
        call: the work.
        input_bytes: what it reads.
        ceiling, goal: in multiples of u, or None.
        traffic: bytes that one unit must move at least, or None where it is not the limit.
        fused: multiply-adds and multiplications of one unit, or None where they were not counted.
    """

    name: str
    unit: str
    units: int
    call: Callable[[], Any]
    input_bytes: int
    ceiling: float | None = None
    goal: float | None = None
    traffic: float | None = None
    fused: float | None = None


@kernel
def stream(a: Any, b: Any, c: Any, start: int, stop: int) -> None:
    """u's loop."""
    for i in range(start, stop):
        c[i] = a[i] * b[i] + c[i]


@kernel
def registers(out: Any, rounds: int, start: int, stop: int) -> None:
    """Independent chains of multiply-adds that touch no memory."""
    x = splat(0.5)
    a, b, c, d, e, f = splat(1.0), splat(2.0), splat(3.0), splat(4.0), splat(5.0), splat(6.0)
    g, h, i, j, k, m = splat(1.5), splat(2.5), splat(3.5), splat(4.5), splat(5.5), splat(6.5)
    for _ in range(rounds):
        a, b, c, d, e, f = fma(a, x, x), fma(b, x, x), fma(c, x, x), fma(d, x, x), fma(e, x, x), fma(f, x, x)
        g, h, i, j, k, m = fma(g, x, x), fma(h, x, x), fma(i, x, x), fma(j, x, x), fma(k, x, x), fma(m, x, x)
    store(out, start * LANES, a + b + c + d + e + f + g + h + i + j + k + m + load(out, start * LANES, x))


@dataclass(frozen=True)
class Times:
    """Seconds of one call: the shortest by the clock, and the least of all processors together."""

    clock: float
    processors: float


def best(call: Callable[[], Any], seconds: float = 1.0, most: int = 40) -> Times:
    """The best of several repetitions, after one that does not count: at least 3, at most `most`."""
    call()
    clock: list[float] = []
    processors: list[float] = []
    while len(clock) < 3 or (sum(clock) < seconds and len(clock) < most):
        start, start_processors = time.perf_counter(), time.process_time()
        call()
        clock.append(time.perf_counter() - start)
        processors.append(time.process_time() - start_processors)
    return Times(min(clock), min(processors))


def status(field: str) -> int:
    """A field of /proc/self/status, in bytes."""
    found = re.search(rf"^{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.M)
    assert found is not None
    return int(found[1]) * 1024


def added_memory(call: Callable[[], Any]) -> int | None:
    """The most that a call adds to the memory of this process; None where the system does not tell."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    before = status("VmRSS")
    call()
    return max(0, status("VmHWM") - before)


def elements(*shape: int) -> Any:
    """Random balanced elements."""
    return kernels.from_ints(np.random.default_rng(7).integers(0, P, shape))


def challenges(count: int) -> list[scalar.Ext]:
    """Random extension elements."""
    return kernels.ext_to_ints(elements(3, count))


def vector_rows(log_size: int) -> Iterator[Row]:
    """Vectors of 2^log_size elements."""
    n = 1 << log_size
    ext, point = elements(3, n), challenges(log_size)
    base, half, r = ext[0].copy(), ext[:, : n // 2], point[0]
    cached, small = elements(3, 1 << 14), np.empty((3, 1 << 13))

    def cached_folds() -> None:
        for _ in range(256):
            kernels.fold(cached, r, out=small)

    yield Row(
        "extension fold, in place", "output", n // 2, lambda: kernels.fold(ext, r, out=half), 24 * n, 6, 4, 72, 30
    )
    yield Row("extension fold, in cache", "output", 256 << 13, cached_folds, 24 << 14, None, None, None, 30)
    yield Row(
        "fold of base elements", "output", n // 2, lambda: kernels.fold(base, r, out=half), 8 * n, None, None, 40, 16
    )
    yield Row("inner product, extension", "term", n, lambda: kernels.ext_dot(ext, ext), 24 * n, None, None, 24, 30)
    yield Row("evaluation, extension", "element", n, lambda: kernels.mle(ext, point), 24 * n, None, None, 24, 22.5)
    yield Row("evaluation, base", "element", n, lambda: kernels.mle(base, point), 8 * n, None, None, 8, 7.5)
    yield Row("eq table", "element", n, lambda: kernels.eq_table(point), 24 * n, None, None, 72, 36)
    yield Row("inverses, base", "element", n, lambda: kernels.batch_inv(base), 8 * n, None, None, 16, 14)
    yield Row("inverses, extension", "element", n, lambda: kernels.ext_batch_inv(ext), 24 * n, None, None, 48, 72)


def combination_rows(log_size: int) -> Iterator[Row]:
    """A matrix of 2^log_size entries."""
    n = 1 << log_size
    coefficients = elements(3, n >> LOG_COLUMNS)
    wide = elements(n >> LOG_COLUMNS, 1 << LOG_COLUMNS)
    int16 = (wide % (1 << 16) - (1 << 15)).astype(np.int16)
    int8 = (wide % (1 << 8) - (1 << 7)).astype(np.int8)

    def combine(matrix: Any) -> Callable[[], Any]:
        return lambda: kernels.row_combination(matrix, coefficients)

    yield Row("row combination, int8", "entry", n, combine(int8), n, 3, 1.5, 1, 6)
    yield Row("row combination, int16", "entry", n, combine(int16), 2 * n, None, None, 2, 6)
    yield Row("row combination, base elements", "entry", n, combine(wide), 8 * n, None, None, 8, 7.5)


def commitment_rows(log_size: int) -> Iterator[Row]:
    """A matrix of 2^log_size base elements, its codewords and its commitment."""
    n = 1 << log_size
    matrix = elements(n >> LOG_COLUMNS, 1 << LOG_COLUMNS)
    codewords = np.empty((len(matrix), CODE.length))
    short = short_leaves(n >> 6)
    leaves = np.empty((CODE.length, BASE_BYTES * len(matrix)), dtype=np.uint8)

    def encode() -> Any:
        return kernels.rs_encode(matrix, out=codewords)

    def pack() -> Any:
        return kernels.write_columns(codewords, leaves, 0)

    yield Row("transforms of 2^11", "element", n, lambda: kernels.ntt(matrix), 8 * n, None, None, 16, 25)
    yield Row("codewords at rate 1/4", "message element", n, encode, 8 * n, None, None, 40, 112)
    yield Row("columns as bytes", "symbol", 4 * n, pack, 32 * n, None, None, 15)
    unsalted = SaltedColumns(codewords, np.empty((CODE.length, 0), dtype=np.uint8))
    yield Row("tree over columns as bytes", "symbol", 4 * n, lambda: build_tree(leaves), 28 * n, None, None, 7)
    yield Row("tree over columns, not written", "symbol", 4 * n, lambda: build_tree(unsalted), 32 * n, None, None, 8)
    yield Row("tree over leaves of 95 bytes", "leaf", n >> 6, lambda: build_tree(short), short.size)
    yield Row("commitment, rate 0.28, hash included", "base element", n, lambda: commit(CODE, matrix, 2), 8 * n, 40, 20)


def lookup_rows(log_size: int) -> Iterator[Row]:
    """2^log_size lookups in a range."""
    n = 1 << log_size
    instance = LookupInstance((RangeTable(1 << 16),), (Block(0, log_size),))
    blocks = [[np.random.default_rng(7).integers(0, 1 << 16, n).astype(np.float64)]]

    def lookups() -> Any:
        witness = KernelWitness(instance, blocks, multiplicities(instance, blocks))
        return run_lookup(instance, ProverChannel(Transcript(b"benchmark"), Writer()), witness)

    yield Row("LogUp-GKR, a column, range 2^16", "lookup", n, lookups, 8 * n, 80, 40)


GROUPS = (vector_rows, combination_rows, commitment_rows, lookup_rows)


def slow_product() -> float:
    """Seconds for an extension product in plain Python."""
    a, b = (123456789012345, 987654321098765, 555555555555555), (P - 5, P // 2, 12345)
    count = 20_000

    def products() -> None:
        for _ in range(count):
            scalar.ext_mul(a, b)

    return best(products).processors / count


def short_leaves(count: int) -> Any:
    """Random leaves, uint8 of shape (count, SHORT_LEAF)."""
    return np.random.default_rng(7).integers(0, 256, (count, SHORT_LEAF), dtype=np.uint8)


def slow_tree() -> tuple[float, float]:
    """Seconds for a tree over short leaves when each message is hashed alone, and the ratio to `build_tree`'s."""
    leaves = short_leaves(1 << 14)

    def tree() -> None:
        level = [hash_leaf(leaf.data) for leaf in leaves]
        while len(level) > 1:
            level = [hash_node(level[i], level[i + 1]) for i in range(0, len(level), 2)]

    alone = best(tree).processors
    return alone / len(leaves), alone / best(lambda: build_tree(leaves)).processors


def measure(log_size: int, markdown: bool) -> None:
    """Prints the table for the threads in use."""
    a, b, c = np.random.default_rng(1).random((3, 1 << 22))
    streaming = lambda: split(stream, c.size, 1 << 13, a, b, c)  # noqa: E731
    workers = get_threads()
    lanes = np.zeros(workers * LANES)
    chains = best(lambda: split(registers, workers, 1, lanes, REGISTER_ROUNDS)).clock
    fused_per_second = workers * REGISTER_ROUNDS * REGISTER_CHAINS * LANES / chains
    u = best(streaming).clock / c.size
    results = []
    for group in GROUPS:
        for row in group(log_size):
            memory = added_memory(row.call)
            times = best(row.call)
            u = min(u, best(streaming, 0.2).clock / c.size)
            results.append((row, times, memory))
    print(
        f"{workers} thread{'s' * (workers > 1)}: u = {u * 1e9:.2f} ns, {STREAM_BYTES / u / 1e9:.0f} GB/s, "
        f"{fused_per_second / 1e9:.1f} G multiply-adds/s\n"
    )
    header = ("work", "per", "ns", "core ns", "u", "ceiling", "goal", "bandwidth", "multiply-adds", "memory added")
    lines = []
    for row, times, memory in results:
        seconds = times.clock / row.units
        lines.append(
            (
                row.name,
                row.unit,
                f"{seconds * 1e9:.2f}",
                f"{times.processors / row.units * 1e9:.2f}",
                f"{seconds / u:.1f}",
                "" if row.ceiling is None else f"{row.ceiling:g} u",
                "" if row.goal is None else f"{row.goal:g} u",
                "" if row.traffic is None else f"{row.traffic / seconds * u / STREAM_BYTES:.0%}",
                "" if row.fused is None else f"{row.fused / seconds / fused_per_second:.0%}",
                "" if memory is None else f"{memory / row.input_bytes:.1f} x",
            )
        )
    show([header, *lines], markdown)
    print(f"\nAn extension product in plain Python: {slow_product() * 1e9:.0f} ns.")
    alone, ratio = slow_tree()
    print(f"A tree, message by message: {alone * 1e9:.0f} ns for a leaf of 95 bytes, {ratio:.0f} times as many.\n")


def measure_phases(width: int, batch: int, markdown: bool) -> None:
    """Prints the phases of a proof of a block, against three speeds of this machine on the threads in use."""
    a, b, c = np.random.default_rng(1).random((3, 1 << 22))
    workers = get_threads()
    lanes = np.zeros(workers * LANES)
    messages = np.random.default_rng(7).integers(0, 256, (workers << 9, 1 << 10), dtype=np.uint8)
    digests = np.empty((len(messages), 32), dtype=np.uint8)

    machine = Machine(
        STREAM_BYTES * c.size / best(lambda: split(stream, c.size, 1 << 13, a, b, c)).processors,
        workers
        * REGISTER_ROUNDS
        * REGISTER_CHAINS
        * LANES
        / best(lambda: split(registers, workers, 1, lanes, REGISTER_ROUNDS)).processors,
        messages.size / best(lambda: hash_messages(messages, bytes(32), digests)).processors,
    )
    lines = phases(width, batch, machine)
    print(
        f"{workers} thread{'s' * (workers > 1)}, width {width}, batch {batch}; each: {machine.moved / 1e9:.0f} GB/s, "
        f"{machine.fused / 1e9:.1f} G multiply-adds/s, {machine.hashed / 1e9:.1f} GB/s hashed\n"
    )
    show(lines, markdown)


def show(lines: list[tuple[str, ...]], markdown: bool) -> None:
    """Prints lines of cells, the first of them the header."""
    widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
    separator = " | " if markdown else "  "
    for number, line in enumerate(lines):
        cells = [
            cell.ljust(w) if k < 2 else cell.rjust(w) for k, (cell, w) in enumerate(zip(line, widths, strict=True))
        ]
        text = separator.join(cells)
        print(f"| {text} |" if markdown else text)
        if number == 0 and markdown:
            print("|" + "|".join("---" if k < 2 else "---:" for k in range(len(widths))) + "|")


def machine() -> str:
    """The processor, the versions and the commit."""
    processor = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists() and (found := re.search(r"model name\s*:\s*(.*)", info.read_text())):
        processor = found[1]
    wide = "AVX-512" if "+avx512f" in get_host_cpu_features() else "no AVX-512"
    describe = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    commit_name = subprocess.run(describe, capture_output=True, text=True, check=False).stdout.strip() or "unknown"
    return f"{processor}, {os.cpu_count()} processors, {wide}; numba {numba.__version__}; commit {commit_name}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures the prover's parts on this machine.")
    parser.add_argument("--log-size", type=int, default=22, help="measure 2^N elements (default 22)")
    parser.add_argument("--threads", type=int, help="only with so many threads (default: 1, then all)")
    parser.add_argument("--proof", type=int, nargs=2, metavar=("WIDTH", "BATCH"), help="the phases of a proof instead")
    parser.add_argument("--markdown", action="store_true", help="print tables for a document")
    arguments = parser.parse_args()
    start = time.perf_counter()
    warmup()
    print(f"{machine()}\nwarmup: {time.perf_counter() - start:.1f} s\n")
    if arguments.proof:
        with threads(arguments.threads or get_threads()):
            width, batch = arguments.proof
            measure_phases(width, batch, arguments.markdown)
        return
    for count in [arguments.threads] if arguments.threads else sorted({1, get_threads()}):
        with threads(count):
            measure(arguments.log_size, arguments.markdown)


if __name__ == "__main__":
    main()
