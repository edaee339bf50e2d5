"""The commands about batch jobs, from the shell: real keys, real proofs, exit codes."""

import html
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.commands import as_json
from support.example_programs import mlp
from support.recording_keys import item_reals
from typer.testing import CliRunner

from zkinfer.backend import Keys
from zkinfer.cli import app, results
from zkinfer.cli.batch import Stop, _rows, proven_text
from zkinfer.cli.batch_progress import summary
from zkinfer.errors import ProvingError, ResourceError
from zkinfer.jobs.api import run as run_job
from zkinfer.jobs.executors import ProcessExecutor
from zkinfer.jobs.job import proofs_folder
from zkinfer.jobs.lock import working_on
from zkinfer.jobs.manifest import MANIFEST_FILE, Manifest
from zkinfer.jobs.receipt import receipt_of
from zkinfer.jobs.runner import Progress
from zkinfer.jobs.state import State
from zkinfer.jobs.work import TensorData, Work
from zkinfer.native.keys import NativeKeys
from zkinfer.native.setup import setup
from zkinfer.verifier import verify

ITEMS = 40


def run(*arguments: str | Path) -> tuple[int, str]:
    """Exit code, and what it printed."""
    result = CliRunner().invoke(app, ["batch", *(str(a) for a in arguments)])
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys, a commitment, and items of which one is poisoned."""
    folder = tmp_path_factory.mktemp("shop")
    keys = setup(mlp().program, mlp().weights, folder=folder / "keys", proofs=100)
    keys.commitment.save(folder / "model.zkc")
    x = item_reals(ITEMS)
    x[7] = np.nan
    np.save(folder / "x.npy", x)
    return folder


@pytest.fixture(scope="module")
def job(shop: Path) -> Path:
    """A job that is complete."""
    (shop / "night.toml").write_text(
        'keys = "keys"\ninputs = ["x.npy"]\noutput = "night"\ncontext = "night 1"\n'
        'batch_size = 20\nexecutor = "inline"\n'
    )
    code, text = run("run", shop / "night.toml")
    assert code == 7, text
    assert "Complete: 39 proven, 1 not: 1 dead letter" in text
    assert "40 of 40 done (100.0%), dead letters included" in text
    return shop / "night"


def test_a_job_from_a_file_gives_proofs_that_anyone_can_check(shop: Path, job: Path) -> None:
    manifest = Manifest.load(job / MANIFEST_FILE)
    x = np.load(shop / "x.npy")
    for batch in manifest.batches:
        result = verify(proofs_folder(job) / batch.proof, shop / "model.zkc", inputs=x[batch.items], context=b"night 1")
        assert isinstance(result.outputs, np.ndarray)
        assert np.array_equal(np.load(job / "outputs.npy")[batch.items], result.outputs)
    letters = [json.loads(line) for line in (job / "dead-letters.jsonl").read_text().splitlines()]
    assert [letter["item"] for letter in letters] == [7]


def test_verify_checks_the_whole_job(shop: Path, job: Path) -> None:
    arguments = ("verify", job, shop / "model.zkc", "--inputs", shop / "x.npy")
    code, text = run(*arguments, "--context", "night 1")
    assert code == 0, text
    assert "39 proven, 1 not, in 2 proofs" in text
    assert "within their published bounds" in text
    assert run(*arguments, "--context", "night 1", "--min-bits", "200")[0] == 1
    assert run(*arguments, "--context", "night 2")[0] == 1
    np.save(shop / "other.npy", item_reals(ITEMS))
    assert run("verify", job, shop / "model.zkc", "--inputs", shop / "other.npy", "--context", "night 1")[0] == 1


def test_status_of_a_complete_job(job: Path) -> None:
    code, text = run("status", job)
    assert code == 0
    assert "Job: complete; 39 proven, 1 not: 1 dead letter" in text
    assert "40 of 40 done (100.0%)" in text
    assert receipt_of(Manifest.load(job / MANIFEST_FILE)).hex() in text


def test_a_complete_job_is_resumed_at_no_cost(shop: Path, job: Path) -> None:
    left = Keys.load(shop / "keys").proofs_left
    for command in (("resume", job), ("run", shop / "night.toml", "--resume")):
        code, text = run(*command, "--allow-dead-letters")
        assert code == 0
        assert "no proof" in text
        assert run(*command)[0] == 7
    assert Keys.load(shop / "keys").proofs_left == left


def test_the_report_draws_the_circuit_and_the_parts_of_a_proof(job: Path) -> None:
    page = (job / "report.html").read_text()
    assert page.count("<svg") == 5
    for words in ("Proving time by part", "The proof of items 0 to 19 by part", "opening of the weights", "4 lookups"):
        assert words in page


def test_the_command_in_the_report_checks_the_job(shop: Path, job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (job / "report.html").read_text()
    (line,) = re.findall(r"<code>(.*?)</code>", page)
    words = shlex.split(html.unescape(re.sub(r"</?span>", "", line)))
    assert words[:2] == ["zkinfer", "batch"]
    monkeypatch.chdir(shop)
    code, text = run(*words[2:])
    assert code == 0, text
    assert run(*words[2:-1], "00" * 32)[0] == 1


def test_what_scripts_are_told(shop: Path, job: Path, tmp_path: Path) -> None:
    receipt = receipt_of(Manifest.load(job / MANIFEST_FILE)).hex()
    told = [as_json(results.JobStanding, "batch", "status", job), as_json(results.JobStanding, "batch", "resume", job)]
    assert [found.exit_code for found in told] == [0, 7]
    for found in told:
        assert (found.state, found.items, found.proven, found.dead, found.proofs) == ("complete", 40, 39, 1, 2)
        assert (found.receipt, found.digest) == (receipt, None)
    own: tuple[str | Path, ...] = ("--inputs", shop / "x.npy", "--context", "night 1")
    verified = as_json(results.JobVerified, "batch", "verify", job, shop / "model.zkc", *own)
    assert (verified.receipt, verified.proven, verified.dead) == (receipt, 39, 1)
    np.save(tmp_path / "mine.npy", np.load(shop / "x.npy")[3:4])
    written = as_json(results.ItemWritten, "batch", "item", job, "3", "-o", tmp_path / "item", "--share-batch")
    assert (written.item, written.receipt, written.dead) == (3, receipt, None)
    alone = ("--item", "3", "--receipt", receipt, "--inputs", tmp_path / "mine.npy", "--context", "night 1")
    shown = as_json(results.ItemVerified, "batch", "verify", tmp_path / "item", shop / "model.zkc", *alone)
    assert (shown.item, shown.items) == (3, 40)
    assert np.array_equal(np.array(shown.outputs[0]), np.load(job / "outputs.npy")[3])
    report = as_json(results.Written, "batch", "report", job)
    assert report.bytes == Path(report.file).stat().st_size
    refused = as_json(results.Failure, "batch", "verify", job, shop / "model.zkc", *own[:2], "--context", "night 2")
    assert (refused.exit_code, refused.error, refused.check) == (1, "StatementError", "statement")


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (("run", "night.toml"), 3, "holds a job already"),
        (("run", "new"), 3, "needs keys and inputs"),
        (("run", "new", "--keys", "keys", "--inputs", "none.npy"), 3, "no file"),
        (("run", "new", "--keys", "nowhere", "--inputs", "x.npy"), 3, "there is no folder"),
        (("run", "new", "--keys", "keys", "--inputs", "x.npy", "--batch-size", "0"), 2, "greater than or equal to 1"),
        (("run", "bad.toml"), 3, "not the description of a job"),
        (("run", "none.toml"), 3, "not the description of a job"),
        (("resume", "new"), 3, "holds no batch job"),
        (("status", "new"), 3, "holds no batch job"),
    ],
)
def test_what_cannot_be_done_is_said(
    shop: Path, job: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: int, complaint: str
) -> None:
    monkeypatch.chdir(shop)
    (shop / "bad.toml").write_text('output = "new"\nbatchsize = 3\n')
    found, text = run(*arguments)
    assert (found, complaint in text) == (code, True), text
    assert not (shop / "new" / "state.sqlite").exists()


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)


def done(job: Path) -> int:
    """Batches that are recorded as done."""
    if not (job / "state.sqlite").exists():
        return 0
    with closing(State(job)) as state:
        return state.counts().batches_done


def test_sigterm_finishes_the_batch_and_another_run_goes_on(shop: Path, tmp_path: Path) -> None:
    """As a scheduler does it: the signal goes to the whole group of processes, the workers included."""
    job = tmp_path / "job"
    command = ["run", job, "--keys", shop / "keys", "--inputs", shop / "x.npy", "--batch-size", "4"]
    process = subprocess.Popen(
        [sys.executable, "-m", "zkinfer", "batch", *map(str, command)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    wait_until(lambda: done(job) >= 2)
    assert "Job: running" in run("status", job)[1]
    os.killpg(process.pid, signal.SIGTERM)
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 6, text
    assert "Stopped: go on with zkinfer batch resume" in text
    stopped_at = done(job)
    assert 2 <= stopped_at < 10
    assert len(list(proofs_folder(job).iterdir())) == stopped_at
    code, text = run("resume", job, "--executor", "inline")
    assert code == 7, text
    assert "0 attempts beyond the first" in text
    assert Manifest.load(job / MANIFEST_FILE).proven == ITEMS - 1


def test_batches_that_fail_give_5_and_another_process_at_work_gives_4(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise ProvingError("a defect")

    job = tmp_path / "job"
    own = ("run", job, "--keys", shop / "keys", "--inputs", shop / "x.npy", "--executor", "inline")
    with monkeypatch.context() as patch:
        patch.setattr(NativeKeys, "prove", fail)
        code, text = run(*own, "--batch-size", "20")
    assert code == 5, text
    assert "zkinfer batch resume tries them again" in text
    assert "40 items in 2 batches" in text
    assert "a defect" in (job / "report.html").read_text()
    with working_on(job):
        code, text = run("resume", job)
    assert code == 4
    assert "another process works on the job" in text
    assert run("resume", job)[0] == 7


def test_a_worker_that_is_killed_is_replaced_and_its_batch_proven_by_another(shop: Path, tmp_path: Path) -> None:
    job, killed = tmp_path / "job", list[int]()

    def observe(progress: Progress) -> None:
        """Kills a worker at the first occasion, so that there is always a batch left that it is given."""
        workers = (p for p in _children(os.getpid()) if "zkinfer.jobs.worker" in _command(p))
        if not killed and (worker := next(workers, None)) is not None:
            os.kill(worker, signal.SIGKILL)
            killed.append(worker)

    outcome = run_job(
        job, shop / "keys", shop / "x.npy", batch_size=5, workers=2, executor="processes", backoff=0.0, observer=observe
    )
    assert killed
    assert outcome.complete
    assert outcome.progress.counts.batches_done == 8
    assert outcome.progress.counts.retries == 1
    with closing(State(job)) as state:
        for row in state.rows():
            assert row.announced is not None
            assert 0 < sum(row.announced.phases.values()) <= row.announced.seconds
    assert Manifest.load(job / MANIFEST_FILE).proven == ITEMS - 1


def _children(pid: int) -> list[int]:
    import psutil

    return [child.pid for child in psutil.Process(pid).children()]


def _command(pid: int) -> str:
    import psutil

    return " ".join(psutil.Process(pid).cmdline())


def test_a_worker_that_cannot_begin_stops_the_job_and_says_why(tmp_path: Path) -> None:
    with closing(ProcessExecutor(tmp_path / "nowhere", 1, tmp_path / "log")) as executor:
        work = Work(bytes(32), 0, 1, (TensorData.of(mlp().x[None]),), b"", False, False)
        executor.submit(work)
        with pytest.raises(ResourceError, match=r"could not begin: .*there is no folder"):
            executor.results(60.0)


def test_progress_in_one_line() -> None:
    from zkinfer.jobs.runner import Progress
    from zkinfer.jobs.state import JobCounts

    counts = JobCounts(1000, 500, 3, 10, 5, 1, 1, 2, 1 << 20, 9.0)
    assert summary(Progress(counts, 250, 10.0, 0)) == "500 of 1,000 items, 25/s, 20 s left, 10 failed, 3 dead letters"
    one = replace(counts, dead=1)
    assert summary(Progress(one, 250, 10.0, 0)).endswith("1 dead letter")
    assert summary(Progress(counts, 0, 0.0, 0)).startswith("500 of 1,000 items, 0/s, unknown time left")
    assert summary(Progress(counts, 250, 10.0, 320_000_000)).endswith("320.0 MB")


def test_thousands_have_a_comma_everywhere() -> None:
    from zkinfer.jobs.state import JobCounts

    counts = JobCounts(90_000, 30_000, 4_000, 5_000, 1_000, 2_000, 6_000, 7_000, 1 << 30, 9.0, 8_000, 1_000)
    said = proven_text(counts) + " ".join(f"{name} {value}" for name, value in _rows(Path("job"), counts))
    assert re.findall(r"\d{4,}", said) == []
    assert "27,000 proven, 71,000 not: 4,000 dead letters, 5,000 failed" in said
    assert "dead letters 4,000, which no proof covers" in said


def test_signals_are_taken_as_before_when_a_command_ends() -> None:
    """A process that calls commands, or forks after one, can still be ended."""
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with Stop() as stop:
        signal.raise_signal(signal.SIGTERM)
        assert stop()
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
