"""Each way in which ezkl is known to fail becomes one named error, within seconds, and leaves nothing behind."""

import multiprocessing
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.example_programs import Example, everything, mlp
from support.lying_ezkl_prover import honest_inputs, lie

from zkinfer.api import prove as prove_api
from zkinfer.errors import (
    ArtifactError,
    InputRangeError,
    InvalidInputError,
    NotFiniteError,
    ProvingError,
    ResourceError,
    ShapeError,
)
from zkinfer.ezkl import setup as making
from zkinfer.ezkl.keys import CIRCUIT_FILE, PROVING_KEY_FILE, EzklKeys
from zkinfer.ezkl.prove import prove
from zkinfer.ezkl.runner import EzklCall, EzklCallError, ProcessLimits, run
from zkinfer.ezkl.settings import SETTINGS_FILE
from zkinfer.ezkl.setup import setup
from zkinfer.ezkl.srs import forgeable_srs, generate
from zkinfer.typing import IntArray


@pytest.fixture(autouse=True)
def _within_seconds() -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < 60


@pytest.fixture
def broken(keys: EzklKeys, tmp_path: Path) -> EzklKeys:
    """Keys that were whole when they were loaded, in a folder to damage afterwards."""
    return EzklKeys(Path(shutil.copytree(keys.folder, tmp_path / "broken")), keys.commitment, keys.weights, keys.seed)


@pytest.mark.parametrize(
    ("x", "error"),
    [
        (np.array([["a", "b", "c"]]), InvalidInputError),
        (np.array([[1 + 1j, 0, 0]]), InvalidInputError),
        (np.array([[None, 0, 0]]), InvalidInputError),
        ([[1, 2], [3]], (InvalidInputError, ShapeError)),
        (np.array([[np.nan, 0, 0]]), NotFiniteError),
        (np.array([[np.inf, 0, 0]]), NotFiniteError),
        (np.array([[1e300, 0, 0]]), InputRangeError),
        (np.array([[2.0, 0, 0]]), InputRangeError),
        (np.zeros((0, 3)), ShapeError),
        (np.zeros((1, 0)), ShapeError),
        (np.zeros((1, 4)), ShapeError),
        (np.zeros((2, 3)), ShapeError),
        ([np.zeros((1, 3)), np.zeros((1, 3))], ShapeError),
        ({"x": np.zeros((1, 3)), "extra": np.zeros((1, 3))}, InvalidInputError),
    ],
)
def test_bad_inputs(keys: EzklKeys, x: object, error: type[Exception]) -> None:
    """Strings, NaN, 1e300, nothing at all, a tensor too many: ezkl panics at some and ignores others."""
    left = keys.proofs_left
    with pytest.raises(error):
        prove_api(keys, x)
    assert keys.proofs_left == left


def test_an_index_out_of_a_table_is_an_error_and_no_hang(keys: EzklKeys, example: Example) -> None:
    weights, witness = honest_inputs(keys, example.x, b"")
    for position in range(len(witness)):
        if position > len(witness) - 9:
            witness[position] = 10**9
    with pytest.raises(EzklCallError):
        lie(keys, weights, witness)


@pytest.mark.parametrize("name", [CIRCUIT_FILE, PROVING_KEY_FILE, SETTINGS_FILE])
def test_files_truncated_under_our_feet(broken: EzklKeys, example: Example, name: str) -> None:
    path = broken.folder / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises((ProvingError, ResourceError)):
        prove(broken, [example.x], b"")


def test_the_proving_key_of_another_circuit(broken: EzklKeys, example: Example) -> None:
    """ezkl asks for dozens of gigabytes and aborts; the worker is stopped or dies, and the caller lives."""
    other = everything()
    foreign = setup(other.program, other.weights, proofs=2)
    shutil.copyfile(foreign.folder / PROVING_KEY_FILE, broken.folder / PROVING_KEY_FILE)
    with pytest.raises((ProvingError, ResourceError)):
        prove(broken, [example.x], b"", limits=ProcessLimits(seconds=30, memory_bytes=2 << 30))


