"""Jobs whose processes are killed at random moments, and what must be true of the jobs nevertheless."""

import multiprocessing
import random
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from support.recording_keys import RecordingKeys, begin_or_resume, check_complete, check_sample_complete, new_job

from zkinfer.jobs.job import SamplePolicy
from zkinfer.jobs.state import State

PRELOADED = ["support.recording_keys", "zkinfer.jobs.api", "zkinfer.jobs.execution", "zkinfer.timings"]


@dataclass
class Tally:
    """What came of it.

    Attributes:
        kills: processes that were killed while they worked.
        jobs: jobs that they were taken through.
        batches: that had to be proven, of all jobs.
        proofs: begun; those beyond the batches were lost to a kill, at most two each: one being made, one unwritten.
    """

    kills: int = 0
    jobs: int = 0
    batches: int = 0
    proofs: int = 0


def kill_often(
    folder: Path,
    kills: int,
    seed: int,
    *,
    items: int = 900,
    batch_size: int = 3,
    sample: SamplePolicy | None = None,
    seconds: float = 0.2,
) -> Tally:
    """Take jobs from beginning to end, one after another, in processes that are killed (SIGKILL) at random moments.

    Asserts of each job that, whenever it was killed, no batch that was recorded as done was proven again; that at most
    two proofs were wasted for each kill; that the budget was spent once for each proof; and that in the end every item
    is in one proof, with its own output, or, under the policy of a sample, every batch that the challenge picks is.

    Args:
        sample: the policy of the jobs; None proves all batches.
        seconds: the longest time that a process may work before it is killed.
    """
    tally, rng = Tally(), random.Random(seed)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    while tally.kills < kills:
        place = folder / str(tally.jobs)
        place.mkdir()
        keys, _ = new_job(place, items)
        kills_of_this_job, witnessed = 0, []
        while True:
            may_be_killed = tally.kills < kills
            process = context.Process(target=begin_or_resume, args=(place, batch_size, sample))
            process.start()
            if may_be_killed:
                time.sleep(rng.uniform(0.0, seconds))
                process.kill()
            process.join()
            if process.exitcode == 0:
                break
            assert may_be_killed, f"the job failed by itself: exit code {process.exitcode}"
            tally.kills += 1
            kills_of_this_job += 1
            witnessed.append((len(keys.proven), recorded(place / "job")))
        check = check_complete if sample is None else check_sample_complete
        batches = sum(bool(batch.proof) for batch in check(place / "job", items).batches)
        _check(keys, witnessed, kills_of_this_job, batches)
        tally.jobs += 1
        tally.batches += batches
        tally.proofs += len(keys.proven)
    return tally


def recorded(job: Path) -> set[int]:
    """The first items of the batches that are recorded as done."""
    if not (job / "state.sqlite").exists():
        return set()
    with closing(State(job)) as state:
        return {row.first for row in state.rows() if row.status == "done"}


def _check(keys: RecordingKeys, witnessed: list[tuple[int, set[int]]], kills: int, batches: int) -> None:
    proven = keys.proven
    for position, done in witnessed:
        assert not done & set(proven[position:]), "a batch that was recorded as done was proven again"
    assert batches <= len(proven) <= batches + 2 * kills
    spent = keys.budget - keys.proofs_left
    assert len(proven) <= spent <= len(proven) + kills, "a proof without its budget"
