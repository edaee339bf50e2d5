"""A model owner and a customer who share only files, and a second process that verifies.

    python examples/diagnosis_from_files.py

A clinic asks a provider's model whether a tumour is malignant, and keeps the proof with the patient's record. An
auditor checks the record later, on another machine, with the base install of zkinfer.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import zkinfer as zk

MODEL = Path(__file__).parent.parent / "circuits" / "breast-cancer"


def provider_publishes(private: Path, published: Path) -> None:
    """Once for each model: circuit file and keys stay private, the commitment is published."""
    circuit = zk.compile(MODEL / "model.onnx", np.load(MODEL / "calibration.npy"))
    circuit.save(private / "model.zkcircuit")
    keys = zk.setup(circuit, folder=private / "keys")
    keys.commitment.save(published / "model.zkc")
    print(f"provider: published {keys.commitment.fingerprint}")


def provider_answers(private: Path, record: Path) -> None:
    """Once for each request: the answer is in the proof."""
    keys = zk.Keys.load(private / "keys")
    proof = zk.prove(keys, np.load(record / "measurements.npy"), context=(record / "request.txt").read_bytes())
    proof.save(record / "proof.zkp")
    print(f"provider: answered; the keys can make {keys.proofs_left} more proofs")


def clinic_asks(record: Path, patient: int) -> None:
    """30 measurements of one patient, each in its published unit, and a request number."""
    np.save(record / "measurements.npy", np.load(MODEL / "held-out.npy")[patient : patient + 1])
    (record / "request.txt").write_text("clinic 12, case 4711")


def auditor_checks(published: Path, record: Path) -> bool:
    """In a process of its own, with the command of the base install."""
    command = ["verify", record / "proof.zkp", published / "model.zkc", "--inputs", record / "measurements.npy"]
    arguments = [*map(str, command), "--context", f"@{record / 'request.txt'}"]
    done = subprocess.run([sys.executable, "-m", "zkinfer", *arguments], capture_output=True, text=True, check=False)
    print(f"auditor: {(done.stdout or done.stderr).strip()}")
    return done.returncode == 0


def main() -> None:
    classes = json.loads((MODEL / "card.json").read_text())["classes"]
    with tempfile.TemporaryDirectory() as folder:
        private, published, record = (Path(folder) / name for name in ("private", "published", "record"))
        for place in (private, published, record):
            place.mkdir()
        provider_publishes(private, published)
        clinic_asks(record, patient=0)
        provider_answers(private, record)
        assert auditor_checks(published, record)
        print(f"clinic: {classes[zk.Proof.load(record / 'proof.zkp').outputs.argmax()]}, as the auditor confirmed")

        # Afterwards somebody changes one measurement in the record.
        measurements = np.load(record / "measurements.npy")
        measurements[0, 0] += 1
        np.save(record / "measurements.npy", measurements)
        assert not auditor_checks(published, record)


if __name__ == "__main__":
    main()
