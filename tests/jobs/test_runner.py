"""Jobs from beginning to end: what is proven, retried, put aside, stopped and resumed."""

import errno
import json
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.example_programs import mlp
from support.recording_keys import RecordingKeys, check_complete, item_reals, new_job

from zkinfer.backend import Keys
from zkinfer.errors import (
    ArtifactError,
    BudgetError,
    InvalidInputError,
    ProvingError,
    ResourceError,
    WrongKeyError,
)
from zkinfer.files.artifact import ReservedFile
from zkinfer.files.proof import Proof
from zkinfer.jobs import api
from zkinfer.jobs import state as state_module
from zkinfer.jobs.executors import ProcessExecutor
from zkinfer.jobs.inputs import Inputs
from zkinfer.jobs.job import proof_name, proofs_folder
from zkinfer.jobs.manifest import MANIFEST_FILE
from zkinfer.jobs.runner import ROOM_FOR_RECORDS, Progress, Runner
from zkinfer.jobs.state import State
from zkinfer.jobs.verification import verify_job
from zkinfer.jobs.work import Work
from zkinfer.native.setup import setup
from zkinfer.typing import IntArray


def test_a_job_proves_every_item_once(tmp_path: Path) -> None:
    keys, x = new_job(tmp_path, 100)
    outcome = api.run(tmp_path / "job", keys, x, batch_size=7, context=b"night")
    assert outcome.complete
    assert keys.proven == list(range(0, 100, 7))
    manifest = check_complete(tmp_path / "job", 100)
    assert manifest.context == b"night"
    assert manifest.batch_size == 7
    assert outcome.progress.counts.done == outcome.progress.items == 100


def test_the_size_of_batches_is_chosen_where_none_is_given(tmp_path: Path) -> None:
    keys, x = new_job(tmp_path, 3000)
    keys.seconds = 0.02
    assert api.run(tmp_path / "job", keys, x).complete
    sizes = [batch.stop - batch.first for batch in check_complete(tmp_path / "job", 3000).batches]
    assert sizes[:3] == [16, 32, 64]
    assert sizes == sorted(sizes[:-1]) + sizes[-1:]


def test_poisoned_items_take_nothing_down(tmp_path: Path) -> None:
    keys, _ = new_job(tmp_path, 1)
    lines = [json.dumps(row) for row in item_reals(40).tolist()]
    poisoned = {3: "[1, 2]", 9: "nothing", 20: "[1e99, 0, 0]", 21: '"x"', 22: "", 23: "[null, 0, 0]"}
    for item, line in poisoned.items():
        lines[item] = line
    (tmp_path / "x.jsonl").write_text("\n".join(lines) + "\n")
    job = tmp_path / "job"
    assert api.run(job, keys, tmp_path / "x.jsonl", batch_size=4).complete
    check_complete(job, 40, dead=sorted(poisoned))
    letters = [json.loads(line) for line in (job / "dead-letters.jsonl").read_text().splitlines()]
    assert [letter["item"] for letter in letters] == sorted(poisoned)
    assert "shape (3,), got (2,)" in letters[0]["reason"]
    assert "not JSON" in letters[1]["reason"]


def test_a_batch_of_dead_letters_alone_takes_no_proof(tmp_path: Path) -> None:
    keys, _ = new_job(tmp_path, 1)
    x = item_reals(12)
    x[4:8] = np.nan
    np.save(tmp_path / "x.npy", x)
    outcome = api.run(tmp_path / "job", keys, tmp_path / "x.npy", batch_size=4)
    assert outcome.complete
    assert keys.proven == [0, 8]
    manifest = check_complete(tmp_path / "job", 12, dead=range(4, 8))
    assert manifest.unproven == ()
    assert outcome.progress.counts.dead == 4


class FailingKeys(RecordingKeys):
    """Keys that fail as often as they should: for each batch, by its first item, errors before it succeeds."""

    failures: dict[int, list[Exception]]

    def prove(self, inputs: Sequence[Any], context: bytes, **options: bool) -> Proof:
        from support.recording_keys import item_numbers

        left = self.failures.get(int(item_numbers(inputs[0])[0]), [])
        if left:
            raise left.pop(0)
        return super().prove(inputs, context, **options)


