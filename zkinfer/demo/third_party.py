"""The verifier of the demonstration: a Python of its own, given files and nothing else."""

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from zkinfer.errors import ProvingError

PROVER_PACKAGES = ("torch", "onnx", "onnxruntime", "numba", "ezkl")


REQUEST = "request 2026-001"


@dataclass(frozen=True)
class Attempt:
    """What the third party is shown, by file names within its folder, and the context that it insists on."""

    proof: str = "proof.zkp"
    commitment: str = "model.zkc"
    inputs: str = "digits.npy"
    context: str = REQUEST


@dataclass(frozen=True)
class Verdict:
    """What the verifying process said.

    Attributes:
        accepted: it ended with exit code 0.
        message: what it wrote on standard error: why it refused, or a warning.
        seconds: from its start to its end.
    """

    accepted: bool
    message: str
    seconds: float


class ThirdParty:
    """Runs `zkinfer verify` in another interpreter.

    Args:
        python: the interpreter.
        folder: where the files are that the third party was sent.
    """

    def __init__(self, python: Path, folder: Path) -> None:
        # Not resolved: an environment's interpreter is a link, and its place says which environment it is.
        self.python = python.absolute()
        self.folder = folder

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        # -I: nothing of the working folder or of the caller's environment is imported.
        return subprocess.run(
            [str(self.python), "-I", *arguments],
            cwd=self.folder,
            env={"PATH": os.environ.get("PATH", ""), "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            check=False,
        )

    def prover_packages(self) -> list[str]:
        """Which of the prover's packages can be imported there: none, in a base install."""
        code = f"import importlib.util as u; print(*[p for p in {PROVER_PACKAGES} if u.find_spec(p)])"
        return self._run("-c", code).stdout.split()

    def verify(self, attempt: Attempt) -> Verdict:
        """Check a proof against a commitment.

        Raises:
            ProvingError: the process did not get as far as a verdict.
        """
        began = time.perf_counter()
        done = self._run(
            *("-m", "zkinfer", "verify", attempt.proof, attempt.commitment),
            *("--inputs", attempt.inputs, "--context", attempt.context),
        )
        if done.returncode not in (0, 1):
            raise ProvingError(f"the verifying process ended with code {done.returncode}: {done.stderr.strip()}")
        reason = done.stderr.strip().removeprefix("REFUSED ")
        return Verdict(done.returncode == 0, reason, time.perf_counter() - began)
