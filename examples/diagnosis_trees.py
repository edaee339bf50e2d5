"""Boosted trees on hidden inputs: the diagnosis is proven, and the patient's measurements are not shown.

    python examples/diagnosis_trees.py

An insurer wants to know the diagnosis that a clinic's published model gives for a patient. It gets the answer with a
proof that holds only a commitment to the 30 measurements. Features, thresholds and paths of the trees stay secret as
well. No proof can show that the measurements are those of this patient: for that, the insurer has to trust the clinic.
"""

import time

import numpy as np
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.model_selection import train_test_split

import zkinfer as zk
from zkinfer.errors import VerificationError
from zkinfer.verifier import verify

STEPS = 1000
"""The steps into which the range of every feature is divided: its largest value is this number."""


def main() -> None:
    data = load_breast_cancer()
    # A hidden input has at most 20 bits. Measured in whole steps of their own range, the features are exact in fewer,
    # and the circuit decides at every node as the float model does.
    measurements = np.rint(STEPS * data.data / data.data.max(axis=0)).astype(np.float32)
    x_train, x_test, y_train, y_test = train_test_split(measurements, data.target, random_state=0)
    model = GradientBoostingClassifier(n_estimators=20, max_depth=3, random_state=0).fit(x_train, y_train)

    # The clinic: scikit-learn to ONNX (labels and probabilities as two tensors), ONNX to a circuit.
    exported = to_onnx(model, x_train[:1], options={"zipmap": False})
    circuit = zk.compile(exported, x_train)
    labels, probabilities = circuit.run(x_test, saturate=True)
    print(
        f"of {len(y_test)} unseen patients right: float {model.score(x_test, y_test):.1%}, "
        f"circuit {(labels == y_test).mean():.1%}; probabilities differ by "
        f"{np.abs(probabilities - model.predict_proba(x_test)).max():.1e} at most"
    )
    keys = zk.setup(circuit)
    x, case = x_test[:1], b"case 4711"
    start = time.perf_counter()
    proof = zk.prove(keys, x, context=case, private_inputs=True)
    print(f"proven in {time.perf_counter() - start:.2f} s, {len(proof.to_bytes()) / 1e3:.0f} kB")

    # The insurer, without the measurements.
    start = time.perf_counter()
    result = verify(proof, keys.commitment, context=case)
    label, probability = result.outputs
    print(
        f"verified in {time.perf_counter() - start:.2f} s: {data.target_names[int(label[0])]}, "
        f"with probability {probability[0].max():.3f}; measurements {result.inputs}, committed to as "
        f"{result.input_commitments[0].hex()[:16]}..."
    )

    # The clinic's letter states a diagnosis that differs from the proof's.
    try:
        verify(proof, keys.commitment, outputs=[1 - label, probability[:, ::-1]], context=case)
    except VerificationError as refusal:
        print(f"a letter with another diagnosis is refused: {refusal}")


if __name__ == "__main__":
    main()
