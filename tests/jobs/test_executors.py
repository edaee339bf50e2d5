"""Proving in the process itself, where what waits can be taken back, and in others, which may be stopped."""

import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from support.example_programs import mlp
from support.recording_keys import RecordingKeys, item_integers

from zkinfer.errors import InvalidInputError, ResourceError
from zkinfer.files.proof import Proof
from zkinfer.jobs import executors
from zkinfer.jobs.executors import InlineExecutor, ProcessExecutor
from zkinfer.jobs.work import Failed, Proven, Result, TensorData, Work
from zkinfer.native.keys import NativeKeys
from zkinfer.native.setup import setup
from zkinfer.typing import IntArray


class PatientKeys(RecordingKeys):
    """Keys that prove once they may."""

    begun: Event
    may_go_on: Event

    def prove(self, inputs: Sequence[IntArray], context: bytes, **options: bool) -> Proof:
        self.begun.set()
        assert self.may_go_on.wait(30)
        return super().prove(inputs, context, **options)


def work(keys: RecordingKeys, first: int) -> Work:
    runs = item_integers(np.arange(first, first + 2)).reshape(2, 1, 3)
    return Work(keys.commitment.digest, first, 2, (TensorData.of(runs),), b"", False, False)


def test_one_batch_is_proven_while_another_waits_and_is_taken_back(tmp_path: Path) -> None:
    keys = PatientKeys(tmp_path / "keys")
    keys.begun, keys.may_go_on = Event(), Event()
    executor = InlineExecutor(keys)
    assert (executor.workers, executor.places) == (1, 2)

    def use() -> str:
        executor.submit(work(keys, 0))
        executor.submit(work(keys, 2))
        assert keys.begun.wait(30)
        assert executor.results(0.0) == []
        assert [taken.first for taken in executor.withdraw()] == [2]
        assert executor.withdraw() == []
        keys.may_go_on.set()
        (result,) = executor.results(30.0)
        assert isinstance(result, Proven)
        assert result.first == 0
        executor.submit(work(keys, 4))
        assert [result.first for result in executor.results(30.0)] == [4]
        return "used"

    assert executor.serve(use) == "used"
    assert keys.proven == [0, 4]


@pytest.fixture
def stopped(tmp_path: Path) -> Iterator[tuple[ProcessExecutor, NativeKeys]]:
    """Two workers, of which the first was stopped, as by an operator who forgot about it."""
    keys = setup(mlp().program, mlp().weights, folder=tmp_path / "keys", proofs=10)
    executor = ProcessExecutor(keys.folder, 2, tmp_path / "log")
    os.kill(executor.pids[0], signal.SIGSTOP)
    yield executor, keys
    executor.close()


def native_work(keys: NativeKeys, first: int) -> Work:
    return Work(keys.commitment.digest, first, 1, (TensorData.of(mlp().x[None]),), b"", False, False)


def test_the_batch_of_a_stopped_worker_is_proven_by_another(
    stopped: tuple[ProcessExecutor, NativeKeys], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executors, "STOPPED_SECONDS", 0.5)
    executor, keys = stopped
    for first in (0, 1):
        executor.submit(native_work(keys, first))
    found: list[Result] = []
    while len(found) < 2:
        found += executor.results(0.1)
    assert {result.first: type(result) for result in found} == {0: Failed, 1: Proven}
    executor.submit(native_work(keys, 0))
    while not (again := executor.results(0.1)):
        pass
    assert isinstance(again[0], Proven)


def test_a_worker_that_goes_on_in_time_keeps_its_batch(stopped: tuple[ProcessExecutor, NativeKeys]) -> None:
    executor, keys = stopped
    executor.submit(native_work(keys, 0))
    assert executor.results(0.2) == []
    os.kill(executor.pids[0], signal.SIGCONT)
    while not (found := executor.results(0.2)):
        pass
    assert isinstance(found[0], Proven)


def test_the_end_does_not_wait_for_a_stopped_worker(
    stopped: tuple[ProcessExecutor, NativeKeys], monkeypatch: pytest.MonkeyPatch
) -> None:
    executor, _ = stopped
    monkeypatch.setattr(executors, "GRACE_SECONDS", 1000.0)
    executor.close()


def test_work_that_a_stopped_worker_does_not_read_is_handed_in_all_the_same(
    stopped: tuple[ProcessExecutor, NativeKeys],
) -> None:
    executor, keys = stopped
    inputs = (TensorData.of(np.zeros((1 << 18, 1, 3), dtype=np.int64)),)
    executor.submit(Work(keys.commitment.digest, 0, 1, inputs, b"", False, False))
    assert executor.results(0.1) == []


def test_what_uses_it_may_fail(tmp_path: Path) -> None:
    def use() -> None:
        raise InvalidInputError("damaged")

    with pytest.raises(InvalidInputError, match="damaged"):
        InlineExecutor(RecordingKeys(tmp_path / "keys")).serve(use)


def test_an_interruption_ends_what_uses_it(tmp_path: Path) -> None:
    class Interrupted(RecordingKeys):
        def prove(self, inputs: Sequence[IntArray], context: bytes, **options: bool) -> Proof:
            raise KeyboardInterrupt

    keys = Interrupted(tmp_path / "keys")
    executor = InlineExecutor(keys)

    def use() -> None:
        executor.submit(work(keys, 0))
        while not executor.results(0.01):
            pass

    with pytest.raises(KeyboardInterrupt):
        executor.serve(use)
    with pytest.raises(ResourceError, match="interrupted"):
        executor.results(0.0)
