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

from zkinfer.errors import ArtifactError, BudgetError, ResourceError, WrongKeyError
from zkinfer.files.budget import Budget, create, create_empty

OWNER, OTHER = bytes(32), bytes(31) + b"\x01"


def held(path: Path, total: int = 3) -> Budget:
    return Budget(path, OWNER, total)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    create(tmp_path / "budget", OWNER, 3)
    return tmp_path / "budget"


def test_counts_down_and_then_refuses(path: Path) -> None:
    budget = held(path)
    assert [budget.spend() for _ in range(3)] == [0, 1, 2]
    with pytest.raises(BudgetError, match="the 3 proofs"):
        budget.spend()
    assert (budget.spent, budget.left) == (3, 0)


def test_is_for_its_owner_alone(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_missing_file_is_not_an_unspent_budget(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="missing"):
        held(tmp_path / "none")
    budget = held(path)
    path.unlink()
    for action in (budget.spend, lambda: budget.spent):
        with pytest.raises(ArtifactError, match="missing"):
            action()
    assert not path.exists()


def test_making_it_twice_does_not_refill_it(path: Path) -> None:
    held(path).spend()
    with pytest.raises(FileExistsError):
        create(path, OWNER, 3)
    assert held(path).spent == 1


@pytest.mark.parametrize("length", [*range(48), 48, 49, 50, 52])
def test_a_file_that_was_cut_off_or_grew_gives_nothing_back(path: Path, length: int) -> None:
    """Of three openings two were begun; whatever is left of the file, no other number is believed."""
    budget = held(path)
    budget.spend()
    budget.spend()
    assert path.stat().st_size == 51
    os.truncate(path, length)
    for action in (budget.spend, lambda: held(path)):
        with pytest.raises(ArtifactError):
            action()
    assert path.stat().st_size == length


def test_a_file_of_another_form_is_no_budget(path: Path) -> None:
    """One that a later version writes may count otherwise."""
    budget = held(path)
    with path.open("r+b") as file:
        file.write(b"zkbudge2")
    for action in (budget.spend, lambda: held(path)):
        with pytest.raises(ArtifactError, match="not a budget of this version"):
            action()


def test_a_hole_in_the_file_gives_nothing_back(path: Path) -> None:
    budget = held(path)
    budget.spend()
    budget.spend()
    with path.open("r+b") as file:
        file.seek(48)
        file.write(b"\0")
    with pytest.raises(ArtifactError, match="damaged"):
        budget.spend()


@pytest.mark.parametrize("other", [(OTHER, 3), (OWNER, 5), (OWNER, 2)], ids=["owner", "more", "fewer"])
def test_the_budget_of_another_commitment_is_not_taken_for_it(tmp_path: Path, other: tuple[bytes, int]) -> None:
    create(tmp_path / "budget", *other)
    with pytest.raises((WrongKeyError, ArtifactError)):
        held(tmp_path / "budget")


@pytest.mark.parametrize("owner", [OWNER, OTHER], ids=["restored", "renewed"])
def test_nothing_is_spent_from_a_file_that_took_its_place(path: Path, tmp_path: Path, owner: bytes) -> None:
    """Keys that are renewed in place, or restored from a backup, while a service goes on with what it has loaded."""
    service = held(path)
    service.spend()
    path.rename(tmp_path / "old")
    create(path, owner, 3)
    for action in (service.spend, lambda: service.left):
        with pytest.raises(WrongKeyError, match="Load them again"):
            action()
    assert Budget(path, owner, 3).spent == 0
    assert held(tmp_path / "old").spent == 1


def test_nothing_is_spent_from_the_same_file_with_another_content(path: Path, tmp_path: Path) -> None:
    """As `cp` overwrites it: the file is the same one, and says whose it is."""
    service = held(path)
    service.spend()
    create(tmp_path / "other", OTHER, 3)
    path.write_bytes((tmp_path / "other").read_bytes())
    with pytest.raises(WrongKeyError, match="belongs to other keys"):
        service.spend()
    assert Budget(path, OTHER, 3).spent == 0


def test_a_file_is_not_mistaken_for_the_one_that_it_replaced_on_disk(path: Path) -> None:
    """File systems give the number of a removed file to the next one, unless somebody holds it."""
    service, number = held(path), path.stat().st_ino
    path.unlink()
    create(path, OWNER, 3)
    assert path.stat().st_ino != number
    with pytest.raises(WrongKeyError):
        service.spend()


@pytest.mark.parametrize("call", ["open", "pwrite", "fsync"])
def test_what_cannot_be_accounted_for_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    budget = held(path)
    monkeypatch.setattr(os, call, full)
    with pytest.raises(ResourceError, match="No space left"):
        budget.spend()


def test_where_no_lock_is_granted_nothing_is_spent(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by a server of a network file system that keeps none."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    budget = held(path)
    left = budget.left
    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", refuse)
        with pytest.raises(ResourceError, match="No locks available"):
            budget.spend()
    assert budget.left == left


def test_a_write_that_did_nothing_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "pwrite", lambda *_: 0)
    with pytest.raises(ResourceError, match="not all was written"):
        held(path).spend()


def test_is_on_disk_before_the_call_returns(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def recorded(name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def call(*arguments: Any) -> Any:
            calls.append(name)
            return real(*arguments)

        return call

    for name in ("pwrite", "fsync"):
        monkeypatch.setattr(os, name, recorded(name))
    held(path).spend()
    assert calls == ["pwrite", "fsync"]


def test_waits_for_who_else_is_spending(path: Path) -> None:
    """Counting and marking are one step: nobody counts while another has counted and not yet marked."""
    with path.open("r+b") as other, ThreadPoolExecutor(1) as pool:
        fcntl.flock(other, fcntl.LOCK_EX)
        waiting = pool.submit(held(path).spend)
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.3)
        other.seek(48)
        other.write(b"\x01" * 3)
        other.flush()
        fcntl.flock(other, fcntl.LOCK_UN)
        with pytest.raises(BudgetError):
            waiting.result(timeout=30)
    assert held(path).spent == 3


def _spend_all(budget: Budget) -> int:
    taken = 0
    while True:
        try:
            budget.spend()
        except BudgetError:
            return taken
        taken += 1


def _spend_all_of(path: Path) -> int:
    return _spend_all(held(path, 200))


def test_processes_share_it_exactly(tmp_path: Path) -> None:
    path = tmp_path / "budget"
    create(path, OWNER, 200)
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        assert sum(pool.map(_spend_all_of, [path] * 4)) == 200
    assert held(path, 200).spent == 200


def test_threads_and_forks_share_one_object_exactly(tmp_path: Path) -> None:
    """A lock belongs to an open file, which forks share: each spending has to open its own."""
    create(tmp_path / "budget", OWNER, 600)
    budget = held(tmp_path / "budget", 600)
    ours, theirs = multiprocessing.Pipe()
    child = os.fork()
    if not child:
        theirs.send(_spend_all(budget))
        os._exit(0)
    with ThreadPoolExecutor(3) as pool:
        taken = sum(pool.map(_spend_all, [budget] * 3))
    assert taken + ours.recv() == 600
    assert os.waitpid(child, 0)[1] == 0


def test_kills_waste_at_most_one_each_and_reuse_none(tmp_path: Path) -> None:
    path, total = tmp_path / "budget", 10**5
    create(path, OWNER, total)
    script = (
        "import sys; from pathlib import Path; from zkinfer.files.budget import Budget\n"
        f"budget = Budget(Path(sys.argv[1]), bytes(32), {total})\n"
        "while True: budget.spend(); print('x', end='', flush=True)"
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
    assert reported <= held(path, total).spent <= reported + kills


def test_a_retired_budget_has_nothing_left(path: Path) -> None:
    budget = held(path)
    budget.spend()
    with budget.retiring():
        assert budget.spent == 1
    with pytest.raises(BudgetError):
        budget.spend()


def test_a_budget_whose_retirement_failed_goes_on(path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), held(path).retiring():
        raise KeyboardInterrupt
    assert held(path).spend() == 0


def test_nothing_is_spent_while_a_budget_retires(path: Path) -> None:
    """A prover that comes meanwhile waits, and then finds nothing."""
    budget = held(path)
    with ThreadPoolExecutor() as pool:
        with budget.retiring():
            waiting = pool.submit(budget.spend)
            time.sleep(0.1)
            assert not waiting.done()
            assert budget.spent == 0
        with pytest.raises(BudgetError):
            waiting.result()


def test_an_empty_budget_gives_out_the_very_numbers_that_it_was_granted(tmp_path: Path) -> None:
    create_empty(tmp_path / "budget", OWNER, 9)
    budget = held(tmp_path / "budget", 9)
    for granted in ([3, 7], [1], [8]):
        with pytest.raises(BudgetError):
            budget.spend()
        budget.grant(granted)
        assert budget.left == held(tmp_path / "budget", 9).left == len(granted)
        assert [budget.spend() for _ in granted] == granted
