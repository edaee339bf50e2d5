"""What compiling, proving and verifying tell others: nothing. No package that they load writes or sends a report."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.no_network import SUPPORTED
from support.paths import CIRCUITS, ROOT, TESTS

START = """
import numpy as np
from support.no_network import SUPPORTED, forbid_networks
if SUPPORTED:
    forbid_networks()
import zkinfer as zk
"""

WHOLE_WAY = f"""{START}
from zkinfer.verifier import verify
x = np.load({str(CIRCUITS / "digits-mlp" / "calibration.npy")!r})
circuit = zk.compile({str(CIRCUITS / "digits-mlp" / "model.onnx")!r}, x)
circuit.report()
keys = zk.setup(circuit, proofs=2)
verify(zk.prove(keys, x[:1]), keys.commitment, inputs=x[:1])
"""

FROM_TORCH = f"""{START}
import torch
exported = zk.export(torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU()), torch.zeros(1, 4))
zk.compile(exported, np.random.default_rng(0).normal(size=(32, 4)).astype(np.float32))
"""


def run(code: str, home: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    """A program in a process of its own, which has a home and a folder for temporary files below `home`."""
    (home / "tmp").mkdir(parents=True)
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(home / "tmp"), **variables}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(TESTS)])
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("variables", [{}, {"ORT_DISABLE_TELEMETRY": "0"}], ids=["unset", "allowed"])
def test_the_whole_way_leaves_no_file_and_opens_no_socket(tmp_path: Path, variables: dict[str, str]) -> None:
    """onnxruntime queues its reports in a database below the user's home, and sends them some seconds later."""
    done = run(WHOLE_WAY, tmp_path / "home", **variables)
    assert done.returncode == 0, done.stderr
    assert [path for path in (tmp_path / "home").rglob("*") if path.is_file()] == []


def test_exporting_from_torch_leaves_no_file_and_opens_no_socket(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    done = run(FROM_TORCH, tmp_path / "home")
    assert done.returncode == 0, done.stderr
    assert [path for path in (tmp_path / "home").rglob("*") if path.is_file()] == []


@pytest.mark.skipif(not SUPPORTED, reason="needs Linux's filters of system calls")
def test_a_socket_would_be_noticed(tmp_path: Path) -> None:
    code = "import socket; from support.no_network import forbid_networks; forbid_networks(); socket.socket()"
    assert run(code, tmp_path / "home").returncode == -signal.SIGSYS
