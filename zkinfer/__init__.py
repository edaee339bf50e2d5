"""zkinfer: proofs that a published model, on this input, gave this output.

The names below load on first use, so that the verifier works where the prover's packages are not installed.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zkinfer import batch
    from zkinfer.api import estimate, prove, rotate, setup
    from zkinfer.backends.base import Keys
    from zkinfer.commitment import Commitment
    from zkinfer.commitment_audit import audit_keys, audit_weights
    from zkinfer.model import Circuit, compile  # noqa: A004
    from zkinfer.onnx.export import export
    from zkinfer.proof import Proof
    from zkinfer.replay import AuditReport, audit
    from zkinfer.rotation import Rotation
    from zkinfer.verifier.result import VerifiedInference
    from zkinfer.verifier.verify import verify

__version__ = "0.1.0"

_HOME = {
    "AuditReport": "zkinfer.replay",
    "Circuit": "zkinfer.model",
    "Commitment": "zkinfer.commitment",
    "Keys": "zkinfer.backends.base",
    "Precision": "zkinfer.quantize.precision",
    "Proof": "zkinfer.proof",
    "Rotation": "zkinfer.rotation",
    "VerifiedInference": "zkinfer.verifier",
    "audit": "zkinfer.replay",
    "audit_keys": "zkinfer.commitment_audit",
    "audit_weights": "zkinfer.commitment_audit",
    "compile": "zkinfer.model",
    "estimate": "zkinfer.api",
    "export": "zkinfer.onnx.export",
    "prove": "zkinfer.api",
    "rotate": "zkinfer.api",
    "setup": "zkinfer.api",
    "verify": "zkinfer.verifier",
}

__all__ = [
    "AuditReport",
    "Circuit",
    "Commitment",
    "Keys",
    "Precision",
    "Proof",
    "Rotation",
    "VerifiedInference",
    "audit",
    "audit_keys",
    "audit_weights",
    "batch",
    "compile",
    "estimate",
    "export",
    "prove",
    "rotate",
    "setup",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name == "batch":
        return import_module("zkinfer.batch")
    if name not in _HOME:
        raise AttributeError(f"module 'zkinfer' has no attribute {name!r}")
    try:
        return getattr(import_module(_HOME[name]), name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("zkinfer"):
            raise
        from zkinfer.errors import MissingDependencyError

        raise MissingDependencyError(
            f"zkinfer.{name} needs the package {error.name!r}: pip install 'zkinfer[prove]'"
        ) from error


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
