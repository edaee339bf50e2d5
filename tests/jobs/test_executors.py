"""Proving in the process itself: one batch after another, and what waits can be taken back."""

from collections.abc import Sequence
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from support.recording_keys import RecordingKeys, item_integers

from zkinfer.errors import InvalidInputError, ResourceError
from zkinfer.files.proof import Proof
from zkinfer.jobs.executors import InlineExecutor
from zkinfer.jobs.work import Proven, TensorData, Work
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
