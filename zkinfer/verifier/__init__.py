"""Checking proofs: what a third party installs and trusts, and nothing else.

Needs numpy, blake3 and msgspec alone, and imports nothing of the prover. Only proofs of the ezkl backend need more:
`zkinfer[ezkl-verifier]`.

    from zkinfer.verifier import verify
    result = verify("answer.proof", "model.zkc", inputs=x)
"""

from zkinfer.verifier.result import VerifiedInference
from zkinfer.verifier.verify import verify

__all__ = ["VerifiedInference", "verify"]
