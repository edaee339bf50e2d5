"""Checking a proof of the native backend, once the statement is made."""

from collections.abc import Callable

from zkinfer.backend import Guarantee
from zkinfer.counts import counted
from zkinfer.errors import InvalidProofError, MalformedProofError
from zkinfer.files.commitment import Commitment
from zkinfer.files.native_key import NativeVerifyingKey
from zkinfer.files.proof import Proof
from zkinfer.files.statement import Statement

BytesCheck = Callable[[Commitment, Statement, bytes], float]
"""Verifies a proof's bytes; the bits that it is worth, or a VerificationError."""

SECURITY = (
    "hashes alone: whoever calls BLAKE3 2**n times holds an accepted proof of a false statement with probability at "
    "most 2**(n - bits), BLAKE3 being taken for a random oracle; proven bounds, no trusted setup "
    "(zkinfer.protocol.security derives them)"
)

ALTERED = "it was altered, or is of another model, or of other inputs, outputs or context"


class NativeCheck:
    """The check of proofs for one commitment.

    Args:
        commitment: of the native backend.
        check: `native.check`, or the one of a second verifier.

    Raises:
        MalformedCommitmentError: its parameters are out of range, or not those of its program.
    """

    def __init__(self, commitment: Commitment, check: BytesCheck) -> None:
        commitment.check()
        self.commitment = commitment
        self._check = check

    def __call__(self, statement: Statement, proof: Proof) -> Guarantee:
        """What an accepted proof rests on.

        Raises:
            MalformedProofError: the bytes are not a proof of this statement's form; its cause says what they lack.
            InvalidProofError: it is refused; its cause is the check of the protocol that fails.
        """
        try:
            bits = self._check(self.commitment, statement, proof.data)
        except InvalidProofError as error:
            raise InvalidProofError(f"the proof does not show this statement: {ALTERED}") from error
        except MalformedProofError as error:
            raise MalformedProofError(f"no proof of this statement has this form: {ALTERED} ({error})") from error
        hiding = (
            f"the weights and all values between inputs and outputs; from everyone who cannot break BLAKE3, in the "
            f"{counted(self.commitment.key_as(NativeVerifyingKey).proofs, 'proof')} that the commitment is made for"
        )
        return Guarantee(bits, SECURITY, hiding)
