"""Proving on a local Ray cluster of two workers, of which one is killed in the middle of a job."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
from support.example_programs import mlp
from support.recording_keys import RecordingKeys, item_reals

from zkinfer.errors import MissingDependencyError
from zkinfer.jobs import api
from zkinfer.jobs.cluster import RayExecutor, block_size
from zkinfer.jobs.manifest import MANIFEST_FILE, Manifest
from zkinfer.jobs.runner import Runner
from zkinfer.jobs.state import State
from zkinfer.jobs.verification import verify_job
from zkinfer.jobs.work import Failed, Proven, TensorData, Work
from zkinfer.native.setup import setup

ITEMS = 40


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[None]:
    """Ray on this machine, with two processors."""
    ray = pytest.importorskip("ray", reason="ray is not installed")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100 << 20)
    yield
    ray.shutdown()


@pytest.mark.usefixtures("ray_cluster")
def test_a_worker_that_dies_costs_no_item_and_no_budget_is_used_twice(tmp_path: Path) -> None:
    keys = setup(mlp().program, mlp().weights, folder=tmp_path / "keys", proofs=100)
    np.save(tmp_path / "x.npy", item_reals(ITEMS))
    job = tmp_path / "job"
    api.run(job, keys, tmp_path / "x.npy", batch_size=5, backoff=0.0, stopping=lambda: True)
    killed: list[int] = []
    with closing(State(job)) as state, closing(RayExecutor(keys, 2)) as cluster:
        assert cluster.key_folder.stat().st_mode & 0o077 == 0

        def observe(progress: object) -> None:
            if not killed and state.counts().batches_done >= 2:
                killed.append(cluster.pids()[0])
                os.kill(killed[0], signal.SIGKILL)

        outcome = Runner(job, state, keys, cluster, observe, lambda: False).run()
    assert killed
    assert outcome.complete
    assert Manifest.load(job / MANIFEST_FILE).proven == ITEMS
    assert verify_job(job, keys.commitment, tmp_path / "x.npy").proofs == 8
    assert 8 <= keys.budget - keys.proofs_left <= 8 + 3 * block_size(100, 2)
    assert not cluster.key_folder.exists()


@pytest.mark.usefixtures("ray_cluster")
def test_the_batch_of_a_stopped_worker_is_proven_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zkinfer.jobs.cluster.STOPPED_SECONDS", 0.5)
    keys = setup(mlp().program, mlp().weights, folder=tmp_path / "keys", proofs=10)
    work = Work(keys.commitment.digest, 0, 1, (TensorData.of(mlp().x[None]),), b"", False, False)
    with closing(RayExecutor(keys, 1)) as cluster:
        os.kill(cluster.pids()[0], signal.SIGSTOP)
        found = []
        for _ in range(2):
            cluster.submit(work)
            while not (results := cluster.results(0.2)):
                pass
            found += results
    assert [type(result) for result in found] == [Failed, Proven]


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize("busy", [False, True])
def test_the_end_does_not_wait_for_a_stopped_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, busy: bool
) -> None:
    """And leaves neither it nor its keys behind."""
    monkeypatch.setattr("zkinfer.jobs.cluster.REMOVAL_SECONDS", 0.5)
    keys = setup(mlp().program, mlp().weights, folder=tmp_path / "keys", proofs=10)
    cluster = RayExecutor(keys, 1)
    (worker,) = cluster.pids()
    os.kill(worker, signal.SIGSTOP)
    if busy:
        cluster.submit(Work(keys.commitment.digest, 0, 1, (TensorData.of(mlp().x[None]),), b"", False, False))
    cluster.close()
    assert not cluster.key_folder.exists()
    with suppress(psutil.NoSuchProcess):
        psutil.Process(worker).wait(60)


@pytest.mark.usefixtures("ray_cluster")
def test_workers_stop_where_the_budget_ends(tmp_path: Path) -> None:
    """A copy of the keys brings no proof that was not taken from the true budget."""
    keys = setup(mlp().program, mlp().weights, folder=tmp_path / "keys", proofs=2)
    work = Work(keys.commitment.digest, 0, 1, (TensorData.of(mlp().x[None]),), b"", False, False)
    with closing(RayExecutor(keys, 1)) as cluster:
        results = []
        for _ in range(3):
            cluster.submit(work)
            while not (found := cluster.results(10.0)):
                pass
            results += found
    assert [isinstance(result, Failed) and result.no_budget for result in results] == [False, False, True]
    assert keys.proofs_left == 0


SIGTERM_LATER = """
import os, signal, sys, threading, time
from pathlib import Path
from zkinfer.jobs.job import proofs_folder
job = Path(sys.argv[1])
def stop():
    while not (proofs_folder(job).exists() and any(proofs_folder(job).glob("*.proof"))):
        time.sleep(0.05)
    os.killpg(0, signal.SIGTERM)
threading.Thread(target=stop, daemon=True).start()
sys.argv = ["zkinfer", "batch", "run", *sys.argv[1:]]
from zkinfer.cli import main
main()
"""


def test_sigterm_stops_a_job_on_a_cluster_of_its_own_as_any_other(tmp_path: Path) -> None:
    """Ray exits at SIGTERM by itself. The signal goes to the whole group, in which Ray's own processes are, too."""
    pytest.importorskip("ray", reason="ray is not installed")
    keys = setup(mlp().program, mlp().weights, folder=tmp_path / "keys", proofs=200)
    np.save(tmp_path / "x.npy", item_reals(400))
    job = tmp_path / "job"
    options = ("--keys", keys.folder, "--inputs", tmp_path / "x.npy", "--batch-size", "4", "--no-report")
    command = [sys.executable, "-c", SIGTERM_LATER, job, *options, "--executor", "ray"]
    done = subprocess.run(
        [*map(str, command)], start_new_session=True, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 6, done.stderr
    assert "Stopped: go on with zkinfer batch resume" in done.stdout
    with closing(State(job)) as state:
        counts = state.counts()
    assert 0 < counts.batches_done < 100
    assert counts.batches_leased == 0


@pytest.mark.parametrize(("left", "workers", "size"), [(10_000, 4, 8), (300, 4, 4), (64, 4, 1), (0, 4, 1)])
def test_blocks_are_small_where_the_budget_is(left: int, workers: int, size: int) -> None:
    assert block_size(left, workers) == size


def test_without_ray_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And whatever the environment says, Ray reports nothing of how it is used."""
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    with pytest.raises(MissingDependencyError, match=r"zkinfer\[ray\]"):
        RayExecutor(RecordingKeys(tmp_path / "keys"), 1)
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
