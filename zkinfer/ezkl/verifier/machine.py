"""The Ethereum virtual machine as far as ezkl's verifiers use it: memory, calldata, hash, precompiles.

Claim: one run either answers as the EVM would (with unlimited gas), or is refused because the artifact does what no
honest one does: reads calldata outside the proof and the instances, needs more memory or steps than its size
warrants, hashes other things than the transcript, or calls another contract. References: the Ethereum yellow paper,
EIP-196, EIP-197, EIP-198.
"""

from dataclasses import dataclass, field

from zkinfer.counts import counted
from zkinfer.errors import MalformedCommitmentError
from zkinfer.ezkl.verifier.bn254 import (
    INFINITY,
    SCALAR_MODULUS,
    G1Point,
    G2Point,
    add,
    is_canonical_g2,
    is_canonical_point,
    pairings_cancel,
    scale,
    to_affine,
    to_jacobian,
)
from zkinfer.ezkl.verifier.transcript import WORD, KeccakTranscript

PROOF_OFFSET = 0x64
"""Where the proof's bytes begin in calldata: selector, two offsets, length."""

MODEXP, EC_ADD, EC_MUL, EC_PAIRING = 5, 6, 7, 8
_SIZES = {MODEXP: (0xC0, 0x20), EC_ADD: (0x80, 0x40), EC_MUL: (0x60, 0x40), EC_PAIRING: (0x180, 0x20)}
_MODEXP_STEPS = 256