def failing(folder: Path, failures: dict[int, list[Exception]]) -> FailingKeys:
    keys = FailingKeys(folder / "keys")
    keys.failures = failures
    return keys


def test_what_may_pass_is_tried_again(tmp_path: Path) -> None:
    _, x = new_job(tmp_path, 10)
    keys = failing(tmp_path, {2: [ResourceError("memory"), MemoryError(), OSError("network")]})
    events: list[Progress] = []
    outcome = api.run(tmp_path / "job", keys, x, batch_size=2, retries=3, backoff=0.0, observer=events.append)
    assert outcome.complete
    assert outcome.progress.counts.retries == 3
    assert sum("memory; again in" in event.event for event in events) == 1
    check_complete(tmp_path / "job", 10)


def test_attempts_come_later_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, x = new_job(tmp_path, 4)
    keys = failing(tmp_path, {0: [ResourceError("memory")] * 4})
    now = [0.0]
    monkeypatch.setattr("zkinfer.jobs.runner.time.monotonic", lambda: now[0])
    monkeypatch.setattr("zkinfer.jobs.runner.time.sleep", lambda s: now.__setitem__(0, now[0] + s))
    pauses: list[str] = []

    def observe(progress: Progress) -> None:
        if "again in" in progress.event:
            pauses.append(progress.event.partition("again in ")[2])

    assert api.run(tmp_path / "job", keys, x, batch_size=2, retries=4, backoff=2.0, observer=observe).complete
    assert pauses == ["2 s (1 of 4)", "4 s (2 of 4)", "8 s (3 of 4)", "16 s (4 of 4)"]
    assert now[0] >= 30


def test_a_batch_that_fails_for_good_leaves_the_others_alone_and_is_tried_by_the_next_run(tmp_path: Path) -> None:
    _, x = new_job(tmp_path, 10)
    keys = failing(tmp_path, {4: [ProvingError("a defect"), RuntimeError("another")], 8: [ResourceError("full")] * 2})
    job = tmp_path / "job"
    outcome = api.run(job, keys, x, batch_size=2, retries=1, backoff=0.0)
    assert not outcome.complete
    assert not outcome.stopped
    assert (outcome.progress.counts.done, outcome.progress.counts.failed) == (6, 4)
    assert not (job / MANIFEST_FILE).exists()
    assert not api.resume(job, keys).complete
    assert api.resume(job, keys).complete
    check_complete(job, 10)
    assert sorted(keys.proven) == [0, 2, 4, 6, 8]


def test_a_job_that_the_budget_does_not_allow_is_refused_before_it_spends_any(tmp_path: Path) -> None:
    keys, x = new_job(tmp_path, 10, proofs=4)
    with pytest.raises(BudgetError, match="take 5 proofs, and these keys can make 4"):
        api.run(tmp_path / "job", keys, x, batch_size=2)
    assert keys.proven == []


def test_a_budget_that_someone_else_spends_stops_the_job(tmp_path: Path) -> None:
    keys, x = new_job(tmp_path, 10, proofs=5)

    def steal(progress: Progress) -> None:
        if keys.proofs_left and not progress.event:
            keys.counter.spend()

    job = tmp_path / "job"
    with pytest.raises(BudgetError, match="has served the 5 proofs"):
        api.run(job, keys, x, batch_size=2, observer=steal)
    before = keys.proven
    keys.counter.grant(range(5))
    assert api.resume(job, keys).complete
    check_complete(job, 10)
    assert sorted(before + keys.proven[len(before) :]) == [0, 2, 4, 6, 8]


def test_keys_that_are_renewed_while_a_job_works_stop_it(tmp_path: Path) -> None:
    """Workers load keys by themselves, and may find others. Nothing is proven with these, and none of their budget."""
    keys = setup(mlp().program, mlp().weights, folder=tmp_path / "keys", proofs=50)
    np.save(tmp_path / "x.npy", item_reals(10))
    job, own = tmp_path / "job", tmp_path / "own"
    api.run(job, keys, tmp_path / "x.npy", batch_size=2, stopping=lambda: True)

    class Renewed(ProcessExecutor):
        """Its only worker starts when the keys were renewed."""

        def submit(self, work: Work) -> None:
            if not own.exists():
                keys.folder.rename(own)
                setup(mlp().program, mlp().weights, folder=keys.folder, proofs=50)
                self._workers = [self._start()]
            super().submit(work)

    with closing(State(job)) as state, closing(Renewed(keys.folder, 0, tmp_path / "log")) as executor:
        executor.workers = executor.places = 1
        runner = Runner(job, state, keys, executor, lambda _: None, lambda: False)
        with pytest.raises(WrongKeyError, match=f"the job to {keys.commitment.digest.hex()[:16]}"):
            runner.run()
        assert state.counts().batches_done == 0
    assert Keys.load(keys.folder).proofs_left == 50
    with pytest.raises(WrongKeyError, match="begun with other keys"):
        api.resume(job)
    assert api.resume(job, own).complete
    assert verify_job(job, keys.commitment, tmp_path / "x.npy").proofs == 5


