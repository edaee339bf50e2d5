"""What is said of a proof that holds: in words, and as data."""

from typing import TYPE_CHECKING

import numpy as np

from zkinfer.cli.results import Verified
from zkinfer.progress import duration
from zkinfer.typing import FloatArray

if TYPE_CHECKING:
    from zkinfer.verifier import VerifiedInference

TEST_ONLY = "test-only reference string: everyone can forge proofs under this commitment"
NOT_SHOWN = "not shown to be within their published bounds; with new keys the owner can publish a commitment that does"


def valid_text(verified: "VerifiedInference") -> str:
    """What a proof that holds shows, in a sentence."""
    from zkinfer.verifier.result import in_a_sentence

    return f"VALID: {in_a_sentence(verified)}"


def weights_row(in_bounds: bool) -> tuple[str, str]:
    """What is shown of the weights."""
    return "weights", "within their published bounds" if in_bounds else NOT_SHOWN


def array_text(array: FloatArray | None) -> str:
    """An array in one line, shortened where it is long."""
    if array is None:
        return "hidden"
    return " ".join(np.array2string(array, precision=6, threshold=32).split())


def output_rows(name: str, arrays: "tuple[FloatArray | None, ...]") -> list[tuple[str, str]]:
    """One row for each array: numbered from 1, where there are several."""
    return [
        (name if len(arrays) == 1 else f"{name} {number}", array_text(array))
        for number, array in enumerate(arrays, start=1)
    ]


def samples_text(verified: "VerifiedInference") -> str:
    """How many inferences were verified, and who chose that number."""
    shown = f"{verified.runs:,} runs of the circuit" if verified.runs > 1 else "1 run of the circuit"
    chosen_by_the_prover = all(verified.input_commitments)
    return f"{shown}, as the prover chose: all inputs are hidden" if chosen_by_the_prover else shown


def verified_rows(verified: "VerifiedInference") -> list[tuple[str, str]]:
    """Names and values for people."""
    return [
        ("model", f"{verified.fingerprint}  (compare it with the fingerprint that the owner published)"),
        ("inferences", samples_text(verified)),
        *([("inputs", f"{verified.clipped_text}: proven as the nearest bound")] if verified.clipped else []),
        *output_rows("output", _outputs(verified)),
        *(("hidden inputs", root.hex()) for root in verified.input_commitments if root is not None),
        *(("hidden outputs", root.hex()) for root in verified.output_commitments if root is not None),
        ("security", f"about {verified.security_bits:.0f} bits"),
        weights_row(verified.weights_in_bounds),
        ("checked by", f"{verified.engine}, in {duration(verified.seconds)}"),
    ]


def verified_result(verified: "VerifiedInference") -> Verified:
    """The same for scripts."""
    return Verified(
        fingerprint=verified.fingerprint,
        program_digest=verified.program_digest,
        runs=verified.runs,
        outputs=[None if array is None else array.tolist() for array in _outputs(verified)],
        input_commitments=[None if root is None else root.hex() for root in verified.input_commitments],
        output_commitments=[None if root is None else root.hex() for root in verified.output_commitments],
        security_bits=verified.security_bits,
        weights_in_bounds=verified.weights_in_bounds,
        test_only=verified.test_only,
        engine=verified.engine,
        seconds=verified.seconds,
        clipped=verified.clipped,
    )


def _outputs(verified: "VerifiedInference") -> tuple[FloatArray | None, ...]:
    return verified.outputs if isinstance(verified.outputs, tuple) else (verified.outputs,)
