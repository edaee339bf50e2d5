"""Guarded calls: whatever ezkl does, one named error within the limits, and no process left."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from zkinfer.errors import MissingDependencyError, ProvingError, ResourceError
from zkinfer.ezkl import runner
from zkinfer.ezkl.runner import EzklCall, EzklCallError, ProcessLimits, run


@pytest.fixture(autouse=True)
def _no_process_stays() -> Iterator[None]:
    before = set(psutil.Process().children(recursive=True))
    yield
    assert set(psutil.Process().children(recursive=True)) <= before


def test_a_call_returns_its_result(tmp_path: Path) -> None:
    import ezkl

    ezkl.gen_srs(str(tmp_path / "srs"), 4)
    with pytest.raises(EzklCallError) as failure:
        run([EzklCall("verify", ("proof", "settings", "vk", "srs"))], folder=tmp_path, what="verifying")
    assert failure.value.call == "verify"
    assert failure.value.kind == "RuntimeError"


def test_only_listed_functions_run(tmp_path: Path) -> None:
    with pytest.raises(EzklCallError, match="not a call that this worker makes"):
        run([EzklCall("get_srs", ())], folder=tmp_path, what="test")


def test_a_panic_becomes_an_error(tmp_path: Path) -> None:
    """An empty graph input makes ezkl panic, with an exception that is no `Exception`."""
    (tmp_path / "s.json").write_text("{}")
    (tmp_path / "m.onnx").write_bytes(b"not a model")
    with pytest.raises(ProvingError):
        run([EzklCall("gen_settings", ("m.onnx", "s.json"), {"py_run_args": {}})], folder=tmp_path, what="test")


def test_a_hang_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "WORKER", ("-c", "import time; time.sleep(60)"))
    started = time.monotonic()
    with pytest.raises(ResourceError, match=r"did not finish within 1 s"):
        run([EzklCall("prove")], folder=tmp_path, what="test", limits=ProcessLimits(seconds=1))
    assert time.monotonic() - started < 50


def test_too_much_memory_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "WORKER", ("-c", "x = bytearray(10**9); x[::4096] = b'1' * len(x[::4096]); input()"))
    with pytest.raises(ResourceError, match="memory limit"):
        run([EzklCall("setup")], folder=tmp_path, what="test", limits=ProcessLimits(seconds=30, memory_bytes=200 << 20))


def test_a_crash_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "WORKER", ("-c", "import os, sys; print('boom', file=sys.stderr); os.abort()"))
    with pytest.raises(EzklCallError, match=r"code -6.*boom"):
        run([EzklCall("setup")], folder=tmp_path, what="test")


def test_an_interrupted_caller_leaves_no_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "WORKER", ("-c", "import time; time.sleep(60)"))

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("zkinfer.ezkl.runner.time.sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run([EzklCall("setup")], folder=tmp_path, what="test")


def test_the_cache_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A poisoned cache of the user's is not read: ezkl sees a fresh folder each time."""
    script = (
        "import json, os, sys; json.dump({'results': [os.environ['EZKL_REPO_PATH']]}, os.fdopen(int(sys.argv[1]), 'w'))"
    )
    monkeypatch.setattr(runner, "WORKER", ("-c", script))
    monkeypatch.setenv("EZKL_REPO_PATH", "/poisoned")
    seen = [run([EzklCall("setup")], folder=tmp_path, what="test").results[0] for _ in range(2)]
    assert seen[0] != seen[1]
    assert "/poisoned" not in seen
    assert not any(Path(folder).exists() for folder in seen)


def test_another_version_of_ezkl_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "EZKL_VERSION", "0.0.1")
    with pytest.raises(MissingDependencyError, match=r"pip install ezkl==0\.0\.1"):
        run([EzklCall("setup")], folder=tmp_path, what="test")


def test_results_that_json_does_not_carry_are_none(tmp_path: Path) -> None:
    outcome = runner._outcome(0, {"answer": json.dumps({"results": [None, True]}).encode()}, [EzklCall("x")], 1.0, 5)
    assert outcome.results == [None, True]


def test_a_killed_caller_takes_its_worker_along(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from zkinfer.ezkl import runner\n"
        "runner.WORKER = ('-c', 'import time; time.sleep(60)')\n"
        "print('begun', flush=True); runner.run([runner.EzklCall('setup')], folder=Path(sys.argv[1]), what='test')"
    )
    caller = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE)
    assert caller.stdout is not None
    caller.stdout.readline()
    while not (workers := psutil.Process(caller.pid).children()):
        time.sleep(0.05)
    caller.kill()
    caller.wait()
    gone, alive = psutil.wait_procs(workers, timeout=10)
    assert gone
    assert not alive
