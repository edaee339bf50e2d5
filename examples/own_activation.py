"""An activation function that no library has: what it costs, and what more bits improve.

    python examples/own_activation.py [PICTURE.png]

An activation with any formula becomes one lookup table with a proven error, and proving it costs the same as ReLU. The
report compares the integer circuit with the float model, layer by layer, and draws it.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

import zkinfer as zk
from zkinfer.compiler.approx.build import build_table
from zkinfer.compiler.approx.functions import X, exp


class Wavelet(nn.Module):
    """x exp(-x^2 / 2): not monotone, and in no library of operators."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.exp(-0.5 * x * x)


def train(inputs: np.ndarray, labels: np.ndarray) -> nn.Module:
    """A small perceptron with the activation above."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 24), Wavelet(), nn.Linear(24, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    x_train, y_train = torch.from_numpy(inputs), torch.from_numpy(labels)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x_train), y_train).backward()
        optimizer.step()
    return model


def main() -> None:
    picture = Path(sys.argv[1] if len(sys.argv) > 1 else Path(tempfile.gettempdir()) / "own-activation.png")
    pixels, labels = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split((pixels / 16).astype(np.float32), labels, random_state=0)
    model = train(x_train, y_train)

    # A table by itself: indices are sixteenths from -8 to 8, outputs have 10 binary digits after the point.
    formats = {
        "in_frac_bits": 4,
        "index_lo": -128,
        "index_hi": 128,
        "out_frac_bits": 10,
        "out_lo": -1024,
        "out_hi": 1024,
    }
    built = build_table(X * exp(-X * X / 2), shift=0, **formats)
    entries = len(built.table.values)
    print(f"{built.table.name}: {entries} entries, error at most {built.max_error:.3g}, proven: {built.proven}")

    # The model at three precisions: nothing is proven yet, so choosing is cheap.
    exported = zk.export(model, x_train[:1])
    for bits in (4, 6, 8):
        circuit = zk.compile(exported, x_train[:200], activation_bits=bits, weight_bits=bits, max_table_entries=2032)
        report, cost = circuit.report(x_test, y_test), zk.estimate(circuit)
        print(
            f"{bits} bits: {report.accuracy_fixed:.1%} right (float {report.accuracy_float:.1%}), "
            f"proving one takes about {cost.prove_seconds:.2f} s, the proof {cost.proof_bytes / 1e3:.0f} kB"
        )
    print(report)
    report.plot(picture)
    print(f"drawn in {picture}")


if __name__ == "__main__":
    main()
