"""Jobs that are killed at random moments. benchmarks/batch_jobs.py does the same a thousand times, also on Ray."""

import multiprocessing
from pathlib import Path

import numpy as np
import pytest
from support.example_programs import mlp
from support.killed_commands import BATCH_SIZE, CONTEXT, ITEMS, check_without_job, kill_commands
from support.killed_jobs import PRELOADED, kill_often
from support.recording_keys import SAMPLE, RecordingKeys, begin_or_resume, check_complete, item_reals

from zkinfer.errors import VerificationError
from zkinfer.jobs import api
from zkinfer.jobs.job import proofs_folder
from zkinfer.native.setup import setup

KILLS = 30


def test_killed_at_any_moment_a_job_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    tally = kill_often(tmp_path, KILLS, seed=7)
    assert tally.kills == KILLS
    assert tally.proofs >= tally.batches


def test_a_sampled_job_is_killed_while_it_executes_and_while_it_proves(tmp_path: Path) -> None:
    tally = kill_often(tmp_path, KILLS, seed=8, items=300, sample=SAMPLE, seconds=0.6)
    assert tally.kills == KILLS
    assert 0 < tally.batches < 100 * tally.jobs
    assert tally.proofs >= tally.batches


def test_commands_are_killed_with_their_workers(tmp_path: Path) -> None:
    """Few kills, for processes take long to start; benchmarks/batch_jobs.py has more, and a Ray cluster."""
    tally = kill_commands(tmp_path, 3, seed=9, executor="processes", seconds=0.5)
    assert (tally.kills, tally.jobs) == (3, 1)


def test_what_the_check_is_for_is_noticed(tmp_path: Path) -> None:
    """A proof that is lost, one that stands for another, and outputs that nothing proves."""
    keys = setup(mlp().program, mlp().weights, folder=tmp_path / "keys", proofs=20)
    np.save(tmp_path / "x.npy", item_reals(ITEMS))
    job = tmp_path / "job"
    api.run(job, keys, tmp_path / "x.npy", batch_size=BATCH_SIZE, context=CONTEXT.encode())
    check_without_job(job, keys.commitment)
    one, another, *_ = sorted(proofs_folder(job).iterdir())
    content, outputs = one.read_bytes(), np.load(job / "outputs.npy")
    one.unlink()
    with pytest.raises(AssertionError):
        check_without_job(job, keys.commitment)
    one.write_bytes(another.read_bytes())
    with pytest.raises(VerificationError):
        check_without_job(job, keys.commitment)
    one.write_bytes(content)
    np.save(job / "outputs.npy", outputs[::-1])
    with pytest.raises(AssertionError):
        check_without_job(job, keys.commitment)


def test_two_jobs_at_once_share_a_budget_to_its_last_proof(tmp_path: Path) -> None:
    keys = RecordingKeys(tmp_path / "keys", proofs=80)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    processes = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "x.npy", item_reals(120))
        (tmp_path / name / "keys").symlink_to(keys.folder)
        processes.append(context.Process(target=begin_or_resume, args=(tmp_path / name, 3, None, 80)))
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    for name in ("one", "two"):
        check_complete(tmp_path / name / "job", 120)
    assert keys.proofs_left == 0
    assert sorted(keys.proven) == sorted(2 * list(range(0, 120, 3)))
