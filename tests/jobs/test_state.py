"""The state of a job after a bad night: what was lost is made again, or said, and nothing planted is followed."""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from support.recording_keys import CHALLENGE, SAMPLE, RecordingKeys, check_complete, item_reals, new_job
from support.unprivileged import as_nobody

from zkinfer.errors import ArtifactError, ResourceError
from zkinfer.jobs import api
from zkinfer.jobs.job import STATE_FILE, WORKERS_LOG, proof_name, proofs_folder
from zkinfer.jobs.manifest import MANIFEST_FILE
from zkinfer.jobs.state import Announcement, State

ITEMS = 20


def change(job: Path, statement: str) -> None:
    """What no zkinfer does to a state."""
    with closing(sqlite3.connect(job / STATE_FILE)) as connection, connection:
        connection.execute(statement)


class TestLosses:
    def test_all_proofs_with_their_folder_are_made_again(self, tmp_path: Path) -> None:
        keys, x = new_job(tmp_path, ITEMS)
        api.run(tmp_path / "job", keys, x, batch_size=5)
        shutil.rmtree(proofs_folder(tmp_path / "job"))
        seen: list[bool] = []
        outcome = api.resume(
            tmp_path / "job", keys, observer=lambda _: seen.append((tmp_path / "job" / MANIFEST_FILE).exists())
        )
        assert outcome.complete
        assert seen
        assert not any(seen), "a manifest of proofs that are gone"
        check_complete(tmp_path / "job", ITEMS)
        assert keys.proven == 2 * [0, 5, 10, 15]

    def test_without_its_description_a_job_is_damaged(self, tmp_path: Path) -> None:
        keys, x = new_job(tmp_path, ITEMS)
        api.run(tmp_path / "job", keys, x, batch_size=5)
        change(tmp_path / "job", "DELETE FROM job")
        for action in (api.status, lambda folder: api.resume(folder, keys)):
            with pytest.raises(ArtifactError, match="does not say what the job is"):
                action(tmp_path / "job")

    @pytest.mark.parametrize("file", ["damaged", "missing", "whole"])
    def test_an_announced_proof_is_believed_where_its_file_is_the_announced_one(
        self, tmp_path: Path, file: str
    ) -> None:
        """After a power cut between the announcement and the record that the batch is done."""
        keys, x = new_job(tmp_path, ITEMS)
        job = tmp_path / "job"
        api.run(job, keys, x, batch_size=5)
        change(job, "UPDATE batches SET status = 'leased' WHERE first = 10")
        proof = proofs_folder(job) / proof_name(10)
        if file == "damaged":
            proof.write_bytes(bytes(proof.stat().st_size))
        elif file == "missing":
            proof.unlink()
        with closing(State(job)) as state:
            state.recover()
            assert [row.status for row in state.rows() if row.first == 10] == ["done" if file == "whole" else "waiting"]
        assert proof.exists() == (file == "whole")
        assert api.resume(job, keys).complete
        check_complete(job, ITEMS)

    def test_an_announcement_survives_a_power_cut(self, tmp_path: Path) -> None:
        """SQLite has it on the disk before the proof gets its name; all other records may be lost."""
        keys, x = new_job(tmp_path, ITEMS)
        api.run(tmp_path / "job", keys, x, batch_size=5)
        change(tmp_path / "job", "UPDATE batches SET status = 'leased' WHERE first = 10")
        with closing(State(tmp_path / "job")) as state:
            statements: list[str] = []
            state._connection.set_trace_callback(statements.append)
            state.announce(10, (bytes(32), bytes(32)), Announcement(bytes(32), 5, 1.0, {}))
            state.finish(10)
        assert [statement for statement in statements if statement.startswith("PRAGMA")] == [
            "PRAGMA synchronous = FULL",
            "PRAGMA synchronous = NORMAL",
        ]

    @pytest.mark.parametrize("lost", ["first = 0", "first IN (5, 10)", "first = 15", "first >= 0"])
    def test_items_of_rows_that_are_gone_are_proven_again(self, tmp_path: Path, lost: str) -> None:
        keys, x = new_job(tmp_path, ITEMS)
        api.run(tmp_path / "job", keys, x, batch_size=5)
        change(tmp_path / "job", f"DELETE FROM batches WHERE {lost}")
        assert api.resume(tmp_path / "job", keys).complete
        assert {batch.stop - batch.first for batch in check_complete(tmp_path / "job", ITEMS).batches} == {5}

    def test_a_dead_letter_that_was_forgotten_is_found_again(self, tmp_path: Path) -> None:
        """It must not pass for an item that a proof covers."""
        keys, _ = new_job(tmp_path, 1)
        x = item_reals(ITEMS)
        x[7] = np.nan
        np.save(tmp_path / "x.npy", x)
        job = tmp_path / "job"
        api.run(job, keys, tmp_path / "x.npy", batch_size=5)
        change(job, "DELETE FROM batches WHERE first = 5")
        change(job, "UPDATE dead SET item = 8")
        assert api.resume(job, keys).complete
        check_complete(job, ITEMS, dead=[7])

    def test_an_item_of_two_batches_is_refused(self, tmp_path: Path) -> None:
        keys, x = new_job(tmp_path, ITEMS)
        api.run(tmp_path / "job", keys, x, batch_size=5)
        change(tmp_path / "job", "UPDATE batches SET stop = 7 WHERE first = 0")
        with pytest.raises(ArtifactError, match="item 5 belongs to two batches"):
            api.resume(tmp_path / "job", keys)

    @pytest.mark.parametrize("lost", ["first = 5", "first = 15"])
    def test_what_a_sampled_job_committed_to_cannot_be_made_again(self, tmp_path: Path, lost: str) -> None:
        keys, x = new_job(tmp_path, ITEMS)
        api.run(tmp_path / "job", keys, x, batch_size=5, sample=SAMPLE)
        api.resume(tmp_path / "job", keys, challenge=CHALLENGE)
        change(tmp_path / "job", f"DELETE FROM batches WHERE {lost}")
        with pytest.raises(ArtifactError, match="batches are gone that the job has committed to"):
            api.resume(tmp_path / "job", keys)


