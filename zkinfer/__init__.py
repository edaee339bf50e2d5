"""zkinfer: proofs that a published model, on this input, gave this output.

The names below load on first use, so that the verifier works where the prover's packages are not installed.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zkinfer import jobs as batch
    from zkinfer.api import estimate, prove, rotate, setup
    from zkinfer.audit.commitment import audit_keys, audit_weights
    from zkinfer.audit.log import AuditReport, audit
    from zkinfer.backend import Keys
    from zkinfer.compiler.compile import compile  # noqa: A004
    from zkinfer.compiler.model import Circuit
    from zkinfer.compiler.onnx.export import export
    from zkinfer.files.commitment import Commitment
    from zkinfer.files.proof import Proof
    from zkinfer.files.rotation import Rotation
    from zkinfer.verifier.result import VerifiedInference
    from zkinfer.verifier.verify import verify

__version__ = "0.1.0"

_HOME = {
    "AuditReport": "zkinfer.audit.log",
    "Circuit": "zkinfer.compiler.model",
    "Commitment": "zkinfer.files.commitment",
    "Keys": "zkinfer.backend",
    "Precision": "zkinfer.compiler.lowering.precision",
    "Proof": "zkinfer.files.proof",
    "Rotation": "zkinfer.files.rotation",
    "VerifiedInference": "zkinfer.verifier",
    "audit": "zkinfer.audit.log",
    "audit_keys": "zkinfer.audit.commitment",
    "audit_weights": "zkinfer.audit.commitment",
    "compile": "zkinfer.compiler.compile",
    "estimate": "zkinfer.api",
    "export": "zkinfer.compiler.onnx.export",
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
    "jobs",
    "prove",
    "rotate",
    "setup",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name in ("batch", "jobs"):
        return import_module("zkinfer.jobs")
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