class Returned(Exception):  # noqa: N818 - control flow of the machine, not an error
    """The artifact returned these bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data


class Reverted(Exception):  # noqa: N818 - control flow of the machine, not an error
    """The artifact refused the proof."""


@dataclass(frozen=True)
class MachineLimits:
    """What one run may use.

    Attributes:
        steps: syntax tree nodes evaluated.
        memory: bytes.
        curve_operations: additions and multiplications on the curve.
    """

    steps: int
    memory: int
    curve_operations: int


@dataclass(frozen=True)
class PairingCall:
    """A pairing check that the artifact asked for.

    Attributes:
        pairs: its points.
        last_sum: the result of the last addition before it.
    """

    pairs: tuple[tuple[G1Point, G2Point], ...]
    last_sum: G1Point


@dataclass
class CurveRecord:
    """What a run did on the curve; a second run over the same proof takes the results from here.

    Attributes:
        results: result of each operation by its kind and operands.
        operands: points that were added or multiplied.
        pairings: pairing checks, in order.
        verdict: what the pairing check answers; None: compute it.
    """

    results: dict[tuple[int, ...], G1Point] = field(default_factory=dict)
    operands: set[G1Point] = field(default_factory=set)
    pairings: list[PairingCall] = field(default_factory=list)
    verdict: bool | None = None


class Machine:
    """The state of one run.

    Args:
        instances: canonical scalars, 32 bytes big-endian each.
        proof: a whole number of 32-byte words.
        transcript: checks and computes the hashes.
        record: what is written down of curve operations.
        limits: what the run may use.
    """

    def __init__(
        self, instances: bytes, proof: bytes, transcript: KeccakTranscript, record: CurveRecord, limits: MachineLimits
    ) -> None:
        self.proof = proof
        self.instances = instances
        self.proof_end = PROOF_OFFSET + len(proof)
        self.instances_offset = self.proof_end + WORD
        self.transcript = transcript
        self.record = record
        self.limits = limits
        self.steps_left = limits.steps
        self.memory = bytearray()
        self._curve_operations = 0
        self._last_sum = INFINITY

    def spend(self, steps: int) -> None:
        """Count work.

        Raises:
            MalformedCommitmentError: the budget is used up.
        """
        self.steps_left -= steps
        if self.steps_left < 0:
            raise MalformedCommitmentError("verifier artifact: runs longer than one of its size has to")

    def reserve(self, start: int, size: int) -> None:
        """Make memory from `start`, `size` bytes, exist.

        Raises:
            MalformedCommitmentError: it is beyond the limit.
        """
        end = start + size
        if end > len(self.memory):
            if end > self.limits.memory:
                raise MalformedCommitmentError(
                    f"verifier artifact: uses memory at {start:#x}, more than one of its size has to"
                )
            self.memory.extend(bytes(end - len(self.memory)))

    def load(self, start: int) -> int:
        """The word at `start`."""
        self.reserve(start, WORD)
        return int.from_bytes(self.memory[start : start + WORD], "big")

    def store(self, start: int, word: int) -> None:
        """Write a word at `start`."""
        self.reserve(start, WORD)
        self.memory[start : start + WORD] = word.to_bytes(WORD, "big")

    def store_byte(self, start: int, word: int) -> None:
        """Write the word's lowest byte at `start`."""
        self.reserve(start, 1)
        self.memory[start] = word & 0xFF

    def slice(self, start: int, size: int) -> bytes:
        """`size` bytes of memory from `start`."""
        self.reserve(start, size)
        return bytes(self.memory[start : start + size])

    def calldata(self, start: int) -> int:
        """A word of the proof or of the instances.

        Raises:
            MalformedCommitmentError: there is none at `start`.
        """
        source, offset = self.proof, start - PROOF_OFFSET
        if start >= self.instances_offset:
            source, offset = self.instances, start - self.instances_offset
        if offset < 0 or offset % WORD or offset + WORD > len(source):
            raise MalformedCommitmentError(f"verifier artifact: reads calldata at {start:#x}, where there is none")
        return int.from_bytes(source[offset : offset + WORD], "big")

    def keccak(self, start: int, size: int) -> int:
        """The transcript's next hash, of `size` bytes of memory from `start`."""
        return int.from_bytes(self.transcript.squeeze(self.slice(start, size)), "big")

    def call(self, address: int, start: int, size: int, out_start: int, out_size: int) -> int:
        """`staticcall` to a precompile: 1 if it succeeded, and its result written to memory; else 0.

        Raises:
            MalformedCommitmentError: another address, or sizes that no honest verifier uses.
        """
        if _SIZES.get(address) != (size, out_size):
            raise MalformedCommitmentError(
                f"verifier artifact: calls address {address:#x} with {counted(size, 'byte')} in and {out_size:,} out"
            )
        message = self.slice(start, size)
        words = [int.from_bytes(message[i : i + WORD], "big") for i in range(0, size, WORD)]
        if address == MODEXP:
            if words[:3] != [WORD] * 3:
                raise MalformedCommitmentError("verifier artifact: modular exponentiation of other than words")
            self.spend(_MODEXP_STEPS)
            self.store(out_start, pow(words[3], words[4], words[5]) if words[5] else 0)
            return 1
        if address == EC_PAIRING:
            verdict = self._pairing(words)
            if verdict is None:
                return 0
            self.store(out_start, int(verdict))
            return 1
        result = self._curve_operation(address, words)
        if result is None:
            return 0
        self.store(out_start, result[0])
        self.store(out_start + WORD, result[1])
        return 1

    def _curve_operation(self, address: int, words: list[int]) -> G1Point | None:
        self._curve_operations += 1
        if self._curve_operations > self.limits.curve_operations:
            raise MalformedCommitmentError("verifier artifact: more work on the curve than one of its size has to do")
        points = [(words[i], words[i + 1]) for i in range(0, len(words) - 1, 2)]
        if not all(point == INFINITY or is_canonical_point(*point) for point in points):
            return None
        self.record.operands.update(points)
        key = (address, *words)
        result = self.record.results.get(key)
        if result is None:
            if address == EC_ADD:
                result = to_affine(add(to_jacobian(points[0]), to_jacobian(points[1])))
            else:
                result = scale(points[0], words[2] % SCALAR_MODULUS)
            self.record.results[key] = result
        if address == EC_ADD:
            self._last_sum = result
        return result

    def _pairing(self, words: list[int]) -> bool | None:
        if self.record.pairings:
            raise MalformedCommitmentError("verifier artifact: asks for more than one pairing check")
        pairs: list[tuple[G1Point, G2Point]] = []
        for i in range(0, len(words), 6):
            point, twist = (words[i], words[i + 1]), (words[i + 2], words[i + 3], words[i + 4], words[i + 5])
            if not (point == INFINITY or is_canonical_point(*point)) or not is_canonical_g2(twist):
                return None
            pairs.append((point, twist))
        self.record.pairings.append(PairingCall(tuple(pairs), self._last_sum))
        return pairings_cancel(pairs) if self.record.verdict is None else self.record.verdict
