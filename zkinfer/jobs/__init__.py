"""Batch jobs: proofs of any number of stored inferences, in the order of their inputs, that survive any crash.

    outcome = zkinfer.jobs.run("night/", "keys/", "inputs.npy", workers=4)
    outcome = zkinfer.jobs.resume("night/")

A job proves all of its items, or only a sample of them that a challenge picks:

    outcome = zkinfer.jobs.run("survey/", "keys/", "inputs.npy", batch_size=10, sample=SamplePolicy(...))
    outcome = zkinfer.jobs.resume("survey/", challenge=challenge)

The names below load on first use, so that checking a job needs no package of the prover.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zkinfer.jobs.api import Status, resume, run, status
    from zkinfer.jobs.item_bundle import VerifiedItem, verify_item_folder, write_item_folder
    from zkinfer.jobs.job import SamplePolicy
    from zkinfer.jobs.manifest import Manifest
    from zkinfer.jobs.report import write_report
    from zkinfer.jobs.runner import Outcome, Progress
    from zkinfer.jobs.sampled import commit_sample, prove_sample
    from zkinfer.jobs.verification import VerifiedJob, VerifiedSample, verify_job, verify_sample

_HOME = {
    "Manifest": "zkinfer.jobs.manifest",
    "Outcome": "zkinfer.jobs.runner",
    "Progress": "zkinfer.jobs.runner",
    "SamplePolicy": "zkinfer.jobs.job",
    "Status": "zkinfer.jobs.api",
    "VerifiedItem": "zkinfer.jobs.item_bundle",
    "VerifiedJob": "zkinfer.jobs.verification",
    "VerifiedSample": "zkinfer.jobs.verification",
    "commit_sample": "zkinfer.jobs.sampled",
    "prove_sample": "zkinfer.jobs.sampled",
    "resume": "zkinfer.jobs.api",
    "run": "zkinfer.jobs.api",
    "status": "zkinfer.jobs.api",
    "verify_item_folder": "zkinfer.jobs.item_bundle",
    "verify_job": "zkinfer.jobs.verification",
    "verify_sample": "zkinfer.jobs.verification",
    "write_item_folder": "zkinfer.jobs.item_bundle",
    "write_report": "zkinfer.jobs.report",
}

__all__ = [
    "Manifest",
    "Outcome",
    "Progress",
    "SamplePolicy",
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
        raise AttributeError(f"module 'zkinfer.jobs' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value
