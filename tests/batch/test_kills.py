"""Jobs that are killed at random moments. benchmarks/batch_jobs.py does the same a thousand times."""

from pathlib import Path

from support.kills import kill_often

KILLS = 30


def test_killed_at_any_moment_a_job_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    tally = kill_often(tmp_path, KILLS, seed=7)
    assert tally.kills == KILLS
    assert tally.proofs >= tally.batches