def test_a_proof_of_other_keys_is_none_of_the_job(tmp_path: Path) -> None:
    """Whatever the keys say of themselves: each proof names its commitment."""

    class Mixed(RecordingKeys):
        def prove(self, inputs: Sequence[IntArray], context: bytes, **options: bool) -> Proof:
            proof = super().prove(inputs, context, **options)
            return Proof(proof.backend, bytes(32), proof.output_tensors, proof.data)

    new_job(tmp_path, 4)
    with pytest.raises(WrongKeyError, match="belong to commitment 0000000000000000"):
        api.run(tmp_path / "job", Mixed(tmp_path / "keys"), tmp_path / "x.npy", batch_size=2)
    assert list(proofs_folder(tmp_path / "job").iterdir()) == []


def test_two_jobs_share_a_budget(tmp_path: Path) -> None:
    keys, x = new_job(tmp_path, 10)
    for name in ("one", "two"):
        assert api.run(tmp_path / name, keys, x, batch_size=5).complete
        check_complete(tmp_path / name, 10)
    assert keys.budget - keys.proofs_left == 4


class WatchfulKeys(RecordingKeys):
    """Keys that look about while they prove: a function for each batch, by its first item."""

    looks: dict[int, Callable[[], bool]]

    def prove(self, inputs: Sequence[Any], context: bytes, **options: bool) -> Proof:
        from support.recording_keys import item_numbers

        look, end = self.looks.get(int(item_numbers(inputs[0])[0]), lambda: True), time.monotonic() + 30
        while not look():
            assert time.monotonic() < end
            time.sleep(0.005)
        return super().prove(inputs, context, **options)


def test_asked_to_stop_it_finishes_the_batch_and_can_be_resumed(tmp_path: Path) -> None:
    """While the second batch is being proven, the third waits and is taken back."""
    _, x = new_job(tmp_path, 10)
    job, keys, asked = tmp_path / "job", WatchfulKeys(tmp_path / "keys"), []

    def withdrawn() -> bool:
        with closing(State(job)) as state:
            found = [row.status for row in state.rows()]
        if found == ["done", "leased", "leased"]:
            asked.append("to stop")
        return found == ["done", "leased", "waiting"]

    keys.looks = {2: withdrawn}
    outcome = api.run(job, keys, x, batch_size=2, stopping=lambda: bool(asked))
    assert outcome.stopped
    assert not outcome.complete
    assert outcome.progress.counts.done == 4
    assert api.resume(job, keys).complete
    assert keys.proven == [0, 2, 4, 6, 8]
    assert api.status(job).counts.retries == 0
    check_complete(job, 10)


def test_a_proof_is_recorded_and_the_next_batch_read_while_another_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, x = new_job(tmp_path, 8)
    job, read, seen = tmp_path / "job", Inputs.read, []
    keys = WatchfulKeys(tmp_path / "keys")

    def recorded() -> bool:
        with closing(State(job)) as state:
            return [row.first for row in state.rows() if row.status == "done"] == [0]

    def observed(self: Any, first: int, stop: int) -> Any:
        seen.append(first)
        return read(self, first, stop)

    monkeypatch.setattr(Inputs, "read", observed)
    keys.looks = {2: lambda: recorded() and seen == [0, 2, 4, 6]}
    assert api.run(job, keys, x, batch_size=2).complete
    assert seen == [0, 2, 4, 6]
    check_complete(job, 8)


