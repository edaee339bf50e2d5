"""Batch jobs: proofs of any number of stored inferences, in the order of their inputs, that survive any crash.

    outcome = zkinfer.jobs.run("night/", "keys/", "inputs.npy", workers=4)
    outcome = zkinfer.jobs.resume("night/")

A job proves all of its items, or only a sample of them that a challenge picks:

    outcome = zkinfer.jobs.run("survey/", "keys/", "inputs.npy", batch_size=10, sample=SamplePolicy(...))
    outcome = zkinfer.jobs.resume("survey/", challenge=challenge)

The public names, in `__init__.pyi`, load on first use, so that checking a job needs no package of the prover.
"""

from zkinfer import lazy

__getattr__, __dir__, __all__ = lazy.attach(__name__)
