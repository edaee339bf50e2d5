"""Batch jobs: proofs of any number of stored inferences, in the order of their inputs, that survive any crash.

    outcome = zkinfer.batch.run("night/", "keys/", "inputs.npy", workers=4)
    outcome = zkinfer.batch.resume("night/")

The names below load on first use, so that checking a job needs no package of the prover.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zkinfer.batch.manifest import Manifest
    from zkinfer.batch.report import write_report
    from zkinfer.batch.runner import Outcome, Progress
    from zkinfer.batch.sample_verification import VerifiedSample, verify_sample
    from zkinfer.batch.sampled import commit_sample, prove_sample
    from zkinfer.batch.shown_item import VerifiedItem, verify_item_folder, write_item_folder
    from zkinfer.batch.verbs import Status, resume, run, status
    from zkinfer.batch.verification import VerifiedJob, verify_job

_HOME = {
    "Manifest": "zkinfer.batch.manifest",
    "Outcome": "zkinfer.batch.runner",
    "Progress": "zkinfer.batch.runner",
    "Status": "zkinfer.batch.verbs",
    "VerifiedItem": "zkinfer.batch.shown_item",
    "VerifiedJob": "zkinfer.batch.verification",
    "VerifiedSample": "zkinfer.batch.sample_verification",
    "commit_sample": "zkinfer.batch.sampled",
    "prove_sample": "zkinfer.batch.sampled",
    "resume": "zkinfer.batch.verbs",
    "run": "zkinfer.batch.verbs",
    "status": "zkinfer.batch.verbs",
    "verify_item_folder": "zkinfer.batch.shown_item",
    "verify_job": "zkinfer.batch.verification",
    "verify_sample": "zkinfer.batch.sample_verification",
    "write_item_folder": "zkinfer.batch.shown_item",
    "write_report": "zkinfer.batch.report",
}

__all__ = [
    "Manifest",
    "Outcome",
    "Progress",
    "Status",
    "VerifiedItem",
    "VerifiedJob",
    "VerifiedSample",
    "commit_sample",
    "prove_sample",
    "resume",
    "run",
    "status",
    "verify_item_folder",
    "verify_job",
    "verify_sample",
    "write_item_folder",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'zkinfer.batch' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value