def test_where_inputs_cannot_be_read_on_what_is_being_proven_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys, x = new_job(tmp_path, 10)
    job, read = tmp_path / "job", Inputs.read

    def damaged(self: Any, first: int, stop: int) -> Any:
        if first == 6:
            raise InvalidInputError("it became shorter")
        return read(self, first, stop)

    with monkeypatch.context() as patch:
        patch.setattr(Inputs, "read", damaged)
        with pytest.raises(InvalidInputError, match="it became shorter"):
            api.run(job, keys, x, batch_size=2)
    assert api.status(job).counts.done == 6
    assert api.resume(job, keys).complete
    assert keys.proven == [0, 2, 4, 6, 8]
    check_complete(job, 10)


def test_a_complete_job_is_resumed_without_a_proof(tmp_path: Path) -> None:
    keys, x = new_job(tmp_path, 10)
    api.run(tmp_path / "job", keys, x, batch_size=5)
    x.unlink()
    before = (tmp_path / "job" / MANIFEST_FILE).read_bytes()
    assert api.resume(tmp_path / "job", keys).complete
    assert (tmp_path / "job" / MANIFEST_FILE).read_bytes() == before
    assert keys.proven == [0, 5]


def test_lost_and_damaged_proofs_are_made_again(tmp_path: Path) -> None:
    keys, x = new_job(tmp_path, 10)
    job = tmp_path / "job"
    api.run(job, keys, x, batch_size=2)
    lost, shortened, damaged, kept, _ = sorted(proofs_folder(job).iterdir())
    lost.unlink()
    shortened.write_bytes(shortened.read_bytes()[:-1])
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"!")
    (proofs_folder(job) / "000000000099.proof").write_bytes(kept.read_bytes())
    assert api.resume(job, keys).complete
    assert sorted(keys.proven[5:]) == [0, 2, 4]
    check_complete(job, 10)


def test_proofs_that_changed_places_are_made_again(tmp_path: Path) -> None:
    """Each is whole, and as long as the other: only its digest tells that it is of other items."""
    keys, x = new_job(tmp_path, 8)
    job = tmp_path / "job"
    api.run(job, keys, x, batch_size=2)
    *_, first, second = sorted(proofs_folder(job).iterdir())
    assert first.stat().st_size == second.stat().st_size
    contents = first.read_bytes(), second.read_bytes()
    second.write_bytes(contents[0])
    first.write_bytes(contents[1])
    (job / MANIFEST_FILE).unlink()
    assert api.resume(job, keys).complete
    assert sorted(keys.proven[4:]) == [4, 6]
    check_complete(job, 8)


def test_only_one_process_works_on_a_job(tmp_path: Path) -> None:
    keys, x = new_job(tmp_path, 4)
    seen: list[bool] = []

    def observe(progress: Progress) -> None:
        seen.append(api.status(tmp_path / "job").running)
        with pytest.raises(ResourceError, match="another process works on the job"):
            api.resume(tmp_path / "job", keys)

    api.run(tmp_path / "job", keys, x, batch_size=2, observer=observe)
    assert seen
    assert all(seen)
    status = api.status(tmp_path / "job")
    assert not status.running
    assert status.complete
    assert status.counts.batches_done == 2


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"batch_size": 0}, "from 1 to"),
        ({"batch_size": 1 << 30}, "from 1 to"),
        ({"workers": 0}, "0 workers"),
        ({"workers": 2, "executor": "inline"}, "2 workers"),
        ({"retries": -1}, "retries"),
        ({"backoff": -1.0}, "retries"),
        ({"context": bytes(1 << 17)}, "context"),
    ],
)
def test_options_that_make_no_sense_are_refused(tmp_path: Path, change: dict[str, Any], complaint: str) -> None:
    keys, x = new_job(tmp_path, 4)
    with pytest.raises(InvalidInputError, match=complaint):
        api.run(tmp_path / "job", keys, x, **change)
    assert not (tmp_path / "job" / "state.sqlite").exists()


def test_a_folder_holds_one_job(tmp_path: Path) -> None:
    keys, x = new_job(tmp_path, 4)
    api.run(tmp_path / "job", keys, x)
    with pytest.raises(InvalidInputError, match="holds a job already"):
        api.run(tmp_path / "job", keys, x)
    with pytest.raises(InvalidInputError, match="holds no batch job"):
        api.resume(tmp_path, keys)
    with pytest.raises(InvalidInputError, match="holds no batch job"):
        api.status(tmp_path / "nowhere")


