"""Checking proofs: what a third party installs and trusts, and nothing else.

Needs numpy, blake3, msgspec and py_ecc; imports nothing of the prover.

    from zkinfer.verifier import verify
    result = verify("answer.proof", "model.zkc", inputs=x)
"""

from zkinfer.verifier.result import VerifiedInference
from zkinfer.verifier.verify import verify

__all__ = ["VerifiedInference", "verify"]
