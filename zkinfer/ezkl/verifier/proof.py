"""Checking a proof of the ezkl backend, once the statement is made.

Steps: the commitment's key fits together; the proof has the one length that proofs of this key have, and begins with
the published weight points; the statement's public values are rebuilt; the pairing check accepts.
"""

from zkinfer.backend import Guarantee
from zkinfer.counts import counted
from zkinfer.errors import CommitmentMismatchError, InvalidProofError, MalformedProofError
from zkinfer.ezkl.instances import public_instances, statement_digest
from zkinfer.ezkl.verifier import engine as ezkl_engine
from zkinfer.ezkl.verifier.bn254 import SCALAR_MODULUS
from zkinfer.ezkl.verifier.halo2 import EvmVerifier
from zkinfer.ezkl.verifier.key import check_key
from zkinfer.ezkl.verifying_key import EzklVerifyingKey
from zkinfer.files.commitment import Commitment
from zkinfer.files.proof import Proof
from zkinfer.files.statement import Statement

SECURITY = (
    "KZG over BN254: about 100 bits against the best known attacks (Kim and Barbulescu, CRYPTO 2016; "
    "Barbulescu and Duquesne, Journal of Cryptology 2019), and none against whoever knows the secret of the "
    "structured reference string. That the commitment's keys are those of its program is checked by an audit "
    "(zkinfer.audit_keys), not by each verification"
)
SECURITY_BITS = 100.0

HIDDEN = "the weights, beyond what the commitment's points and the outputs themselves tell"


class EzklCheck:
    """The check of proofs for one commitment.

    Args:
        commitment: of the ezkl backend.
        engine: which verifier is asked.

    Raises:
        MalformedCommitmentError: its key contradicts itself or its program.
    """

    def __init__(self, commitment: Commitment, engine: str) -> None:
        self.commitment = commitment
        self.engine = engine
        self.artifact = check_key(commitment)

    def __call__(self, statement: Statement, proof: Proof) -> Guarantee:
        """What an accepted proof rests on.

        Raises:
            MalformedProofError: it is of no ezkl proof's form; ezkl proofs are of one run, and hide no inputs or
                outputs.
            CommitmentMismatchError: it commits to other weights.
            InvalidProofError: it is refused.
            VerifierUnavailableError: the engine cannot run here.
        """
        key = self.commitment.key_as(EzklVerifyingKey)
        inputs = [value[0] for value in statement.inputs if not isinstance(value, bytes)]
        outputs = [value[0] for value in statement.outputs if not isinstance(value, bytes)]
        if statement.runs != 1 or len(inputs) + len(outputs) != len(statement.inputs) + len(statement.outputs):
            raise MalformedProofError("the proof hides values, or is of several runs: no proof of the ezkl backend is")
        _check_layout(proof.data, key.weight_points, self.artifact)
        digest = statement_digest(self.commitment, statement.context)
        instances = [x % SCALAR_MODULUS for x in public_instances(digest, inputs, outputs)]
        _run_engines(self.engine, key, self.artifact, instances, proof.data)
        return Guarantee(SECURITY_BITS, SECURITY, HIDDEN, key.srs.test_only)


def _check_layout(proof: bytes, weight_points: tuple[bytes, ...], artifact: EvmVerifier) -> None:
    """The proof's bytes have the one possible length, and begin with the published weight points."""
    if len(proof) != artifact.proof_bytes:
        raise MalformedProofError(
            f"the proof holds {counted(len(proof), 'byte')} where this commitment's proofs have "
            f"{artifact.proof_bytes:,}: truncated or extended"
        )
    points = b"".join(weight_points)
    if proof[: len(points)] != points:
        raise CommitmentMismatchError("the proof commits to other weights than the published commitment")


def _run_engines(engine: str, key: EzklVerifyingKey, artifact: EvmVerifier, instances: list[int], proof: bytes) -> None:
    """Ask each verifier; an acceptance counts only where none refuses."""
    refusals: list[InvalidProofError] = []
    asked = ("python", "ezkl") if engine == "both" else (engine,)
    for name in asked:
        try:
            if name == "python":
                artifact.check(instances, proof, key.weight_points)
            else:
                ezkl_engine.check(key, artifact.negated_s_g2, instances, proof)
        except InvalidProofError as error:
            refusals.append(error)
    if len(refusals) not in (0, len(asked)):
        raise InvalidProofError(
            f"the two verifiers disagree, so the proof counts as invalid; please report it ({refusals[0]})"
        )
    if refusals:
        raise refusals[0]