def test_reference_strings_that_do_not_fit(example: Example, tmp_path: Path) -> None:
    small, garbage = tmp_path / "small.srs", tmp_path / "garbage.srs"
    small.write_bytes(generate(5, 3))
    garbage.write_bytes(b"\0" * 1000)
    for path in (small, garbage, tmp_path / "missing.srs"):
        with pytest.raises(ArtifactError, match=path.name):
            setup(example.program, example.weights, folder=tmp_path / "keys", srs_path=path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["garbage.srs", "small.srs"]


def test_a_reference_string_of_the_right_size_with_other_points(example: Example, tmp_path: Path) -> None:
    """Random bytes in place of points: whatever ezkl makes of them, no keys come out."""
    path = forgeable_srs(8)
    bad = tmp_path / "bad.srs"
    bad.write_bytes(path.read_bytes()[:4] + b"\xff" * (path.stat().st_size - 4))
    with pytest.raises((ProvingError, ResourceError)):
        setup(example.program, example.weights, folder=tmp_path / "keys", srs_path=bad, proofs=2)
    assert not (tmp_path / "keys").exists()


def _prove_in_child(keys: EzklKeys, x: IntArray) -> int:
    return len(prove(keys, [x], b"").data)


def test_proving_after_a_fork(keys: EzklKeys, example: Example) -> None:
    """ezkl hangs in a fork of a process that used it; ours never runs in the caller's process."""
    prove(keys, [example.x], b"")
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply_async(_prove_in_child, (keys, example.x)).get(timeout=50) > 0


def test_a_poisoned_cache_changes_nothing(
    keys: EzklKeys, example: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("cache", ".ezkl/cache"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "anything").write_bytes(b"poison")
    monkeypatch.setenv("EZKL_REPO_PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(making, "forgeable_srs", lambda logrows: keys.folder / "reference.srs")
    again = setup(example.program, example.weights, proofs=64, seed=bytes(32))
    assert again.commitment == keys.commitment


def test_time_and_memory_limits_reach_every_step(keys: EzklKeys, example: Example) -> None:
    with pytest.raises(ResourceError, match="did not finish"):
        prove(keys, [example.x], b"", limits=ProcessLimits(seconds=0.01))
    with pytest.raises(ResourceError, match="memory limit"):
        prove(keys, [example.x], b"", limits=ProcessLimits(memory_bytes=1 << 20))


def test_too_little_memory_or_disk_is_said_before_the_work(
    example: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zkinfer.ezkl import estimate

    monkeypatch.setattr(estimate, "_free_memory", lambda: 1 << 20)
    with pytest.raises(ResourceError, match="of memory and"):
        setup(example.program, example.weights, folder=tmp_path / "keys")
    monkeypatch.undo()
    monkeypatch.setattr(estimate, "_free_disk", lambda folder: 1 << 20)
    with pytest.raises(ResourceError, match="choose another folder"):
        setup(example.program, example.weights, folder=tmp_path / "keys")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_while_proving(keys: EzklKeys, example: Example, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(ResourceError, match="No space left"):
        prove(keys, [example.x], b"")


def test_ezkl_says_true_or_raises(tmp_path: Path) -> None:
    """The fact that our reading of its answer rests on."""
    with pytest.raises(EzklCallError):
        run([EzklCall("verify", ("no", "no", "no", "no"))], folder=tmp_path, what="verifying")


def test_two_setups_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    example = mlp()
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        made = pool.starmap(_setup_in_child, [(tmp_path / "a",), (tmp_path / "b",)])
    assert made[0] == made[1]
    assert EzklKeys.load(tmp_path / "a").program == example.program


def _setup_in_child(folder: Path) -> bytes:
    example = mlp()
    return setup(example.program, example.weights, folder=folder, proofs=2, seed=bytes(32)).commitment.to_bytes()
