"""A vision transformer for handwritten digits: many answers in one proof, and a forged answer that is refused.

    python examples/digits_transformer.py

Attention, normalization and GELU need finer numbers than convolutions do: the 16 bits that circuits have by default.
"""

import time

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

import zkinfer as zk
from zkinfer.errors import VerificationError
from zkinfer.files.proof import OutputTensor
from zkinfer.verifier import verify

SERVED = 64
"""Images that one proof covers."""


class VisionTransformer(nn.Module):
    """Images of 8 x 8 pixels as four patches of 4 x 4, one encoder layer, and the mean of all positions classified."""

    def __init__(self, width: int = 32, heads: int = 4) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, width, kernel_size=4, stride=4)
        self.positions = nn.Parameter(0.1 * torch.randn(4, width))
        self.encoder = nn.TransformerEncoderLayer(
            width, heads, 2 * width, activation="gelu", batch_first=True, norm_first=True
        )
        self.head = nn.Linear(width, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2) + self.positions
        return self.head(self.encoder(tokens).mean(dim=1))


def train(images: np.ndarray, labels: np.ndarray) -> nn.Module:
    """The transformer, trained on images of shape (1, 8, 8)."""
    torch.set_num_threads(1)  # tensors this small give more threads too little work
    torch.manual_seed(0)
    model = VisionTransformer()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    for _ in range(300):
        batch = torch.randint(len(x), (64,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
        optimizer.step()
    return model.eval()


def main() -> None:
    pixels, labels = load_digits(return_X_y=True)
    images = (pixels / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    x_train, x_test, y_train, y_test = train_test_split(images, labels, random_state=0)
    model = train(x_train, y_train)

    # How far the integers are from the float model, layer by layer.
    circuit = zk.compile(zk.export(model, x_train[:1]), x_train[:200])
    report = circuit.report(x_test, y_test)
    print(report)
    print(
        f"of {len(y_test)} unseen digits right: float {report.accuracy_float:.1%}, circuit {report.accuracy_fixed:.1%}"
    )

    # One proof for many answers costs little more than one for a single answer.
    keys, x = zk.setup(circuit), x_test[:SERVED]
    start = time.perf_counter()
    proof = zk.prove(keys, x, context=b"batch 1")
    print(f"{SERVED} answers proven in {time.perf_counter() - start:.2f} s, {len(proof.to_bytes()) / 1e3:.0f} kB")

    start = time.perf_counter()
    result = verify(proof, keys.commitment, inputs=x, context=b"batch 1")
    right = (result.outputs.argmax(axis=1) == y_test[:SERVED]).sum()
    print(f"verified in {time.perf_counter() - start:.2f} s: {right} of them as labelled")

    # A provider that wants another answer for the first image writes other scores into its proof.
    claimed = proof.output_tensors[0]
    scores = claimed.integers()
    scores[0] = np.roll(scores[0], 1)
    forged = zk.Proof(proof.backend, proof.commitment_digest, (OutputTensor.of(scores, claimed.frac_bits),), proof.data)
    try:
        verify(forged, keys.commitment, inputs=x, context=b"batch 1")
    except VerificationError as refusal:
        print(f"a forged answer is refused: {refusal}")


if __name__ == "__main__":
    main()
