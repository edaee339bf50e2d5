"""The work is split without gap or overlap, and results do not depend on how."""

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

from support.field_elements import Elements

from zkinfer.errors import InvalidInputError
from zkinfer.jit import threads
from zkinfer.protocol.field import kernels
from zkinfer.protocol.field.scalar import ONE


@pytest.fixture(autouse=True)
def _same_threads_afterwards() -> Iterator[None]:
    before = threads.get_threads()
    yield
    threads.set_threads(before)


@pytest.mark.parametrize("workers", [1, 2, 3, 8])
@pytest.mark.parametrize(("count", "grain"), [(0, 8), (1, 8), (8, 8), (100, 8), (1000, 1), (7, 100)])
def test_ranges_cover_the_work_once(workers: int, count: int, grain: int) -> None:
    threads.set_threads(workers)
    ranges = threads.split(lambda start, stop: (start, stop), count, grain)
    assert [start for start, _ in ranges] == [0, *(stop for _, stop in ranges[:-1])]
    assert ranges[-1][1] == count
    assert len(ranges) <= workers
    assert all((stop - start) % grain == 0 for start, stop in ranges[:-1])


def test_results_do_not_depend_on_the_number_of_threads() -> None:
    n, elements = 1 << 15, Elements(50)
    a, b = (kernels.from_ints(np.array([elements.base(n)] * 3)) for _ in range(2))
    (r,) = elements.ext(1)
    point = elements.ext(15)
    matrix = a[0].reshape(16, -1)
    leaves = np.zeros((2048, 7 * 16), dtype=np.uint8)

    def everything() -> list[Any]:
        kernels.write_columns(matrix, leaves, 0)
        results = [
            kernels.mul(a, b), kernels.ext_mul(a, b), kernels.fold(a, r), kernels.fold(a[0], r),
            kernels.eq_table(point),
            kernels.ntt(matrix), kernels.rs_encode(matrix), kernels.row_combination(matrix, [ONE] * 16),
            leaves.copy(), kernels.mle(a, point), kernels.dot(a[0], b[0]), kernels.ext_dot(a, b),
        ]  # fmt: skip
        return [r.tolist() if isinstance(r, np.ndarray) else r for r in results]

    with kernels.threads(1):
        single = everything()
    for workers in (2, 3):
        with kernels.threads(workers):
            assert everything() == single


def test_an_error_in_a_thread_reaches_the_caller() -> None:
    threads.set_threads(2)
    values = np.ones(1 << 15)
    values[-1] = 0.0
    with pytest.raises(InvalidInputError, match="zero"):
        kernels.batch_inv(values)


def test_the_block_restores_the_number_of_threads() -> None:
    threads.set_threads(2)
    with threads.threads(1):
        assert threads.get_threads() == 1
    assert threads.get_threads() == 2
    with pytest.raises(ZeroDivisionError), threads.threads(1):
        threads.split(lambda start, stop: 1 // 0, 1, 1)
    assert threads.get_threads() == 2


@pytest.mark.parametrize("count", [0, -1])
def test_no_threads_at_all_are_refused(count: int) -> None:
    with pytest.raises(InvalidInputError):
        threads.set_threads(count)


def in_new_process(value: str) -> subprocess.CompletedProcess[str]:
    code = "from zkinfer.jit.threads import get_threads; print(get_threads())"
    environment = os.environ | {threads.ENVIRONMENT_VARIABLE: value}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)


def test_the_environment_variable() -> None:
    assert in_new_process("3").stdout.strip() == "3"
    assert int(in_new_process("").stdout) >= 1


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5"])
def test_an_environment_variable_that_is_no_count_is_refused(value: str) -> None:
    assert "InvalidInputError" in in_new_process(value).stderr


def test_a_forked_child_makes_its_own_threads() -> None:
    code = (
        "import os\n"
        "from zkinfer.jit.threads import set_threads, split\n"
        "set_threads(2)\n"
        "work = lambda start, stop: stop - start\n"
        "split(work, 100, 1)\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os._exit(0 if sum(split(work, 100, 1)) == 100 else 1)\n"
        "raise SystemExit(os.waitpid(child, 0)[1])\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=60)
