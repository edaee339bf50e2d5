"""While kernels are compiled, Python's collector of cyclic garbage waits."""

import gc
from collections.abc import Iterator
from threading import Barrier, Thread
from typing import Any

import pytest

from zkinfer.jit.collector import collector_waits


@pytest.fixture(autouse=True)
def _collector() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.enable()
    yield
    (gc.enable if enabled else gc.disable)()


def test_it_works_again_behind_the_outermost() -> None:
    with collector_waits():
        with collector_waits():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_it_works_again_behind_an_error() -> None:
    with pytest.raises(ZeroDivisionError), collector_waits():
        raise ZeroDivisionError
    assert gc.isenabled()


def test_a_collector_that_was_switched_off_stays_so() -> None:
    gc.disable()
    with collector_waits():
        assert not gc.isenabled()
    assert not gc.isenabled()


def test_it_waits_for_the_last_of_several_threads() -> None:
    inside, left = Barrier(2), Barrier(2)

    def other() -> None:
        with collector_waits():
            inside.wait()
            left.wait()

    thread = Thread(target=other)
    thread.start()
    with collector_waits():
        inside.wait()
    assert not gc.isenabled()
    left.wait()
    thread.join()
    assert gc.isenabled()


def test_it_waits_while_a_kernel_is_compiled() -> None:
    pytest.importorskip("numba")
    from numba.core import event

    from zkinfer.jit.compiling import kernel

    found = []

    class Passes(event.Listener):  # type: ignore[misc]
        def on_start(self, event: Any) -> None:
            found.append(gc.isenabled())

        def on_end(self, event: Any) -> None:
            found.append(gc.isenabled())

    def twice(x: Any) -> Any:
        return 2 * x

    compiled: Any = kernel(twice)
    assert compiled(3) == 6  # compiled, or found on disk
    passes = Passes()
    event.register("numba:run_pass", passes)
    try:
        compiled.recompile()
    finally:
        event.unregister("numba:run_pass", passes)
    assert found
    assert not any(found)
    assert gc.isenabled()
