"""What a successful verification says, and what it does not."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Engine = Literal["python", "ezkl", "both"]

PUBLIC = (
    "public: the program (architecture, number formats, lookup tables), the inputs, the outputs and the context; "
    "not shown: the weights, beyond what the commitment's points and the outputs themselves tell"
)
SECURITY = (
    "KZG over BN254: about 100 bits against the best known attacks (Kim and Barbulescu, CRYPTO 2016; "
    "Barbulescu and Duquesne, Journal of Cryptology 2019), and none against whoever knows the secret of the "
    "structured reference string. That the commitment's keys are those of its program is checked by an audit "
    "(zkinfer.audit_keys), not by each verification"
)


@dataclass(frozen=True, eq=False)
class VerifiedInference:
    """The published model maps these inputs to these outputs.

    Attributes:
        outputs: float64, exactly what was proven; a tuple of arrays for a model with several outputs.
        inputs: float64, the inputs on the circuit's grid: what was proven, which rounding may have moved from what
            was handed in; a tuple of arrays for a model with several inputs.
        fingerprint: the commitment's, to compare with what the model's owner publishes.
        program_digest: names the integer program, 32 bytes in hexadecimal.
        context: the bytes that the proof is bound to.
        engine: which verifier said so.
        test_only: the structured reference string was generated locally, so whoever did it can forge: good for
            tests, worth nothing as evidence.
        public: what the proof shows and what it hides, in words.
        security: what the soundness rests on, in words.
        seconds: how long verifying took.
    """

    outputs: FloatArray | tuple[FloatArray, ...]
    inputs: FloatArray | tuple[FloatArray, ...]
    fingerprint: str
    program_digest: str
    context: bytes
    engine: Engine
    test_only: bool
    seconds: float
    public: str = PUBLIC
    security: str = SECURITY

    def __repr__(self) -> str:
        warning = "TEST ONLY, FORGEABLE (local reference string): " if self.test_only else ""
        arrays = self.outputs if isinstance(self.outputs, tuple) else (self.outputs,)
        return (
            f"VerifiedInference({warning}commitment {self.fingerprint}, outputs {[a.shape for a in arrays]}, "
            f"engine {self.engine!r}, {self.seconds:.2f} s)"
        )