def stopped_job(folder: Path) -> tuple[RecordingKeys, Path]:
    keys, x = new_job(folder, 10)
    api.run(folder / "job", keys, x, batch_size=2, stopping=lambda: len(keys.proven) >= 2)
    return keys, x


def test_other_inputs_than_those_it_began_with_are_refused(tmp_path: Path) -> None:
    keys, x = stopped_job(tmp_path)
    np.save(x, item_reals(10)[::-1])
    with pytest.raises(InvalidInputError, match="changed since the job began"):
        api.resume(tmp_path / "job", keys)
    x.unlink()
    with pytest.raises(InvalidInputError, match="no file"):
        api.resume(tmp_path / "job", keys)


def test_other_keys_than_those_it_began_with_are_refused(tmp_path: Path) -> None:
    from support.example_programs import mlp

    from zkinfer.native.setup import setup

    stopped_job(tmp_path)
    with pytest.raises(WrongKeyError, match="begun with other keys"):
        api.resume(tmp_path / "job", setup(mlp(1).program, mlp(1).weights, proofs=1))


def test_a_damaged_state_is_said_to_be_damaged(tmp_path: Path) -> None:
    keys, _ = stopped_job(tmp_path)
    (tmp_path / "job" / "state.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(ArtifactError, match="damaged"):
        api.resume(tmp_path / "job", keys)


def full_disk(monkeypatch: pytest.MonkeyPatch, *, fails: Callable[[int], bool]) -> list[int]:
    """Let the nth synchronization of any file fail for want of space, where `fails(n)`; counts them."""
    calls, real = [0], os.fsync

    def fsync(descriptor: int) -> None:
        calls[0] += 1
        if fails(calls[0]):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return calls


def test_a_disk_that_is_full_for_a_moment_costs_nothing_but_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys, x = new_job(tmp_path, 6)
    calls = full_disk(monkeypatch, fails=lambda n: n in {3, 6, 7})
    assert api.run(tmp_path / "job", keys, x, batch_size=2, backoff=0.0).complete
    assert calls[0] > 7
    check_complete(tmp_path / "job", 6)


def test_whichever_write_fails_the_job_can_be_resumed(tmp_path: Path) -> None:
    """The nth write to a file fails, and all after it, for every n until there is no nth."""
    first = 1
    while True:
        folder = tmp_path / str(first)
        folder.mkdir()
        keys, x = new_job(folder, 6)
        job = folder / "job"
        with pytest.MonkeyPatch.context() as patch:
            calls = full_disk(patch, fails=lambda n, first=first: n >= first)  # type: ignore[misc]
            try:
                outcome = api.run(job, keys, x, batch_size=2, retries=1, backoff=0.0)
            except ResourceError as error:
                outcome = None
                assert "No space left" in str(error)  # noqa: PT017
        if not (job / "state.sqlite").exists():
            api.run(job, keys, x, batch_size=2)
        else:
            api.resume(job, keys)
        check_complete(job, 6)
        if calls[0] < first:
            assert outcome is not None
            assert outcome.complete
            assert first > 10
            return
        first += 1


class PowerCutError(BaseException):
    """Nothing of the process runs after it."""


WRITING = ((State, "lease"), (ReservedFile, "fill"), (State, "announce"), (ReservedFile, "publish"), (State, "finish"))
"""What happens to a batch, in order."""


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("owner", "step"), WRITING, ids=[step for _, step in WRITING])
def test_a_proof_that_anybody_may_have_seen_is_never_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: type, step: str, after: bool
) -> None:
    """At whichever step the power goes: a file that has its name by then was announced, so that it is believed."""
    keys, x = new_job(tmp_path, 6)
    job, real, calls = tmp_path / "job", getattr(owner, step), [0]

    def cut(*arguments: Any, **options: Any) -> None:
        calls[0] += 1
        if calls[0] == 2 and not after:
            raise PowerCutError
        real(*arguments, **options)
        if calls[0] == 2:
            raise PowerCutError

    with monkeypatch.context() as patch:
        patch.setattr(owner, step, cut)
        with pytest.raises(PowerCutError):
            api.run(job, keys, x, batch_size=2)
    seen = {path: path.stat().st_ino for path in proofs_folder(job).glob("*.proof")}
    assert api.resume(job, keys).complete
    assert {path: path.stat().st_ino for path in seen} == seen
    check_complete(job, 6)
    assert 3 <= len(keys.proven) <= 5, "one that was being made, and one that nobody has seen"


