"""Batches are checked by processes, also where one of them is stopped or dies."""

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.proven_jobs import ProvenJob, proven_job, some_keys

from zkinfer.errors import VerifierUnavailableError
from zkinfer.jobs import check_pool, processes
from zkinfer.jobs.check_pool import check_in_processes
from zkinfer.jobs.verification import make_setting

if TYPE_CHECKING:
    import subprocess


@pytest.fixture
def job(tmp_path: Path) -> ProvenJob:
    return proven_job(tmp_path)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The signals that the first processes get as soon as they run."""
    signals: list[int] = []
    start = processes.start_process

    def start_and_signal(*args: Any) -> Any:
        process, connection = start(*args)
        if signals:
            os.kill(process.pid, signals.pop())
        return process, connection

    monkeypatch.setattr(check_pool, "start_process", start_and_signal)
    return signals


def check(job: ProvenJob, workers: int) -> int:
    """How many batches are found right."""
    setting = make_setting(job.folder, some_keys().commitment, job.manifest, job.inputs)
    verdicts = list(check_in_processes(setting, job.manifest.batches, workers))
    assert not any(verdict.error for verdict in verdicts)
    return len(verdicts)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_batch_of_a_stopped_process_is_checked_by_another(
    job: ProvenJob, sent: list[int], monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr(check_pool, "STOPPED_SECONDS", 0.5)
    monkeypatch.setattr(check_pool, "LOOK_SECONDS", 0.1)
    sent.append(signal.SIGSTOP)
    assert check(job, workers) == len(job.manifest.batches)


def test_one_that_dies_ends_the_check(job: ProvenJob, sent: list[int]) -> None:
    sent.append(signal.SIGKILL)
    with pytest.raises(VerifierUnavailableError, match="died"):
        check(job, 2)


def test_none_is_left_behind(job: ProvenJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the caller looks at the first verdict alone."""
    started: list[subprocess.Popen[bytes]] = []
    start = processes.start_process

    def start_and_note(*args: Any) -> Any:
        process, connection = start(*args)
        started.append(process)
        return process, connection

    monkeypatch.setattr(check_pool, "start_process", start_and_note)
    setting = make_setting(job.folder, some_keys().commitment, job.manifest, job.inputs)
    found = check_in_processes(setting, job.manifest.batches, 2)
    next(found)
    found.close()
    assert [process.returncode is None for process in started] == [False, False]
