"""The ezkl backend: halo2 over KZG. Small proofs of one run each, and a structured reference string to trust."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zkinfer.backend import Backend, Check, Estimate, KeyDescription, Limits, ProofSize
from zkinfer.circuit.program import Program
from zkinfer.circuit.samples import batch_of
from zkinfer.counts import counted
from zkinfer.errors import InvalidInputError, ShapeError, VerifierNotInstalledError
from zkinfer.extras import requiring
from zkinfer.ezkl.verifying_key import DEFAULT_PROOFS, EzklVerifyingKey
from zkinfer.files.commitment import Commitment
from zkinfer.files.proof import Proof
from zkinfer.typing import IntArray

if TYPE_CHECKING:
    from zkinfer.ezkl.keys import EzklKeys

PROVER = "the ezkl backend", "ezkl"
VERIFIER = "the verifier of the ezkl backend", "ezkl-verifier"
"""What is missing, and the extra that installs it, where an import fails."""

PROOF_BYTES = 1 << 17
"""More than any proof takes, but for its outputs."""

NO_SALT = "none: whoever guesses all weights can confirm the guess"


class EzklBackend(Backend["EzklKeys"]):
    """See the module. The modules of prover and verifier are imported by the methods that need them."""

    name = "ezkl"
    verifying_key = EzklVerifyingKey
    engines = ("python", "ezkl", "both")
    default_proofs = DEFAULT_PROOFS
    min_bits = 100.0  # what the curve gives: no parameters give more
    limits = Limits(runs=1, hides_values=False)
    takes_reference_string = True

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
    ) -> "EzklKeys":
        """See `zkinfer.ezkl.setup.setup`."""
        with requiring(*PROVER):
            from zkinfer.ezkl.setup import setup
        return setup(program, weights, folder=folder, srs_path=srs_path, proofs=proofs, seed=seed)

    def load(self, folder: Path, *, verify_files: bool) -> "EzklKeys":
        """See `zkinfer.ezkl.keys.EzklKeys.load`."""
        with requiring(*PROVER):
            from zkinfer.ezkl.keys import EzklKeys
        return EzklKeys.load(folder, verify_files=verify_files)

    def proof_bytes(self, keys: "EzklKeys", runs: int, *, private_inputs: bool, private_outputs: bool) -> int:
        return PROOF_BYTES + 64 * sum(tensor.size for tensor in keys.program.output_tensors)

    def prove(
        self,
        keys: "EzklKeys",
        inputs: Sequence[IntArray],
        context: bytes,
        *,
        private_inputs: bool,
        private_outputs: bool,
    ) -> Proof:
        """See `zkinfer.ezkl.prove.prove`: of one run, inputs and outputs public."""
        from zkinfer.ezkl.prove import prove

        if private_inputs or private_outputs:
            raise InvalidInputError(
                "the ezkl backend shows inputs and outputs; make keys with backend='native' to hide them"
            )
        if any(len(array) != 1 for array in inputs):
            raise ShapeError(
                f"keys of the ezkl backend prove batches of exactly {batch_of(keys.program)}; split or pad the data, "
                "compile with another batch, or make keys with backend='native'"
            )
        return prove(keys, [array[0] for array in inputs], context)

    def estimate(
        self, program: Program, weights: Sequence[IntArray], *, runs: int, proofs: int, proof_size: ProofSize
    ) -> Estimate:
        """See `zkinfer.ezkl.setup.estimate`."""
        with requiring(*PROVER):
            from zkinfer.ezkl.setup import estimate
        return estimate(program, proofs=proofs)

    def commits_to(
        self, commitment: Commitment, weights: Sequence[IntArray], seed: bytes, srs_path: Path | None
    ) -> bool:
        """See `zkinfer.ezkl.audit.commits_to`: in plain Python, without ezkl."""
        assert srs_path is not None, "the backend takes a reference string"
        with requiring(*VERIFIER):
            from zkinfer.ezkl.audit import commits_to
        return commits_to(commitment.key_as(EzklVerifyingKey), weights, seed, srs_path)

    def audit_keys(self, commitment: Commitment, srs_path: Path) -> str:
        """See `zkinfer.ezkl.audit.audit_keys`."""
        with requiring(*PROVER):
            from zkinfer.ezkl.audit import audit_keys
        return audit_keys(commitment, srs_path)

    def checker(self, commitment: Commitment, engine: str) -> Check:
        """See `zkinfer.ezkl.verifier.proof.EzklCheck`."""
        with requiring(*VERIFIER, VerifierNotInstalledError):
            from zkinfer.ezkl.verifier.proof import EzklCheck
        return EzklCheck(commitment, engine)

    def describe(self, commitment: Commitment) -> KeyDescription:
        """The reference string, the points and the keys in words."""
        key = commitment.key_as(EzklVerifyingKey)
        kind = (
            "TEST ONLY: everyone can forge proofs under it"
            if key.test_only
            else "which audit-keys compares with a file"
        )
        rows = (
            ("ezkl", f"version {key.ezkl_version}"),
            ("reference string", f"2^{key.srs.logrows} rows, {kind}"),
            ("its BLAKE3 digest", key.srs.digest.hex()),
            ("weight points", str(len(key.weight_points))),
            ("weights hidden for", f"{counted(key.salt_count - 1, 'proof')}" if key.salt_count else NO_SALT),
            ("verifying key", f"{len(key.verifying_key):,} bytes"),
            ("verifier", f"{len(key.artifact):,} bytes"),
        )
        return KeyDescription(rows, "KZG points with random salt")


BACKEND = EzklBackend()
