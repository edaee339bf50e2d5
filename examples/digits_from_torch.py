"""From a torch module to a checked proof: train a small CNN on handwritten digits, prove an answer, verify it.

    python examples/digits_from_torch.py

A target says how close the circuit has to be to the float model; the compiler chooses bits and tables for it.
"""

import time

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

import zkinfer as zk
from zkinfer.errors import VerificationError
from zkinfer.verifier import verify


def train(images: np.ndarray, labels: np.ndarray) -> nn.Module:
    """A convolutional network on images of shape (1, 8, 8)."""
    torch.set_num_threads(1)  # tensors this small give more threads too little work
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 10),
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model.eval()


def main() -> None:
    pixels, labels = load_digits(return_X_y=True)
    images = (pixels / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    x_train, x_test, y_train, y_test = train_test_split(images, labels, random_state=0)
    model = train(x_train, y_train)

    # The provider: float model, integer circuit, keys. The commitment is what it publishes.
    circuit = zk.compile(zk.export(model, x_train[:1]), x_train[:200], target="cosine>=0.999")
    report = circuit.report(x_test, y_test)
    print(
        f"of {len(y_test)} unseen digits right: float {report.accuracy_float:.1%}, circuit {report.accuracy_fixed:.1%}"
    )
    keys = zk.setup(circuit)
    print(f"commitment {keys.commitment.fingerprint}")

    # A customer asks, with a request number that was not used before, and gets an answer with a proof.
    x, request = x_test[:1], b"request 1"
    start = time.perf_counter()
    proof = zk.prove(keys, x, context=request)
    print(f"proven in {time.perf_counter() - start:.2f} s, {len(proof.to_bytes()) / 1e3:.0f} kB")

    # The customer, or anyone who gets the proof from the customer.
    start = time.perf_counter()
    result = verify(proof, keys.commitment, inputs=x, context=request)
    print(
        f"verified in {time.perf_counter() - start:.2f} s: this is a {result.outputs.argmax()} (labelled {y_test[0]})"
    )

    try:
        verify(proof, keys.commitment, inputs=x_test[1:2], context=request)
    except VerificationError as refusal:
        print(f"for another digit, the same proof is refused: {refusal}")


if __name__ == "__main__":
    main()
