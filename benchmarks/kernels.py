"""The kernels of lookups against numpy: `python benchmarks/kernels.py`.

Both make, from int64 inputs, what a prover commits to for a table behind a rounding shift: outputs, indices and
remainders, in float64, and how often each entry was used. numpy does it in nine passes over memory (add, shift,
subtract, take, mask, three conversions, bincount) and does not check that the inputs are within the table; the kernels
do it in four, and check. Both allocate their results. Each time is the least of several runs, taken in turns so that
all meet the same machine.

The stream is a loop that reads the inputs and writes as many outputs, with the same allocation and the same number of
threads: what memory allows. `share` is the stream's time over the kernels'. What is left are three more passes, and the
work that a gather and a counter take for each element; with tables beyond the first-level cache it is the latency of
that cache's misses.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from zkinfer.circuit.table import Table
from zkinfer.execution.tables import AppliedTable
from zkinfer.jit.threads import get_threads, set_threads
from zkinfer.native.kernels.columns import count, trace_lookup

SHIFT = 6


def numpy_pipeline(x: Any, table: Table) -> Any:
    """Outputs, indices, remainders and multiplicities, with numpy alone."""
    shifted = x + (1 << (SHIFT - 1))
    index = shifted >> SHIFT
    position = index - table.lo
    counts = np.bincount(position, minlength=len(table.values)).astype(np.float64)
    remainder = (shifted & ((1 << SHIFT) - 1)).astype(np.float64)
    return table.array.take(position).astype(np.float64), index.astype(np.float64), remainder, counts


def kernel_pipeline(x: Any, table: AppliedTable) -> Any:
    """The same, with the kernels."""
    out, index, remainder = np.empty(x.size), np.empty(x.size), np.empty(x.size)
    counts = np.zeros(len(table.table.values))
    trace_lookup(x, table, SHIFT, (SHIFT,), out, index, [remainder])
    count(index, table.table.lo, counts)
    return out, index, remainder, counts


@numba.njit(parallel=True)
def stream(x: Any, y: Any) -> None:
    """y = x."""
    for j in numba.prange(x.size):
        y[j] = x[j]


def least_times(candidates: list[Callable[[], Any]], runs: int) -> list[float]:
    """The least wall time of each in milliseconds, after one run to warm up."""
    times: list[list[float]] = [[] for _ in candidates]
    for run in range(runs + 1):
        for candidate, seen in zip(candidates, times, strict=True):
            start = time.perf_counter()
            candidate()
            if run:
                seen.append(time.perf_counter() - start)
    return [1000 * min(seen) for seen in times]


def make_inputs(table: Table, elements: int, rng: np.random.Generator) -> dict[str, Any]:
    """Inputs that use all of the table evenly, and inputs as activations are: most near the middle."""
    lo, hi = table.lo << SHIFT, table.hi << SHIFT
    normal = np.clip(rng.normal(0, hi / 6, elements), lo, hi).astype(np.int64)
    return {"uniform": rng.integers(lo, hi + 1, elements), "normal": normal}


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--elements", type=int, default=10**7)
    parser.add_argument("--runs", type=int, default=7)
    arguments = parser.parse_args()
    rng, available = np.random.default_rng(0), get_threads()
    print(f"{arguments.elements} int64 elements, shift {SHIFT}, least of {arguments.runs} runs, in milliseconds")
    print("entries   inputs  threads    numpy   kernel  ratio   stream  share")
    for bits in (8, 12, 16):
        entries = 1 << bits
        table = Table("benchmark", -entries // 2, tuple(int(v) for v in rng.integers(-(2**15), 2**15, entries)))
        applied = AppliedTable(table)
        for kind, x in make_inputs(table, arguments.elements, rng).items():
            for ours, theirs in zip(kernel_pipeline(x, applied), numpy_pipeline(x, table), strict=True):
                np.testing.assert_array_equal(ours, theirs)
            for threads in sorted({1, available}):
                set_threads(threads)
                numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
                pipeline, kernel, memory = least_times(
                    [
                        lambda x=x, table=table: numpy_pipeline(x, table),
                        lambda x=x, applied=applied: kernel_pipeline(x, applied),
                        lambda x=x: stream(x, np.empty_like(x)),
                    ],
                    arguments.runs,
                )
                print(
                    f"{entries:>7} {kind:>8} {threads:>8} {pipeline:>8.1f} {kernel:>8.1f} {pipeline / kernel:>5.1f}x "
                    f"{memory:>8.1f} {memory / kernel:>6.0%}"
                )


if __name__ == "__main__":
    main()
