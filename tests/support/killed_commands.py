"""Whole jobs from the command line, of whose processes any may be killed, and a check that knows nothing of jobs.

Proofs are real ones, made in other processes or on a Ray cluster. `killed_jobs` has the jobs of one process, of which
many more can be killed in the same time.
"""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
from blake3 import blake3
from support.example_programs import mlp
from support.killed_jobs import Tally, recorded
from support.recording_keys import item_reals

from zkinfer.circuit.evaluate import evaluate
from zkinfer.circuit.qformat import dequantize, quantize
from zkinfer.files.commitment import Commitment
from zkinfer.jobs.cluster import LARGEST_BLOCK
from zkinfer.jobs.job import proof_name
from zkinfer.native.setup import setup
from zkinfer.verifier import verify

ITEMS, BATCH_SIZE, WORKERS = 40, 5, 2
KILLS_OF_A_JOB = 8
LOST = {"processes": 2 * WORKERS, "ray": (1 + LARGEST_BLOCK) * WORKERS}
"""Proofs that one kill may cost at most: of each worker the one that it makes, and what of it was not used yet."""

WHILE_PROVING = 0.8
"""Of the kills; the others may also come while processes start."""

CONTEXT = "a bad night"
WORKER_NAMES = ("zkinfer.jobs.worker", "ray::ProvingActor")


def kill_commands(folder: Path, kills: int, seed: int, *, executor: str, seconds: float) -> Tally:
    """Take jobs from beginning to end with `zkinfer batch run --resume`, whose processes are killed at random moments.

    Hit are the process that leads the job, a worker, or, with SIGTERM, the whole session. A job whose workers are
    killed too often may give up, saying so, and goes on when it is resumed. Asserts of each job that no proof that was
    recorded is made again, that the budget covers every proof and no more is lost than a kill may cost, and what
    `check_without_job` asserts.

    Args:
        executor: "processes" or "ray".
        seconds: the longest time from a proof, or from the last kill, to the next kill.
    """
    tally, rng = Tally(), random.Random(seed)
    while tally.kills < kills:
        place = folder / str(tally.jobs)
        (place / "tmp").mkdir(parents=True)
        here = min(KILLS_OF_A_JOB, kills - tally.kills)
        batches = ITEMS // BATCH_SIZE
        keys = setup(mlp().program, mlp().weights, folder=place / "keys", proofs=batches + here * LOST[executor])
        np.save(place / "x.npy", item_reals(ITEMS))
        _take_through(place, here, rng, executor, seconds)
        check_without_job(place / "job", keys.commitment)
        spent = keys.counter.spent
        assert batches <= spent <= batches + here * LOST[executor], "a proof without its budget, or too many lost"
        tally.kills, tally.jobs = tally.kills + here, tally.jobs + 1
        tally.batches, tally.proofs = tally.batches + batches, tally.proofs + spent
    return tally


def _take_through(place: Path, kills: int, rng: random.Random, executor: str, seconds: float) -> None:
    kept: dict[str, bytes] = {}
    while True:
        leader = _start(place, executor)
        hit = "nobody"
        while kills and leader.poll() is None:
            if rng.random() < WHILE_PROVING:
                _wait_for_a_proof(leader, place / "job")
            with suppress(subprocess.TimeoutExpired):
                leader.wait(rng.uniform(0.0, seconds))
            hit = _hit(leader, rng)
            kills -= hit != "nobody"
            if hit == "leader":
                break
        leader.wait()
        _end_session(leader.pid)
        kept |= _kept(place / "job", kept)
        if leader.returncode == 0:
            return
        expected = {"leader": (-signal.SIGKILL,), "all": (6, -signal.SIGTERM), "worker": (4, 5)}.get(hit, ())
        log = (place / "log").read_text()
        assert leader.returncode in expected, f"code {leader.returncode} after {hit} was hit: {log}"


def _start(place: Path, executor: str) -> "subprocess.Popen[bytes]":
    options = ("--executor", executor, "--workers", str(WORKERS), "--batch-size", str(BATCH_SIZE), "--no-report")
    files = ("--resume", "--keys", place / "keys", "--inputs", place / "x.npy", "--context", CONTEXT)
    command = [sys.executable, "-m", "zkinfer", "batch", "run", place / "job", *files, *options]
    with (place / "log").open("ab") as log:
        return subprocess.Popen(
            [*map(str, command)],
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "TMPDIR": str(place / "tmp")},
        )


def _wait_for_a_proof(leader: "subprocess.Popen[bytes]", job: Path) -> None:
    """Return once one more batch is recorded, or the leader has ended."""
    before = recorded(job)
    while leader.poll() is None and recorded(job) == before:
        time.sleep(0.02)


def _hit(leader: "subprocess.Popen[bytes]", rng: random.Random) -> str:
    """Kill the leader, one of its workers, or ask all of its session to end; says whom, or "nobody"."""
    if leader.poll() is not None:
        return "nobody"
    victim = rng.choice(("leader", "worker", "all"))
    if victim == "leader":
        leader.kill()
        return victim
    if victim == "all":
        for process in _session(leader.pid):
            with suppress(psutil.NoSuchProcess):
                process.terminate()
        leader.wait()
        return victim
    workers = [process for process in _session(leader.pid) if _is_worker(process)]
    if not workers:
        return "nobody"
    with suppress(psutil.NoSuchProcess):
        rng.choice(workers).kill()
    return victim


def _session(leader: int) -> list[psutil.Process]:
    """All processes of a session; of Ray's some have groups of their own."""
    found = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, PermissionError):
            if os.getsid(process.pid) == leader:
                found.append(process)
    return found


def _end_session(leader: int) -> None:
    """End what the leader left of a cluster; other workers end by themselves, once they have proven their batch."""
    end = time.monotonic() + 60
    while (left := _session(leader)) and time.monotonic() < end:
        if not all(_is_worker(process) for process in left) or time.monotonic() > end - 30:
            for process in left:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        time.sleep(0.1)


def _is_worker(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        return any(name in " ".join(process.cmdline()) for name in WORKER_NAMES)
    return False


def _kept(job: Path, before: dict[str, bytes]) -> dict[str, bytes]:
    """Digests of the proofs that are recorded as done, which have to be those that they were."""
    names = [proof_name(first) for first in recorded(job)]
    found = {name: blake3((job / "proofs" / name).read_bytes()).digest() for name in names}
    assert before.items() <= found.items(), "a proof that was recorded was made again"
    return found


def check_without_job(job: Path, commitment: Commitment) -> None:
    """Assert what a job is for, by its inputs, the names of its proofs and the verifier, which trusts nothing of it.

    Every item is in exactly one proof, each proof holds, and the file of outputs has what the program gives.
    """
    x = item_reals(ITEMS)
    proofs = sorted((job / "proofs").iterdir())
    firsts = [int(path.stem) for path in proofs]
    assert firsts == list(range(0, ITEMS, BATCH_SIZE))
    outputs = np.load(job / "outputs.npy")
    program = commitment.program
    integers = quantize(x, program.inputs[0]).reshape(ITEMS, *program.inputs[0].shape)
    values = evaluate(program, mlp().weights, [integers])[program.outputs[0]]
    assert np.array_equal(outputs, dequantize(values, program.output_tensors[0]).reshape(outputs.shape))
    for first, path in zip(firsts, proofs, strict=True):
        span = slice(first, first + BATCH_SIZE)
        found = verify(path, commitment, inputs=x[span], context=CONTEXT.encode(), engine="reference")
        assert np.array_equal(np.asarray(found.outputs), outputs[span])
