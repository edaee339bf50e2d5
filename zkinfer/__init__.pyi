from zkinfer import batch as batch
from zkinfer import jobs as jobs
from zkinfer.api import estimate as estimate
from zkinfer.api import prove as prove
from zkinfer.api import rotate as rotate
from zkinfer.api import setup as setup
from zkinfer.audits.commitment import audit_keys as audit_keys
from zkinfer.audits.commitment import audit_weights as audit_weights
from zkinfer.audits.log import AuditReport as AuditReport
from zkinfer.audits.log import audit as audit
from zkinfer.backend import Keys as Keys
from zkinfer.compiler.compile import compile as compile  # noqa: A004 (as torch.compile)
from zkinfer.compiler.lowering.precision import Precision as Precision
from zkinfer.compiler.model import Circuit as Circuit
from zkinfer.compiler.onnx.export import export as export
from zkinfer.files.commitment import Commitment as Commitment
from zkinfer.files.proof import Proof as Proof
from zkinfer.files.rotation import Rotation as Rotation
from zkinfer.verifier.result import VerifiedInference as VerifiedInference
from zkinfer.verifier.verify import verify as verify

__version__: str
