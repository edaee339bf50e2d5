"""ezkl's EVM verifier, the artifact of a commitment: its parameters, whether they are consistent, and running it.

The artifact is the Solidity file that ezkl writes for a verifying key: constraints, key and the G2 part of the SRS.
It is as trustworthy as the commitment that holds it. What can be checked without knowing the circuit is checked:

* statically: it is written for BN254, its domain's constants are consistent, and it has as many instances as the
  caller's statement and no accumulator;
* in every run (`transcript`, `machine`): every challenge hashes the key, all instances and all of the proof before
  it, exactly one pairing check is made, with the last sum computed and the proof's last point against the generator of
  G2 and the SRS's point;
* after an accepting run: that the same run with the pairing check answering "no" refuses, so the answer hangs on it.

Whether its constraints are those of the program can be checked only by making it again from the program.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from zkinfer.counts import counted
from zkinfer.errors import InvalidProofError, MalformedCommitmentError, MalformedProofError
from zkinfer.ezkl.verifier.bn254 import (
    G2_GENERATOR,
    GENERATOR,
    SCALAR_MODULUS,
    G1Point,
    G2Point,
    is_canonical_g2,
)
from zkinfer.ezkl.verifier.interpreter import translate
from zkinfer.ezkl.verifier.machine import CurveRecord, Machine, MachineLimits, Returned, Reverted
from zkinfer.ezkl.verifier.transcript import WORD, KeccakTranscript
from zkinfer.ezkl.verifier.yul import (
    Assign,
    Evaluate,
    For,
    If,
    Let,
    Name,
    Number,
    YulBlock,
    YulCall,
    YulContract,
    YulFunction,
    YulStatement,
    parse,
)
from zkinfer.ezkl.verifying_key import POINT_BYTES

MAX_LOGROWS = 28
"""The scalar field's two-adicity."""

_BLINDED_ROWS = 6
_DELTA = pow(7, 1 << MAX_LOGROWS, SCALAR_MODULUS)
_TRUE = (1).to_bytes(WORD, "big")


def _fail(message: str) -> MalformedCommitmentError:
    return MalformedCommitmentError(f"verifier artifact: {message}")


def _statements(block: YulBlock) -> Iterator[YulStatement]:
    """All statements of a block, depth first."""
    for node in block.statements:
        yield node
        match node:
            case YulBlock():
                yield from _statements(node)
            case If(body=body) | YulFunction(body=body):
                yield from _statements(body)
            case For(start=start, step=step, body=body):
                for part in (start, step, body):
                    yield from _statements(part)
            case _:
                pass


def _key_words(contract: YulContract) -> dict[int, int]:
    """What the artifact loads into memory as the verifying key: address -> word.

    Raises:
        MalformedCommitmentError: no address where the key begins, or two different words for one address.
    """
    words: dict[int, int] = {}
    start = contract.constants.get("VK_MPTR")
    if start is None:
        raise _fail("has no VK_MPTR")
    for node in _statements(contract.body):
        match node:
            case Evaluate(call=YulCall(name="mstore", arguments=(Number(value=address), Number(value=word)))):
                if address >= start and words.setdefault(address, word) != word:
                    raise _fail(f"loads two different words at {address:#x} of its key")
            case _:
                pass
    return words


def _proof_length(contract: YulContract) -> int:
    """The proof length that the artifact compares with.

    Raises:
        MalformedCommitmentError: it compares with none, or with several.
    """
    lengths: set[int] = set()
    for node in _statements(contract.body):
        match node:
            case Let(value=YulCall() as call) | Assign(value=YulCall() as call) | Evaluate(call=call):
                lengths.update(_compared_lengths(call))
            case _:
                pass
    if len(lengths) != 1:
        raise _fail(f"demands {len(lengths)} different proof lengths, not one")
    return lengths.pop()


def _compared_lengths(call: YulCall) -> Iterator[int]:
    match call:
        case YulCall(name="eq", arguments=(Number(value=length), Name(name="proof.length"))):
            yield length
        case _:
            for argument in call.arguments:
                if isinstance(argument, YulCall):
                    yield from _compared_lengths(argument)