@pytest.mark.parametrize("kind", ["link", "pipe", "file"])
@pytest.mark.parametrize("name", [".outputs.npy.part", f".{STATE_FILE}.part"])
def test_what_is_planted_in_the_place_of_a_part_is_not_followed(tmp_path: Path, name: str, kind: str) -> None:
    """A link would be written through, and a pipe would be waited for."""
    keys, x = new_job(tmp_path, ITEMS)
    job, victim = tmp_path / "job", tmp_path / "victim"
    job.mkdir()
    victim.write_text("kept")
    match kind:
        case "link":
            (job / name).symlink_to(victim)
        case "pipe":
            os.mkfifo(job / name)
        case _:
            (job / name).write_text("stale")
    assert api.run(job, keys, x, batch_size=5).complete
    assert victim.read_text() == "kept"
    check_complete(job, ITEMS)


@pytest.mark.parametrize("status", ["done", "leased"])
@pytest.mark.parametrize("kind", ["pipe", "loop", "device"])
def test_what_is_planted_in_the_place_of_a_proof_is_no_proof(tmp_path: Path, kind: str, status: str) -> None:
    """A pipe would be waited for, and links of a circle lead nowhere."""
    keys, x = new_job(tmp_path, ITEMS)
    job = tmp_path / "job"
    api.run(job, keys, x, batch_size=5)
    change(job, f"UPDATE batches SET status = '{status}' WHERE first = 10")
    proof = proofs_folder(job) / proof_name(10)
    proof.unlink()
    match kind:
        case "pipe":
            os.mkfifo(proof)
        case "loop":
            proof.symlink_to(proof.name)
        case _:
            proof.symlink_to("/dev/zero")
    assert api.resume(job, keys).complete
    assert keys.proven == [0, 5, 10, 15, 10]
    check_complete(job, ITEMS)


@pytest.mark.parametrize("name", [".outputs.npy.part", f".{STATE_FILE}.part"])
def test_a_folder_in_the_place_of_a_part_is_said(tmp_path: Path, name: str) -> None:
    keys, x = new_job(tmp_path, ITEMS)
    (tmp_path / "job" / name).mkdir(parents=True)
    with pytest.raises(ResourceError, match="cannot write"):
        api.run(tmp_path / "job", keys, x, batch_size=5)
    assert keys.proven == []


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_what_is_planted_in_the_place_of_the_log_is_refused(tmp_path: Path, kind: str) -> None:
    keys, x = new_job(tmp_path, ITEMS)
    job, victim = tmp_path / "job", tmp_path / "victim"
    job.mkdir()
    victim.write_text("kept")
    if kind == "link":
        (job / WORKERS_LOG).symlink_to(victim)
    else:
        os.mkfifo(job / WORKERS_LOG)
    with pytest.raises(ResourceError, match="cannot start a worker"):
        api.run(job, keys, x, batch_size=5, executor="processes")
    assert victim.read_text() == "kept"


def test_what_lies_among_the_proofs_is_removed_and_folders_are_left_alone(tmp_path: Path) -> None:
    keys, x = new_job(tmp_path, ITEMS)
    job = tmp_path / "job"
    api.run(job, keys, x, batch_size=5)
    (proofs_folder(job) / "stray").touch()
    (proofs_folder(job) / "link").symlink_to(tmp_path)
    (proofs_folder(job) / "folder").mkdir()
    assert api.resume(job, keys).complete
    assert sorted(path.name for path in proofs_folder(job).iterdir() if not path.name.endswith(".proof")) == ["folder"]
    assert x.exists()


class TestReadOnly:
    """As on a mount that cannot be written. What only reads works; what has to write says so."""

    @pytest.fixture
    def place(self) -> Iterator[Path]:
        """A folder that other users can reach."""
        with tempfile.TemporaryDirectory() as name:
            Path(name).chmod(0o755)
            yield Path(name)

    @pytest.fixture
    def job(self, place: Path) -> Path:
        keys, x = new_job(place, ITEMS)
        api.run(place / "job", keys, x, batch_size=5)
        for path in [*place.rglob("*"), place]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        return place / "job"

    def test_a_job_is_read(self, job: Path) -> None:
        def read() -> None:
            with closing(State(job)) as state:
                assert [row.first for row in state.rows()] == [0, 5, 10, 15]
            found = api.status(job)
            assert found.complete
            assert found.counts.done == ITEMS

        as_nobody(read)

    def test_nothing_is_begun(self, job: Path, place: Path) -> None:
        keys = RecordingKeys(place / "keys")

        def work() -> None:
            new = State(job)
            with pytest.raises(ResourceError, match="readonly"):
                new.release(0, "")
            with pytest.raises(ResourceError, match="cannot"):
                api.run(place / "new", keys, place / "x.npy", batch_size=5)

        as_nobody(work)
