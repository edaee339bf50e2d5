"""The proof budget: spent before a proof exists, shared by processes, never handed out twice."""

import errno
import multiprocessing
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from zkinfer.backends.ezkl import budget
from zkinfer.backends.ezkl.budget import create, spend, spent
from zkinfer.errors import ArtifactError, BudgetError, ResourceError


def test_counts_down_and_then_refuses(tmp_path: Path) -> None:
    create(tmp_path)
    assert [spend(tmp_path, 3) for _ in range(3)] == [2, 1, 0]
    with pytest.raises(BudgetError, match="run setup again"):
        spend(tmp_path, 3)
    assert spent(tmp_path) == 3


def test_a_folder_without_its_file_is_not_an_unspent_budget(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="budget file"):
        spend(tmp_path, 3)


def test_making_it_twice_does_not_refill_it(tmp_path: Path) -> None:
    create(tmp_path)
    with pytest.raises(FileExistsError):
        create(tmp_path)


def test_a_full_disk_spends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create(tmp_path)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(budget.os, "write", full)
    with pytest.raises(ResourceError, match="No space left"):
        spend(tmp_path, 3)
    assert spent(tmp_path) == 0


def _spend_all(folder: Path) -> int:
    taken = 0
    while True:
        try:
            spend(folder, 200)
        except BudgetError:
            return taken
        taken += 1


def test_processes_share_it_exactly(tmp_path: Path) -> None:
    create(tmp_path)
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        assert sum(pool.map(_spend_all, [tmp_path] * 4)) == 200


def test_kills_waste_at_most_one_each_and_reuse_none(tmp_path: Path) -> None:
    create(tmp_path)
    script = (
        "import sys; from pathlib import Path; from zkinfer.backends.ezkl.budget import spend\n"
        "while True: spend(Path(sys.argv[1]), 10**6); print('x', end='', flush=True)"
    )
    reported = kills = 0
    for _ in range(4):
        process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE)
        time.sleep(0.25)
        process.send_signal(signal.SIGKILL)
        reported += len(process.communicate()[0])
        kills += 1
    assert reported > 0
    assert reported <= spent(tmp_path) <= reported + kills
