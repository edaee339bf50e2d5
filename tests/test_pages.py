"""The commands of the pages run as they stand there, one page after another, in one folder."""

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.paths import CIRCUITS, DOCS
from typer.testing import CliRunner

pytest.importorskip("onnx")

import zkinfer as zk
from zkinfer.cli import app, parameters

DIGITS = CIRCUITS / "digits-mlp"


def commands(page: str) -> list[list[str]]:
    """The command lines of a page's code blocks, but for those of ezkl, which need another package, and of jobs.

    What is in a store is in the memory of this process.
    """
    blocks = re.findall(r"^```\w*\n(.*?)^```", (DOCS / page).read_text(), re.M | re.S)
    lines = [line.replace("s3://", "memory://") for block in blocks for line in block.splitlines()]
    found = [shlex.split(line) for line in lines if line.startswith("zkinfer ")]
    return [words[1:] for words in found if not any("ezkl" in word for word in words) and words[1] != "batch"]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that a user brings along."""
    folder = tmp_path_factory.mktemp("desk")
    shutil.copy(DIGITS / "model.onnx", folder / "model.onnx")
    np.save(folder / "typical-inputs.npy", np.load(DIGITS / "calibration.npy"))
    np.save(folder / "input.npy", np.load(DIGITS / "held-out.npy")[:2])
    return folder


def run_all(page: str, count: int) -> list[str]:
    """Run a page's commands, of which there are so many; returns what each printed."""
    said = []
    assert len(commands(page)) == count
    for words in commands(page):
        ended = CliRunner().invoke(app, words)
        assert ended.exit_code == 0, (words, ended.output)
        said.append(ended.output)
    return said


def test_pages_in_the_order_in_which_they_are_read(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk)
    monkeypatch.setattr(parameters, "PASSING", frozenset())
    said = run_all("guide.md", 13)
    assert any("VALID" in text for text in said)
    assert any("exactly the published commitment" in text for text in said)
    proven, verified = map(json.loads, run_all("scripts.md", 2))
    assert proven["fingerprint"] == verified["fingerprint"]
    assert "VALID" in run_all("rotation.md", 3)[-1]
    circuit, logged = zk.Circuit.load("model.zkcircuit"), np.load(DIGITS / "calibration.npy")
    np.save("inputs.npy", logged)
    np.save("outputs.npy", np.asarray(circuit.run(logged)))
    assert "AGREES" in run_all("audit.md", 1)[0]