@dataclass(frozen=True)
class EvmVerifier:
    """A parsed verifier artifact.

    Attributes:
        num_instances: public instances.
        logrows: the circuit has 2**logrows rows.
        proof_bytes: length of every proof.
        key_digest: what transcripts begin with, 32 bytes.
        negated_s_g2: minus the SRS's second G2 point.
        limits: what one run may use.
        run: runs it on a machine.
    """

    num_instances: int
    logrows: int
    proof_bytes: int
    key_digest: bytes
    negated_s_g2: G2Point
    limits: MachineLimits
    run: Callable[[Machine], None]

    def check(self, instances: list[int], proof: bytes, weight_points: tuple[bytes, ...]) -> None:
        """Verify a proof.

        Args:
            instances: canonical scalars, `num_instances` of them.
            proof: `proof_bytes` bytes.
            weight_points: the points with which the proof begins; compared by the caller.

        Raises:
            InvalidProofError: the artifact refuses the proof.
            MalformedCommitmentError: the artifact does something that no honest one does.
        """
        if len(instances) != self.num_instances or not all(0 <= x < SCALAR_MODULUS for x in instances):
            raise _fail(f"takes {self.num_instances} canonical instances")
        if len(proof) != self.proof_bytes:
            raise MalformedProofError(
                f"the proof has {counted(len(proof), 'byte')} where {self.proof_bytes:,} are needed"
            )
        record = CurveRecord()
        words = b"".join(x.to_bytes(WORD, "big") for x in instances)
        transcript = KeccakTranscript(self.key_digest, words, proof)
        if not self._accepts(words, proof, transcript, record):
            raise InvalidProofError(
                "the proof does not show this statement: the inputs, outputs, context or weights are not those that "
                "were proven, or the proof was altered"
            )
        self._check_run(record, transcript, proof, weight_points)
        rerun = CurveRecord(results=record.results, verdict=False)
        if self._accepts(words, proof, KeccakTranscript(self.key_digest, words, proof), rerun):
            raise _fail("accepts whatever the pairing check says")

    def _accepts(self, instances: bytes, proof: bytes, transcript: KeccakTranscript, record: CurveRecord) -> bool:
        machine = Machine(instances, proof, transcript, record, self.limits)
        try:
            self.run(machine)
        except Reverted:
            return False
        except Returned as returned:
            return returned.data == _TRUE
        return False

    def _check_run(
        self, record: CurveRecord, transcript: KeccakTranscript, proof: bytes, weight_points: tuple[bytes, ...]
    ) -> None:
        if len(record.pairings) != 1:
            raise _fail("accepts without a pairing check")
        opening = _point(proof[-POINT_BYTES:])
        expected = ((record.pairings[0].last_sum, G2_GENERATOR), (opening, self.negated_s_g2))
        if record.pairings[0].pairs != expected:
            raise _fail("its pairing check is not that of a KZG opening")
        if len(transcript.unabsorbed) > POINT_BYTES:
            raise _fail(f"{len(transcript.unabsorbed):,} bytes of the proof are in no challenge")
        if not record.operands.issuperset(map(_point, weight_points)):
            raise _fail("the commitment to the weights takes no part in the check")


def _point(data: bytes) -> G1Point:
    return int.from_bytes(data[:WORD], "big"), int.from_bytes(data[WORD:POINT_BYTES], "big")


def _check_domain(word: Callable[[str], int]) -> int:
    """The number of row bits, once the domain's constants are found to be consistent."""
    logrows, omega, inverse = word("K_MPTR"), word("OMEGA_MPTR"), word("OMEGA_INV_MPTR")
    if not 1 <= logrows <= MAX_LOGROWS:
        raise _fail(f"2**{logrows} rows are not a domain of BN254")
    if pow(omega, 1 << (logrows - 1), SCALAR_MODULUS) != SCALAR_MODULUS - 1:
        raise _fail("its omega does not generate its domain")
    if (
        omega * inverse % SCALAR_MODULUS != 1
        or (word("N_INV_MPTR") << logrows) % SCALAR_MODULUS != 1
        or word("OMEGA_INV_TO_L_MPTR") != pow(inverse, _BLINDED_ROWS, SCALAR_MODULUS)
    ):
        raise _fail("the constants of its domain contradict each other")
    return logrows


def _g2(word: Callable[[str], int], prefix: str) -> G2Point:
    x_1, x_2, y_1, y_2 = (word(f"{prefix}_{part}_MPTR") for part in ("X_1", "X_2", "Y_1", "Y_2"))
    return x_1, x_2, y_1, y_2


def _limits(contract: YulContract, num_instances: int, proof_bytes: int) -> MachineLimits:
    """Several times what ezkl's verifiers need: their loops run over instances, proof words and key words."""
    words = num_instances + proof_bytes // WORD
    return MachineLimits(
        steps=10_000 + 8 * contract.size + 400 * words,
        memory=4096 + 4 * (WORD * words + contract.size),
        curve_operations=64 + 2 * words + contract.size // 64,
    )


@lru_cache(maxsize=4)
def load(source: bytes) -> EvmVerifier:
    """Read an artifact and check what can be checked without a proof.

    Args:
        source: the Solidity file that ezkl's `create_evm_verifier` writes.

    Raises:
        MalformedCommitmentError: it is not one, or it contradicts itself.
    """
    contract = parse(source)
    constants: Mapping[str, int] = contract.constants
    words = _key_words(contract)

    def word(name: str) -> int:
        address = constants.get(name, -1)
        if address not in words:
            raise _fail(f"has no {name}")
        return words[address]

    if constants.get("R") != SCALAR_MODULUS or constants.get("DELTA") != _DELTA:
        raise _fail("is not written for BN254")
    logrows = _check_domain(word)
    if word("HAS_ACCUMULATOR_MPTR") != 0:
        raise _fail("expects an accumulator; only plain proofs are accepted")
    if (word("G1_X_MPTR"), word("G1_Y_MPTR")) != GENERATOR or _g2(word, "G2") != G2_GENERATOR:
        raise _fail("its generators are not those of BN254")
    negated_s_g2 = _g2(word, "NEG_S_G2")
    if not is_canonical_g2(negated_s_g2):
        raise _fail("its SRS point is not in G2")
    num_instances, proof_bytes = word("NUM_INSTANCES_MPTR"), _proof_length(contract)
    if num_instances >= 1 << logrows:
        raise _fail(f"{num_instances} instances do not fit 2**{logrows} rows")
    if proof_bytes % WORD or not POINT_BYTES <= proof_bytes <= len(source):
        raise _fail(f"a proof of {counted(proof_bytes, 'byte')} is impossible")
    limits = _limits(contract, num_instances, proof_bytes)
    key_digest = word("VK_DIGEST_MPTR").to_bytes(WORD, "big")
    return EvmVerifier(num_instances, logrows, proof_bytes, key_digest, negated_s_g2, limits, translate(contract))
