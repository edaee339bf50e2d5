"""A third party installs numpy, blake3, msgspec and py_ecc, and nothing of the prover: that must be enough."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

FORBIDDEN = ["numba", "onnx", "onnx_ir", "onnxscript", "onnxruntime", "torch", "ezkl", "mpmath", "ray", "matplotlib"]
PROVER = ["backends", "onnx", "quantize", "api", "model", "cli", "batch", "demo"]

SCRIPT = textwrap.dedent(
    """
    import importlib.abc, json, sys

    class Blocker(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path=None, target=None):
            if name.split(".")[0] in {forbidden!r}:
                raise ImportError(f"{{name}} is not installed for a verifier")

    sys.meta_path.insert(0, Blocker())

    from pathlib import Path
    import numpy as np
    from zkinfer.verifier import VerifiedInference, verify
    from zkinfer.errors import InvalidProofError, VerifierUnavailableError

    data = Path({data!r})
    text = json.loads((data / "dense.json").read_text())
    inputs, context = [np.array(x) for x in text["inputs"]], bytes.fromhex(text["context"])
    arguments = data / "dense.proof", data / "dense.zkc", inputs
    result = verify(*arguments, context=context)
    assert isinstance(result, VerifiedInference)
    assert result.fingerprint == text["fingerprint"]
    try:
        verify(*arguments, context=b"other")
    except InvalidProofError:
        print(json.dumps(sorted(sys.modules)))
    """
)


@pytest.fixture(scope="module")
def loaded(data: Path) -> list[str]:
    """Modules in a fresh interpreter, without the prover's packages, that accepted a golden proof and refused one."""
    script = SCRIPT.format(forbidden=FORBIDDEN, data=str(data))
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    names: list[str] = json.loads(run.stdout)
    return names


def test_verifier_needs_no_package_of_the_prover(loaded: list[str]) -> None:
    assert "zkinfer.verifier.verify" in loaded
    assert not {name.split(".")[0] for name in loaded} & set(FORBIDDEN)


def test_verifier_imports_no_module_of_the_prover(loaded: list[str]) -> None:
    assert not [name for name in loaded if name.startswith(tuple(f"zkinfer.{part}" for part in PROVER))]


def test_third_party_packages_are_the_four(loaded: list[str]) -> None:
    """Those, and what py_ecc brings."""
    known = {"numpy", "blake3", "msgspec", "py_ecc", "zkinfer", "typing_extensions"} | set(sys.stdlib_module_names)
    assert {name.split(".")[0] for name in loaded if not name.startswith("_")} - known == set()