def no_room(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_on_a_full_disk_no_attempt_spends_a_proof(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As cron repeats it, hour after hour. Once there is room, all is proven."""
    keys, _ = stopped_job(tmp_path)
    proven, left = keys.proven, keys.proofs_left
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", no_room)
        for _ in range(3):
            with pytest.raises(ResourceError, match="No space left"):
                api.resume(tmp_path / "job", keys)
    assert (keys.proven, keys.proofs_left) == (proven, left)
    assert api.resume(tmp_path / "job", keys).complete


def test_a_disk_that_fills_up_meanwhile_costs_no_proof_that_is_being_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has room is finished and kept; nothing else is begun."""
    keys, x = new_job(tmp_path, 40)
    reserved: list[int] = []
    real = os.posix_fallocate

    def filling_up(descriptor: int, offset: int, size: int) -> None:
        reserved.append(size)
        if len(reserved) > 6:  # the first is for the outputs
            no_room()
        real(descriptor, offset, size)

    monkeypatch.setattr(os, "posix_fallocate", filling_up)
    with pytest.raises(ResourceError, match="No space left"):
        api.run(tmp_path / "job", keys, x, batch_size=2, retries=0)
    assert keys.proven in ([0, 2, 4, 6], [0, 2, 4, 6, 8]), "the last one is taken back if it was not begun"
    longest = max(path.stat().st_size for path in proofs_folder(tmp_path / "job").iterdir())
    assert min(reserved[1:]) >= longest + ROOM_FOR_RECORDS >= longest + (1 << 20), "a proof needs records, too"
    assert sorted(path.name for path in proofs_folder(tmp_path / "job").iterdir()) == [
        proof_name(first) for first in keys.proven
    ]
    monkeypatch.undo()
    assert api.resume(tmp_path / "job", keys).complete
    assert sorted(keys.proven) == list(range(0, 40, 2))


def test_a_proof_that_cannot_be_made_fails_its_batch_and_not_the_job(tmp_path: Path) -> None:
    """Also where its size is asked for first."""

    class Unprovable(RecordingKeys):
        def proof_bytes(self, runs: int, **hidden: bool) -> int:
            if runs == 2:
                raise ProvingError("cannot be proven")
            return super().proof_bytes(runs, **hidden)

        def prove(self, inputs: Sequence[IntArray], context: bytes, **options: bool) -> Proof:
            self.proof_bytes(len(inputs[0]))
            return super().prove(inputs, context, **options)

    new_job(tmp_path, 5)
    outcome = api.run(tmp_path / "job", Unprovable(tmp_path / "keys"), tmp_path / "x.npy", batch_size=3)
    assert (outcome.complete, outcome.progress.counts.done, outcome.progress.counts.failed) == (False, 3, 2)


def test_outputs_have_their_space_before_anything_is_proven(tmp_path: Path) -> None:
    keys, x = new_job(tmp_path, 1000)
    found: list[int] = []

    def observe(_: Progress) -> None:
        part = tmp_path / "job" / ".outputs.npy.part"
        found.append(part.stat().st_blocks * 512 if part.exists() else 0)

    api.run(tmp_path / "job", keys, x, batch_size=100, observer=observe)
    assert found[0] >= 1000 * 2 * 8


def test_a_database_that_cannot_grow_stops_the_job_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys, x = new_job(tmp_path, 2000)
    job, connect = tmp_path / "job", state_module._connect
    api.run(job, keys, x, batch_size=50, backoff=0.0, stopping=lambda: len(keys.proven) >= 5)

    def cramped(path: Path) -> sqlite3.Connection:
        connection = connect(path)
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 4}")
        return connection

    with monkeypatch.context() as patch:
        patch.setattr(state_module, "_connect", cramped)
        with pytest.raises(ResourceError, match="cannot keep the job's state"):
            api.resume(job, keys)
    with closing(State(job)) as state:
        done = {row.first for row in state.rows() if row.status == "done"}
    assert 5 < len(done) < 40
    before = len(keys.proven)
    assert api.resume(job, keys).complete
    assert not done & set(keys.proven[before:])
    check_complete(job, 2000)
