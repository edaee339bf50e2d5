"""Small jobs with real proofs, made once, for tests that check them or tamper with them."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from support.example_programs import mlp
from support.recording_keys import item_reals

from zkinfer.jobs import api
from zkinfer.jobs.job import manifest_file, proofs_folder
from zkinfer.jobs.manifest import JobBatch, Manifest
from zkinfer.jobs.verification import VerifiedJob, verify_job
from zkinfer.native.keys import NativeKeys
from zkinfer.native.setup import setup

ITEMS = 8
DEAD = 4
CONTEXT = b"night 1"


@lru_cache(maxsize=1)
def some_keys() -> NativeKeys:
    """Proving keys for `mlp`."""
    return setup(mlp().program, mlp().weights, proofs=64)


def items() -> npt.NDArray[np.float64]:
    """What the jobs are run on: shape (ITEMS, 3), of which one is not a number."""
    x = item_reals(ITEMS)
    x[DEAD, 1] = np.nan
    return x


@dataclass(frozen=True)
class ProvenJob:
    """A job of three batches, and the verifier's copy of its inputs.

    Attributes:
        folder: of the job.
        inputs: the file.
        hides: the proofs hide inputs and outputs.
    """

    folder: Path
    inputs: Path
    hides: bool

    @property
    def manifest(self) -> Manifest:
        """The job's manifest."""
        return Manifest.load(manifest_file(self.folder))

    def proof(self, number: int) -> Path:
        """The file of a batch's proof."""
        return proofs_folder(self.folder) / self.manifest.batches[number].proof

    def verify(self, **changes: Any) -> VerifiedJob:
        """`verify_job` as it should be called, but for the changes."""
        inputs = None if self.hides else self.inputs
        own = {"folder": self.folder, "commitment": some_keys().commitment, "inputs": inputs, "context": CONTEXT}
        return verify_job(**{**own, **changes})

    def forge(self, **changes: Any) -> None:
        """Let the manifest say something else."""
        msgspec.structs.replace(self.manifest, **changes).save(manifest_file(self.folder))

    def forge_batch(self, number: int, change: Callable[[JobBatch], JobBatch], **changes: Any) -> None:
        """Let the manifest say something else of one batch, and whatever else is to change with it."""
        batches = list(self.manifest.batches)
        batches[number] = change(batches[number])
        self.forge(batches=tuple(batches), **changes)


@lru_cache(maxsize=2)
def _made(hides: bool) -> ProvenJob:
    folder = Path(mkdtemp(prefix="zkinfer-job-"))
    np.save(folder / "x.npy", items())
    api.run(
        folder / "job",
        some_keys(),
        folder / "x.npy",
        batch_size=3,
        context=CONTEXT,
        private_inputs=hides,
        private_outputs=hides,
    )
    return ProvenJob(folder / "job", folder / "x.npy", hides)


def proven_job(folder: Path, *, hides: bool = False) -> ProvenJob:
    """A copy of a job, to be tampered with."""
    made = _made(hides)
    shutil.copytree(made.folder, folder / "job")
    shutil.copy(made.inputs, folder / "x.npy")
    return ProvenJob(folder / "job", folder / "x.npy", hides)
