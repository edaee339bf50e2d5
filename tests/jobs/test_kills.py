"""Jobs that are killed at random moments. benchmarks/batch_jobs.py does the same a thousand times."""

import multiprocessing
from pathlib import Path

import numpy as np
from support.killed_jobs import PRELOADED, kill_often
from support.recording_keys import SAMPLE, RecordingKeys, begin_or_resume, check_complete, item_reals

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
