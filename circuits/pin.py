"""Write each reference circuit's `pinned.json`: what compiling its model and committing to its weights must give.

    python circuits/pin.py [NAME ...]

The commitment is made under the test-only reference string and with a seed derived from the model's name, both
public, so that it is the same on every machine. Such a commitment hides nothing and proves nothing to anyone.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from blake3 import blake3

import zkinfer as zk

HERE = Path(__file__).parent
NAMES = ("digits-mlp", "digits-gelu", "digits-cnn", "breast-cancer")
SEED_CONTEXT = "zkinfer 2026 reference circuit seed v1"


def load(name: str, array: str) -> Any:
    """One of the arrays beside a model."""
    return np.load(HERE / name / f"{array}.npy", allow_pickle=False)


def compile_reference(name: str) -> zk.Circuit:
    """The circuit of a reference model, from its files."""
    return zk.compile(HERE / name / "model.onnx", load(name, "calibration"), precision="ezkl")


def accuracy(circuit: zk.Circuit, name: str) -> float:
    """Share of the held-out split that the circuit classifies as labelled."""
    outputs = np.asarray(circuit.run(load(name, "held-out"), saturate=True))
    return float((outputs.argmax(axis=1) == load(name, "held-out-labels")).mean())


def seed(name: str) -> bytes:
    """The public seed of a reference commitment."""
    digest: bytes = blake3(name.encode(), derive_key_context=SEED_CONTEXT).digest()
    return digest


def pin_circuit(name: str) -> dict[str, Any]:
    """What compiling must give."""
    circuit = compile_reference(name)
    return {"program_digest": circuit.digest, "held_out_accuracy": round(accuracy(circuit, name), 4)}


def pin_commitment(name: str) -> dict[str, Any]:
    """What committing must give."""
    commitment = zk.setup(compile_reference(name), backend="ezkl", seed=seed(name)).commitment
    return {
        "seed": seed(name).hex(),
        "logrows": commitment.key.srs.logrows,
        "srs_digest": commitment.key.srs.digest.hex(),
        "weight_points": [point.hex() for point in commitment.key.weight_points],
        "fingerprint": commitment.fingerprint,
    }


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(NAMES)}; all by default")
    names = parser.parse_args().names or NAMES
    if unknown := set(names) - set(NAMES):
        parser.error(f"no reference circuit {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    for name in names:
        pinned = {"circuit": pin_circuit(name), "commitment": pin_commitment(name)}
        (HERE / name / "pinned.json").write_text(json.dumps(pinned, indent=2) + "\n")
        print(f"{name}: {pinned['circuit']}, k = {pinned['commitment']['logrows']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
