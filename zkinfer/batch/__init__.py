"""Batch jobs: proofs of any number of stored inferences, in the order of their inputs, that survive any crash.

    outcome = zkinfer.batch.run("night/", "keys/", "inputs.npy", workers=4)
    outcome = zkinfer.batch.resume("night/")

The names below load on first use, so that checking a job needs no package of the prover.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zkinfer.batch.manifest import Manifest
    from zkinfer.batch.runner import Outcome, Progress
    from zkinfer.batch.verbs import Status, resume, run, status
    from zkinfer.batch.verification import VerifiedJob, verify_job

_HOME = {
    "Manifest": "zkinfer.batch.manifest",
    "Outcome": "zkinfer.batch.runner",
    "Progress": "zkinfer.batch.runner",
    "Status": "zkinfer.batch.verbs",
    "VerifiedJob": "zkinfer.batch.verification",
    "resume": "zkinfer.batch.verbs",
    "run": "zkinfer.batch.verbs",
    "status": "zkinfer.batch.verbs",
    "verify_job": "zkinfer.batch.verification",
}

__all__ = [
    "Manifest",
    "Outcome",
    "Progress",
    "Status",
    "VerifiedJob",
    "resume",
    "run",
    "status",
    "verify_job",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'zkinfer.batch' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value
