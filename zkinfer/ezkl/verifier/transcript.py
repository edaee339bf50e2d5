"""The Fiat-Shamir transcript of ezkl's EVM verifier, checked while the artifact computes it.

Claim: every challenge depends on the key, on every public instance and on every word of the proof that came before
it. Each hash must be one of

    keccak(vk_digest, instances, first proof words)        the first
    keccak(previous hash, next proof words)
    keccak(previous hash, 0x01)                            another challenge, nothing new absorbed

so that an artifact that leaves something out of its challenges is refused, whatever it goes on to compute.
"""

from zkinfer.errors import MalformedCommitmentError
from zkinfer.ezkl.verifier.keccak import keccak256

WORD = 32
_CONTINUE = b"\x01"


class KeccakTranscript:
    """The hashes of one run.

    Args:
        key_digest: digest of the verifying key, which the artifact holds, 32 bytes.
        instances: the public instances, 32 bytes big-endian each.
        proof: the proof, a whole number of words.
    """

    def __init__(self, key_digest: bytes, instances: bytes, proof: bytes) -> None:
        self._previous = key_digest
        self._stream = instances + proof
        self._instance_bytes = len(instances)
        self._absorbed = 0

    def squeeze(self, message: bytes) -> bytes:
        """Keccak-256 of the message, if it is the one that must be hashed now.

        Raises:
            MalformedCommitmentError: it is not.
        """
        fresh = message[WORD:]
        first = self._absorbed == 0
        if message[:WORD] != self._previous or not fresh or (fresh == _CONTINUE and first):
            raise MalformedCommitmentError("verifier artifact: a challenge does not depend on those before it")
        if fresh != _CONTINUE:
            end = self._absorbed + len(fresh)
            if len(fresh) % WORD or fresh != self._stream[self._absorbed : end] or end <= self._instance_bytes:
                raise MalformedCommitmentError(
                    "verifier artifact: a challenge does not absorb the instances and the proof in their order"
                )
            self._absorbed = end
        self._previous = keccak256(message)
        return self._previous

    @property
    def unabsorbed(self) -> bytes:
        """What no challenge depends on so far."""
        return self._stream[self._absorbed :]
