"""The budget file: spent before an opening exists, shared by processes, never handed out twice."""

import errno
import fcntl
import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from zkinfer.errors import ArtifactError, BudgetError, ResourceError
from zkinfer.files.budget import create, retiring, spend, spent


@pytest.fixture
def path(tmp_path: Path) -> Path:
    create(tmp_path / "budget")
    return tmp_path / "budget"


def test_counts_down_and_then_refuses(path: Path) -> None:
    assert [spend(path, 3) for _ in range(3)] == [2, 1, 0]
    with pytest.raises(BudgetError, match="the 3 proofs"):
        spend(path, 3)
    assert spent(path) == 3


def test_is_for_its_owner_alone(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_missing_file_is_not_an_unspent_budget(tmp_path: Path) -> None:
    for action in (spent, lambda p: spend(p, 3)):
        with pytest.raises(ArtifactError, match="missing"):
            action(tmp_path / "budget")
    assert not (tmp_path / "budget").exists()


def test_making_it_twice_does_not_refill_it(path: Path) -> None:
    spend(path, 3)
    with pytest.raises(FileExistsError):
        create(path)
    assert spent(path) == 1


@pytest.mark.parametrize("call", ["open", "write", "fsync"])
def test_what_cannot_be_accounted_for_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(ResourceError, match="No space left"):
        spend(path, 3)


def test_is_on_disk_before_the_call_returns(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def recorded(name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def call(*arguments: Any) -> Any:
            calls.append(name)
            return real(*arguments)

        return call

    for name in ("write", "fsync"):
        monkeypatch.setattr(os, name, recorded(name))
    spend(path, 3)
    assert calls == ["write", "fsync"]


def test_waits_for_who_else_is_spending(path: Path) -> None:
    """Counting and appending are one step: nobody counts while another has counted and not yet appended."""
    with path.open("ab") as other, ThreadPoolExecutor(1) as pool:
        fcntl.flock(other, fcntl.LOCK_EX)
        waiting = pool.submit(spend, path, 1)
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.3)
        other.write(b"\x01")
        other.flush()
        fcntl.flock(other, fcntl.LOCK_UN)
        with pytest.raises(BudgetError):
            waiting.result(timeout=30)
    assert spent(path) == 1


def _spend_all(path: Path) -> int:
    taken = 0
    while True:
        try:
            spend(path, 200)
        except BudgetError:
            return taken
        taken += 1


def test_processes_share_it_exactly(path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        assert sum(pool.map(_spend_all, [path] * 4)) == 200
    assert spent(path) == 200


def test_kills_waste_at_most_one_each_and_reuse_none(path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from zkinfer.files.budget import spend\n"
        "while True: spend(Path(sys.argv[1]), 10**6); print('x', end='', flush=True)"
    )
    reported = kills = 0
    for _ in range(4):
        process = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        reported += len(process.stdout.read(1))
        time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        reported += len(process.communicate()[0])
        kills += 1
    assert reported >= kills
    assert reported <= spent(path) <= reported + kills


def test_a_retired_budget_has_nothing_left(path: Path) -> None:
    spend(path, 3)
    with retiring(path, 3):
        assert spent(path) == 1
    with pytest.raises(BudgetError):
        spend(path, 3)


def test_a_budget_whose_retirement_failed_goes_on(path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), retiring(path, 3):
        raise KeyboardInterrupt
    assert spend(path, 3) == 2


def test_nothing_is_spent_while_a_budget_retires(path: Path) -> None:
    """A prover that comes meanwhile waits, and then finds nothing."""
    with ThreadPoolExecutor() as pool:
        with retiring(path, 3):
            waiting = pool.submit(spend, path, 3)
            time.sleep(0.1)
            assert not waiting.done()
            assert spent(path) == 0
        with pytest.raises(BudgetError):
            waiting.result()


def test_a_missing_budget_cannot_be_retired(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="missing"), retiring(tmp_path / "none", 3):
        pass
