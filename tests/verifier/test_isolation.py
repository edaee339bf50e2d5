"""What a third party installs is enough: three packages for native proofs, and py_ecc as well for those of ezkl."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.example_programs import mlp

from zkinfer.native.setup import setup

FORBIDDEN = ["numba", "onnx", "onnx_ir", "onnxscript", "onnxruntime", "torch", "ezkl", "mpmath", "ray", "matplotlib"]
PROVER = ("api", "audit", "cli", "compiler", "demo", "execution", "jobs")
"""Folders that no verifier needs. Of the backends' folders, it needs the object and the verifier."""

BASE = {"numpy", "blake3", "msgspec", "zkinfer", "typing_extensions"} | set(sys.stdlib_module_names)

SCRIPT = textwrap.dedent(
    """
    import importlib.abc, json, sys

    class Blocker(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path=None, target=None):
            if name.split(".")[0] in {forbidden!r}:
                raise ModuleNotFoundError(f"{{name}} is not installed for a verifier", name=name)

    sys.meta_path.insert(0, Blocker())

    import numpy as np
    from zkinfer.verifier import VerifiedInference, verify
    from zkinfer.errors import VerificationError, VerifierUnavailableError

    inputs = np.array({inputs!r})
    context = bytes.fromhex({context!r})
    result = verify({proof!r}, {commitment!r}, inputs, context=context, engine={engine!r})
    assert isinstance(result, VerifiedInference)
    try:
        verify({proof!r}, {commitment!r}, inputs, context=b"other", engine={engine!r})
    except VerifierUnavailableError:
        raise
    except VerificationError:
        print(json.dumps(sorted(sys.modules)))
    """
)


def loaded(forbidden: list[str], engine: str = "python", **statement: Any) -> list[str]:
    """Modules of a fresh interpreter without some packages, after it accepted a proof and refused it once."""
    script = SCRIPT.format(forbidden=forbidden, engine=engine, **statement)
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    names: list[str] = json.loads(run.stdout)
    return names


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A native proof in files, and what it is of."""
    folder, example = tmp_path_factory.mktemp("native"), mlp()
    keys = setup(example.program, example.weights, proofs=1)
    keys.commitment.save(folder / "model.zkc")
    keys.prove([example.x[None]], b"\1").save(folder / "proof.zkp")
    inputs = (np.asarray(example.x) / 8).tolist()
    files = {"proof": str(folder / "proof.zkp"), "commitment": str(folder / "model.zkc")}
    return {**files, "inputs": inputs, "context": "01"}


@pytest.fixture(scope="module")
def ezkl(data: Path) -> dict[str, Any]:
    """A stored proof of ezkl, and what it is of."""
    text = json.loads((data / "dense.json").read_text())
    files = {"proof": str(data / "dense.proof"), "commitment": str(data / "dense.zkc")}
    return {**files, "inputs": text["inputs"][0], "context": text["context"]}


@pytest.mark.parametrize("engine", ["python", "reference"])
def test_native_proofs_need_three_packages(native: dict[str, Any], engine: str) -> None:
    names = loaded([*FORBIDDEN, "py_ecc"], engine, **native)
    assert {name.split(".")[0] for name in names if not name.startswith("_")} - BASE == set()
    assert not [name for name in names if name.startswith(tuple(f"zkinfer.{part}." for part in PROVER))]
    assert {name for name in names if name.startswith("zkinfer.native.")} == {"zkinfer.native.backend"}
    assert not [name for name in names if name.startswith("zkinfer.ezkl.verifier")]


def test_proofs_of_ezkl_need_py_ecc_as_well(ezkl: dict[str, Any]) -> None:
    """And what py_ecc brings."""
    names = loaded(FORBIDDEN, **ezkl)
    assert {name.split(".")[0] for name in names if not name.startswith("_")} - BASE == {"py_ecc"}
    assert not [name for name in names if name.startswith(tuple(f"zkinfer.{part}." for part in PROVER))]
    prover = {name for name in names if name.startswith("zkinfer.ezkl.") and ".verifier" not in name}
    assert prover == {f"zkinfer.ezkl.{name}" for name in ("backend", "instances", "verifying_key")}
