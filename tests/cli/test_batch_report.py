"""The report at the end of a job and later, and the float model's outputs for it."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import zkinfer as zk
from zkinfer.cli import app
from zkinfer.cli.batch_report import float_outputs_of
from zkinfer.jobs.report import REPORT_FILE

MODEL = Path(__file__).parent.parent.parent / "circuits" / "digits-mlp"
ITEMS = 40
DEAD = [3, 17]


def run(*arguments: str | Path) -> tuple[int, str]:
    """Exit code, and what it printed."""
    result = CliRunner().invoke(app, ["batch", *(str(a) for a in arguments)])
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A circuit with its keys, items of which two are poisoned, and a job that was run without a report."""
    folder = tmp_path_factory.mktemp("shop")
    x = np.load(MODEL / "calibration.npy")
    circuit = zk.compile(MODEL / "model.onnx", x)
    circuit.save(folder / "model.zki")
    zk.setup(circuit, folder=folder / "keys", proofs=20)
    x = x[:ITEMS].copy()
    x[DEAD] = np.nan
    np.save(folder / "x.npy", x)
    (folder / "night.toml").write_text(
        'keys = "keys"\ninputs = ["x.npy"]\noutput = "night"\nexecutor = "inline"\nreport = false\n'
        'circuit = "model.zki"\nbatch_size = 20\n'
    )
    code, text = run("run", folder / "night.toml")
    assert code == 7, text
    assert "report" not in text
    assert not (folder / "night" / REPORT_FILE).exists()
    return folder


def test_the_float_model_is_run_on_the_items_of_the_job(shop: Path) -> None:
    x = np.load(shop / "x.npy")
    living = np.setdiff1d(np.arange(ITEMS), DEAD)
    with float_outputs_of(shop / "night", shop / "model.zki") as (found,):
        assert found.shape == (ITEMS, 10)
        assert np.isnan(found[DEAD]).all()
        report = zk.Circuit.load(shop / "model.zki").report(x[living])
        expected = zk.Circuit.load(shop / "model.zki").float_model().answer([x[living]])[0]
        assert np.array_equal(found[living], expected)
        proven = np.load(shop / "night" / "outputs.npy")
        assert np.abs(found - proven)[living].max() == pytest.approx(report.outputs[0].max_error)
    assert not list((shop / "night").glob(".float-*"))


def test_the_report_says_how_far_the_proven_outputs_are_from_float(shop: Path, tmp_path: Path) -> None:
    code, text = run("report", shop / "night", "--circuit", shop / "model.zki")
    assert code == 0, text
    with_circuit = (shop / "night" / REPORT_FILE).read_text()
    assert "same largest entry" in with_circuit
    with float_outputs_of(shop / "night", shop / "model.zki") as (found,):
        np.save(tmp_path / "f.npy", found)
    assert run("report", shop / "night", "--float-outputs", tmp_path / "f.npy")[0] == 0
    assert (shop / "night" / REPORT_FILE).read_text() == with_circuit
    assert run("report", shop / "night")[0] == 0
    assert "same largest entry" not in (shop / "night" / REPORT_FILE).read_text()


def test_a_job_ends_with_its_report(shop: Path, tmp_path: Path) -> None:
    own = (tmp_path / "job", "--keys", shop / "keys", "--inputs", shop / "x.npy", "--executor", "inline")
    code, text = run("run", *own, "--circuit", shop / "model.zki")
    assert code == 7, text
    assert "same largest entry" in (tmp_path / "job" / REPORT_FILE).read_text()
    (tmp_path / "job" / REPORT_FILE).write_text("kept: nothing new was proven")
    assert run("resume", tmp_path / "job")[0] == 7
    assert "kept" in (tmp_path / "job" / REPORT_FILE).read_text()


def test_no_job_fails_for_want_of_a_report(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "job" / REPORT_FILE).mkdir(parents=True)
    own = (tmp_path / "job", "--keys", shop / "keys", "--inputs", shop / "x.npy", "--executor", "inline")
    code, text = run("run", *own)
    assert code == 7
    assert "none: cannot write" in text
    assert run("report", tmp_path / "job")[0] == 4
    code, text = run("resume", tmp_path / "job", "--circuit", tmp_path / "none.zki")
    assert code == 7
    assert "none: cannot read" in text


def test_what_cannot_be_compared_is_said(shop: Path, tmp_path: Path) -> None:
    other = zk.compile(MODEL / "model.onnx", np.load(MODEL / "calibration.npy"), activation_bits=6)
    other.save(tmp_path / "other.zki")
    np.savez(tmp_path / "f.npz", a=np.zeros((ITEMS, 10)))
    np.save(tmp_path / "f.npy", np.zeros((ITEMS, 9)))
    for options, complaint in (
        (("--circuit", tmp_path / "other.zki"), "done with another circuit"),
        (("--float-outputs", tmp_path / "f.npz"), "as .npy files"),
        (("--float-outputs", tmp_path / "f.npy"), "float model's (40, 9)"),
        (("--circuit", tmp_path / "other.zki", "--float-outputs", tmp_path / "f.npy"), "not from both"),
    ):
        code, text = run("report", shop / "night", *options)
        assert (code, complaint in text) == (3, True), text
