"""The native backend: sumchecks and lookups over a hash-based commitment to the weights. No trusted setup."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zkinfer.backend import PROOF_SIZES, Backend, Check, Estimate, KeyDescription, ProofSize
from zkinfer.circuit.program import Program
from zkinfer.counts import counted
from zkinfer.extras import requiring
from zkinfer.files.commitment import Commitment
from zkinfer.files.native_key import DEFAULT_PROOFS, NativeVerifyingKey
from zkinfer.files.proof import Proof
from zkinfer.files.rotation import Rotation
from zkinfer.typing import IntArray

if TYPE_CHECKING:
    from zkinfer.native.keys import NativeKeys

PROVER = "the native prover", "prove"
"""What is missing, and the extra that installs it, where an import of the prover fails."""


class NativeBackend(Backend["NativeKeys"]):
    """See the module. The prover's modules are imported by the methods that need them."""

    name = "native"
    verifying_key = NativeVerifyingKey
    engines = ("python", "reference")
    default_proofs = DEFAULT_PROOFS
    min_bits = 128.0
    proof_sizes = PROOF_SIZES

    def setup(
        self,
        program: Program,
        weights: Sequence[IntArray],
        *,
        folder: Path | None,
        srs_path: Path | None,
        proofs: int,
        seed: bytes | None,
        proof_size: ProofSize,
    ) -> "NativeKeys":
        with requiring(*PROVER):
            from zkinfer.native.setup import setup
        return setup(program, weights, folder=folder, proofs=proofs, seed=seed, proof_size=proof_size)

    def load(self, folder: Path, *, verify_files: bool) -> "NativeKeys":
        with requiring(*PROVER):
            from zkinfer.native.keys import NativeKeys
        return NativeKeys.load(folder, verify_files=verify_files)

    def prove(
        self,
        keys: "NativeKeys",
        inputs: Sequence[IntArray],
        context: bytes,
        *,
        private_inputs: bool,
        private_outputs: bool,
    ) -> Proof:
        from zkinfer.native.memory import require_memory
        from zkinfer.native.prove import prove

        if inputs and len(inputs[0]):
            hidden = {"private_inputs": private_inputs, "private_outputs": private_outputs}
            require_memory(keys.commitment, len(inputs[0]), **hidden, proof_size=keys.proof_size)
        return prove(keys, inputs, context, private_inputs=private_inputs, private_outputs=private_outputs)

    def proof_bytes(self, keys: "NativeKeys", runs: int, *, private_inputs: bool, private_outputs: bool) -> int:
        from zkinfer.native.estimate import largest_proof

        hidden = {"private_inputs": private_inputs, "private_outputs": private_outputs}
        return largest_proof(keys.commitment, runs, **hidden, proof_size=keys.proof_size)

    def proof_parts(self, proof: Proof) -> dict[str, int]:
        from zkinfer.protocol.native_proof.encoding import decode

        found = decode(proof.data)
        parts = {
            "sumchecks and lookups": len(found.message),
            "opening of the weights": len(found.weights),
            "opening of the rest": len(found.witness),
            "proof about the pads": len(found.about_pads),
        }
        return {**parts, "roots and sizes": len(proof.data) - sum(parts.values())}

    def estimate(
        self, program: Program, weights: Sequence[IntArray], *, runs: int, proofs: int, proof_size: ProofSize
    ) -> Estimate:
        with requiring(*PROVER):
            from zkinfer.native.estimate import estimate
        return estimate(program, weights, runs=runs, proofs=proofs, proof_size=proof_size)

    def rotate(self, keys: "NativeKeys", *, folder: Path | None, seed: bytes | None) -> "NativeKeys":
        from zkinfer.native.rotate import rotate

        return rotate(keys, folder=folder, seed=seed)

    def commits_to(
        self, commitment: Commitment, weights: Sequence[IntArray], seed: bytes, srs_path: Path | None
    ) -> bool:
        with requiring(*PROVER):
            from zkinfer.native.setup import commits_to
        return commits_to(commitment, weights, seed)

    def audit_bytes(self, commitment: Commitment) -> int:
        key = commitment.key_as(NativeVerifyingKey)
        code = key.opening.code
        return (8 * key.rows + 128) * code.length + (64 << key.log_copies)

    def checker(self, commitment: Commitment, engine: str) -> Check:
        from zkinfer.verifier import native, reference
        from zkinfer.verifier.native_proof import NativeCheck

        return NativeCheck(commitment, reference.check if engine == "reference" else native.check)

    def weight_range_bits(self, commitment: Commitment, engine: str) -> float | None:
        from zkinfer.verifier import native, reference
        from zkinfer.verifier.weight_ranges import weight_range_bits

        return weight_range_bits(commitment, reference.check_ranges if engine == "reference" else native.check_ranges)

    def follow_rotation(self, old: Commitment, rotation: Rotation) -> Commitment:
        from zkinfer.verifier.rotation import check_rotation

        return check_rotation(old, rotation)

    def rotation_bits(self, commitment: Commitment) -> float:
        from zkinfer.verifier.rotation import rotation_bits

        return rotation_bits(commitment)

    def describe(self, commitment: Commitment) -> KeyDescription:
        """The committed matrix and its opening in words."""
        key = commitment.key_as(NativeVerifyingKey)
        code = key.opening.code
        rows = (
            ("root of the weights", key.root.hex()),
            (
                "matrix",
                f"{counted(key.rows, 'row')} of {counted(code.columns, 'column')} and "
                f"{counted(code.blinding, 'random symbol')}",
            ),
            ("copies", f"{1 << key.log_copies:,}, each for {counted(key.openings_a_copy, 'opening')}"),
            ("codeword", f"{code.length:,} symbols, of which each proof shows {counted(key.queries, 'column')}"),
            ("weights hidden for", f"{key.proofs:,} proofs"),
            ("weights within bounds", "verify checks a proof in this file" if commitment.range_proof else "not shown"),
        )
        return KeyDescription(rows, "a Merkle root of salted columns of random symbols")


BACKEND = NativeBackend()
