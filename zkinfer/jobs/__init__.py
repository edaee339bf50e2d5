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
    from zkinfer.jobs.api import Status as Status
    from zkinfer.jobs.api import resume as resume
    from zkinfer.jobs.api import run as run
    from zkinfer.jobs.api import status as status
    from zkinfer.jobs.item_bundle import VerifiedItem as VerifiedItem
    from zkinfer.jobs.item_bundle import verify_item_folder as verify_item_folder
    from zkinfer.jobs.item_bundle import write_item_folder as write_item_folder
    from zkinfer.jobs.job import SamplePolicy as SamplePolicy
    from zkinfer.jobs.manifest import Manifest as Manifest
    from zkinfer.jobs.report import write_report as write_report
    from zkinfer.jobs.runner import Outcome as Outcome
    from zkinfer.jobs.runner import Progress as Progress
    from zkinfer.jobs.sampled import commit_sample as commit_sample
    from zkinfer.jobs.sampled import prove_sample as prove_sample
    from zkinfer.jobs.verification import VerifiedJob as VerifiedJob
    from zkinfer.jobs.verification import VerifiedSample as VerifiedSample
    from zkinfer.jobs.verification import verify_job as verify_job
    from zkinfer.jobs.verification import verify_sample as verify_sample

_MODULES = {
    "api": ("Status", "resume", "run", "status"),
    "item_bundle": ("VerifiedItem", "verify_item_folder", "write_item_folder"),
    "job": ("SamplePolicy",),
    "manifest": ("Manifest",),
    "report": ("write_report",),
    "runner": ("Outcome", "Progress"),
    "sampled": ("commit_sample", "prove_sample"),
    "verification": ("VerifiedJob", "VerifiedSample", "verify_job", "verify_sample"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'zkinfer.jobs' has no attribute {name!r}")
    value = getattr(import_module(f"zkinfer.jobs.{_HOME[name]}"), name)
    globals()[name] = value
    return value
