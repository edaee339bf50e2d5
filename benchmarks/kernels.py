"""The fused shift-lookup-histogram kernel against numpy's pipeline: `python benchmarks/kernels.py`.

Both make, from int64 inputs, the int64 outputs of a table behind a rounding shift, and how often each entry was used.
numpy does it in five passes over memory (add, shift, subtract, take, bincount) and does not check that the inputs are
within the table; the kernel does it in one, and checks. Both allocate their results. Each time is the least of several
runs, taken in turns so that all meet the same machine.

The stream is a loop that reads the inputs and writes as many outputs, with the same allocation and the same number of
threads: what memory allows. `share` is the stream's time over the kernel's. What is left is the work that a gather and
a counter take for each element; with tables beyond the first-level cache it is the latency of that cache's misses.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from zkinfer.circuit.table import Table
from zkinfer.execution.tables import lookup_histogram

SHIFT = 6


def numpy_pipeline(x: Any, table: Table) -> Any:
    """Outputs and multiplicities, with numpy alone."""
    index = ((x + (1 << (SHIFT - 1))) >> SHIFT) - table.lo
    return table.array.take(index), np.bincount(index, minlength=len(table.values))


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
    rng = np.random.default_rng(0)
    print(f"{arguments.elements} int64 elements, shift {SHIFT}, least of {arguments.runs} runs, in milliseconds")
    print("entries   inputs  threads    numpy   kernel  ratio   stream  share")
    for bits in (8, 12, 16):
        entries = 1 << bits
        table = Table("benchmark", -entries // 2, tuple(int(v) for v in rng.integers(-(2**15), 2**15, entries)))
        for kind, x in make_inputs(table, arguments.elements, rng).items():
            for ours, theirs in zip(lookup_histogram(x, table, SHIFT), numpy_pipeline(x, table), strict=True):
                np.testing.assert_array_equal(ours, theirs)
            for threads in sorted({1, numba.config.NUMBA_NUM_THREADS}):
                numba.set_num_threads(threads)
                pipeline, kernel, memory = least_times(
                    [
                        lambda x=x, table=table: numpy_pipeline(x, table),
                        lambda x=x, table=table: lookup_histogram(x, table, SHIFT),
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
