"""What a successful verification says, and what it does not."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zkinfer.notebook import card
from zkinfer.typing import FloatArray

Revealed = FloatArray | tuple[FloatArray | None, ...] | None
"""Real numbers: one array, or None where the proof hides it; a tuple of these for a model with several tensors."""


@dataclass(frozen=True, eq=False)
class VerifiedInference:
    """The published model maps these inputs to these outputs.

    Attributes:
        outputs: float64 of shape (samples, ...), exactly what was proven, None where the proof hides it; a tuple of
            these for a model with several outputs.
        inputs: float64 of shape (samples, ...), the inputs on the circuit's grid: what was proven, which rounding may
            have moved from what was handed in. None where the proof hides it; a tuple for a model with several inputs.
        input_commitments, output_commitments: for each input or output the 32 bytes of the commitment that it is hidden
            behind, and None where it is public. Inputs that are hidden together have one commitment.
        runs: how often the circuit was run; samples are runs times its batch. Where all inputs are hidden, nobody but
            the prover has chosen this number.
        fingerprint: the commitment's, to compare with what the model's owner publishes.
        program_digest: names the integer program, 32 bytes in hexadecimal.
        context: the bytes that the proof is bound to.
        engine: which verifier said so.
        test_only: the structured reference string was generated locally, so whoever did it can forge: good for
            tests, worth nothing as evidence.
        security_bits: whoever forges a proof does work of about 2**security_bits.
        weights_in_bounds: whether the published commitment proves that all weights lie within the bounds that its
            program says. The outputs are then those of the program in exact integers, whoever the owner is. If it does
            not, as with ezkl, they are those of the program over the backend's field, with weights that are some fixed
            elements of it: the same function of the inputs in every proof, and nothing shows that it is the one in
            exact integers.
        public: what the proof shows, in words.
        zero_knowledge: what it hides, and to whom, in words.
        security: what the soundness rests on, in words.
        seconds: how long verifying took.
        clipped: how many values of public inputs lay outside the circuit's bounds, and became the nearest bound, since
            the caller asked for `saturate`. What is proven is about `inputs`, with these values clipped. Of hidden
            inputs only the prover knows.
    """

    outputs: Revealed
    inputs: Revealed
    input_commitments: tuple[bytes | None, ...]
    output_commitments: tuple[bytes | None, ...]
    runs: int
    fingerprint: str
    program_digest: str
    context: bytes
    engine: str
    test_only: bool
    security_bits: float
    weights_in_bounds: bool
    public: str
    zero_knowledge: str
    security: str
    seconds: float
    clipped: int = 0

    @property
    def clipped_text(self) -> str:
        """How many values of the public inputs were clipped, such as "3 of 64 values clipped"; empty if none was."""
        arrays = self.inputs if isinstance(self.inputs, tuple) else (self.inputs,)
        values = sum(array.size for array in arrays if array is not None)
        return f"{self.clipped:,} of {values:,} values clipped" if self.clipped else ""

    def _repr_html_(self) -> str:
        """For notebooks: what was shown, of which model, and what that is worth."""
        arrays = self.outputs if isinstance(self.outputs, tuple) else (self.outputs,)
        hidden_inputs = [root.hex() for root in self.input_commitments if root is not None]
        rows = [
            ("model", f"{self.fingerprint} (compare it with the fingerprint that the owner published)"),
            ("inferences", f"{self.runs:,} runs of the circuit" if self.runs > 1 else "1 run of the circuit"),
            ("inputs", self.clipped_text),
            ("hidden inputs", "; ".join(hidden_inputs)),
            *(
                ("output", _array_text(array, root))
                for array, root in zip(arrays, self.output_commitments, strict=True)
            ),
            ("context", repr(self.context) if self.context else ""),
            ("security", f"about {self.security_bits:.0f} bits"),
            (
                "weights",
                "within their published bounds"
                if self.weights_in_bounds
                else "nothing shows that they lie within their published bounds",
            ),
            ("checked by", f"{self.engine}, in {self.seconds:.2f} s"),
        ]
        forgeable = "WORTH NOTHING AS EVIDENCE: test-only reference string, everyone can forge."
        title = f"Proven: {in_a_sentence(self)}"
        remarks = [forgeable * self.test_only, self.public, self.zero_knowledge, self.security]
        return card("Test only" if self.test_only else title, rows, remarks)

    def __repr__(self) -> str:
        warning = "TEST ONLY, FORGEABLE (local reference string): " if self.test_only else ""
        arrays = self.outputs if isinstance(self.outputs, tuple) else (self.outputs,)
        shapes = ", ".join("hidden" if array is None else str(array.shape) for array in arrays)
        return (
            f"VerifiedInference({warning}commitment {self.fingerprint}, outputs {shapes}, engine {self.engine!r}, "
            f"{f'inputs with {self.clipped_text}, ' * bool(self.clipped)}"
            f"{self.security_bits:.0f} bits, {'' if self.weights_in_bounds else 'bounds of weights not shown, '}"
            f"{self.seconds:.2f} s)"
        )


def in_a_sentence(verified: VerifiedInference) -> str:
    """What the proof shows: "this model, on these inputs, gives these outputs", or which of them it hides."""
    clipped = f" ({verified.clipped_text})" if verified.clipped else ""
    inputs = _these("inputs", verified.input_commitments, clipped)
    return f"this model, on {inputs}, gives {_these('outputs', verified.output_commitments)}"


def _these(what: str, commitments: Sequence[bytes | None], remark: str = "") -> str:
    """Those that the caller sees, and those that are hidden."""
    hidden = sum(root is not None for root in commitments)
    if hidden and hidden == len(commitments):
        return f"{what} that the proof hides"
    return f"these {what}{remark}{' and others that the proof hides' * bool(hidden)}"


def _array_text(array: FloatArray | None, root: bytes | None) -> str:
    """An output in one line, shortened where it is long."""
    if array is None:
        return f"hidden behind {'' if root is None else root.hex()}"
    return f"{array.shape}: {' '.join(np.array2string(array, precision=6, threshold=16).split())}"


def in_words(hiding: str, inputs: Sequence[bytes | None], outputs: Sequence[bytes | None]) -> tuple[str, str]:
    """What a proof shows and what it hides, given the commitments to its hidden inputs and outputs."""
    shown = ["the program (architecture, number formats, lookup tables)", "the number of runs", "the context"]
    hidden = []
    for what, commitments in (("inputs", inputs), ("outputs", outputs)):
        if not all(commitments):
            shown.append(f"the {what}" if not any(commitments) else f"some of the {what}")
        if any(commitments):
            hidden.append(f"the {what}" if all(commitments) else f"some of the {what}")
    return f"shown: {', '.join(shown)}", f"hidden: {', '.join([*hidden, hiding])}"
