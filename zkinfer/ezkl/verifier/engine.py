"""The engine "ezkl": ezkl's own verifier, called on a proof file that is rebuilt from the caller's statement.

It needs no structured reference string: the G2 part that verification uses is in the commitment's artifact.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from zkinfer.errors import (
    InvalidProofError,
    MalformedCommitmentError,
    VerifierNotInstalledError,
    VerifierUnavailableError,
)
from zkinfer.extras import install
from zkinfer.ezkl.verifier.bn254 import BASE_MODULUS, G2_GENERATOR, GENERATOR, G2Point
from zkinfer.ezkl.verifier.kzg import coordinate_bytes, g2_bytes
from zkinfer.ezkl.verifying_key import EzklVerifyingKey
from zkinfer.files.artifact import one_line

TIMEOUT_SECONDS = 300.0
_CHILD = Path(__file__).with_name("child.py")
_OUTCOME_BYTES = 1 << 16


class _Outcome(msgspec.Struct, frozen=True):
    outcome: str
    message: str
    version: str


def smallest_srs(negated_s_g2: G2Point) -> bytes:
    """A string for two rows, with the G2 points of the real one: checking an opening reads nothing else of it."""
    x_1, x_2, y_1, y_2 = negated_s_g2
    s_g2 = (x_1, x_2, -y_1 % BASE_MODULUS, -y_2 % BASE_MODULUS)
    generator = b"".join(map(coordinate_bytes, GENERATOR))
    return (1).to_bytes(4, "little") + 4 * generator + g2_bytes(G2_GENERATOR) + g2_bytes(s_g2)


def proof_json(instances: list[int], proof: bytes) -> str:
    """ezkl's proof file, of which it reads the instances and the proof."""
    elements = [x.to_bytes(32, "little").hex() for x in instances]
    return json.dumps(
        {"protocol": None, "instances": [elements], "proof": list(proof), "hex_proof": None, "split": None}
        | {"pretty_public_inputs": None, "timestamp": None, "version": None}
    )


def _ask(folder: Path) -> _Outcome:
    """Run the child process in the folder, and read what it wrote."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EZKL")}
    environment |= {"EZKL_REPO_PATH": str(folder), "HOME": str(folder)}
    try:
        subprocess.run(
            [sys.executable, "-I", str(_CHILD), str(folder)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        with (folder / "outcome.json").open("rb") as file:
            return msgspec.json.decode(file.read(_OUTCOME_BYTES), type=_Outcome)
    except subprocess.TimeoutExpired:
        raise VerifierUnavailableError(f"ezkl did not answer within {TIMEOUT_SECONDS:.0f} s") from None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        raise VerifierUnavailableError(
            "ezkl ended without an answer (it crashed, or ran out of memory); nothing is said about the proof"
        ) from None


def check(key: EzklVerifyingKey, negated_s_g2: G2Point, instances: list[int], proof: bytes) -> None:
    """Have ezkl verify a proof.

    Args:
        key: the commitment's key.
        negated_s_g2: the artifact's SRS point.
        instances: the statement's public instances, canonical scalars.
        proof: of canonical length.

    Raises:
        InvalidProofError: ezkl refuses the proof.
        MalformedCommitmentError: ezkl cannot read the commitment's key or settings.
        VerifierUnavailableError: ezkl is not installed, is another version, crashed, or did not answer in time.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="zkinfer-verify-") as name:
            folder = Path(name)
            (folder / "proof.json").write_text(proof_json(instances, proof))
            (folder / "settings.json").write_bytes(key.settings)
            (folder / "vk").write_bytes(key.verifying_key)
            (folder / "srs").write_bytes(smallest_srs(negated_s_g2))
            answer = _ask(folder)
    except OSError as error:
        raise VerifierUnavailableError(f"cannot write the files that ezkl reads: {error.strerror or error}") from None
    if answer.outcome == "absent":
        raise VerifierNotInstalledError(
            f"ezkl is not installed here: {install('ezkl')}; or verify with engine='python', which does not need it"
        )
    if answer.version != key.ezkl_version:
        raise VerifierUnavailableError(
            f"ezkl {answer.version} is installed, the commitment needs {key.ezkl_version}; "
            "install that one, or verify with engine='python'"
        )
    if answer.outcome == "accepted":
        return
    message = one_line(RuntimeError(answer.message))
    if "[halo2]" in answer.message:
        raise InvalidProofError(f"ezkl refuses the proof: {message}")
    raise MalformedCommitmentError(f"ezkl cannot use the commitment's key: {message}")
