"""From a torch module to a checked proof: train a digit classifier, prove one answer, verify it.

python examples/digits_from_torch.py
"""

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

import zkinfer as zk
from zkinfer.errors import VerificationError
from zkinfer.verifier import verify


def train(inputs: np.ndarray, labels: np.ndarray) -> nn.Module:
    """A small perceptron."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    x, y = torch.from_numpy(inputs), torch.from_numpy(labels)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model


def main() -> None:
    pixels, labels = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split((pixels / 16).astype(np.float32), labels, random_state=0)
    model = train(x_train, y_train)

    # The provider: float model, integer circuit, keys. The commitment is what it publishes.
    circuit = zk.compile(zk.export(model, x_train[:1]), x_train[:100])
    accuracy = (circuit.run(x_test).argmax(axis=1) == y_test).mean()
    print(f"the circuit classifies {accuracy:.1%} of {len(y_test)} unseen digits as labelled")
    keys = zk.setup(circuit)
    print(f"commitment {keys.commitment.fingerprint}")

    # A customer asks, with a number that nobody used before, and gets an answer with a proof.
    x, request = x_test[:1], b"request 1"
    proof = zk.prove(keys, x, context=request)

    # The customer, or anyone whom it shows the proof to.
    result = verify(proof, keys.commitment, inputs=x, context=request)
    print(f"proven: this is a {result.outputs.argmax()} (labelled {y_test[0]})")

    try:
        verify(proof, keys.commitment, inputs=x_test[1:2], context=request)
    except VerificationError as refusal:
        print(f"for another digit, the same proof is refused: {refusal}")


if __name__ == "__main__":
    main()
