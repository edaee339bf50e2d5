"""Running logged answers again and comparing bit for bit: this fails for honest floats, and works for a circuit.

    python examples/audit.py

Float answers differ when an honest log is run again in another way, so a comparison shows nothing. A circuit's answers
do not differ, so an audit finds the answers that are wrong.
"""

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

import zkinfer as zk


def train(inputs: np.ndarray, labels: np.ndarray, width: int) -> nn.Module:
    """A perceptron."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    x, y = torch.from_numpy(inputs), torch.from_numpy(labels)
    for _ in range(100):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model


def in_torch(model: nn.Module, inputs: np.ndarray, batch: int, threads: int = 1) -> np.ndarray:
    """The model's float32 outputs, computed `batch` samples at a time."""
    torch.set_num_threads(threads)
    with torch.no_grad():
        return np.concatenate([model(torch.from_numpy(part)).numpy() for part in batches(inputs, batch)])


def in_onnxruntime(model: bytes, inputs: np.ndarray, batch: int) -> np.ndarray:
    """The same model's float32 outputs in another program."""
    import onnxruntime  # after zk.export, which switches off its reports to its maker

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: part})[0] for part in batches(inputs, batch)])


def batches(inputs: np.ndarray, batch: int) -> list[np.ndarray]:
    return [inputs[start : start + batch] for start in range(0, len(inputs), batch)]


def main() -> None:
    pixels, labels = load_digits(return_X_y=True)
    x_train, x_served, y_train, _ = train_test_split((pixels / 16).astype(np.float32), labels, random_state=0)
    model = train(x_train, y_train, width=64)
    exported = zk.export(model, x_train[:2])

    # Floats. The provider answers one request at a time; the auditor runs the same weights on the same inputs.
    served = in_torch(model, x_served, batch=1)
    print(f"{len(served)} honest answers in float32, served one at a time. Run again, these differ:")
    for how, again in (
        ("in torch, 64 at a time", in_torch(model, x_served, batch=64)),
        ("in torch, 64 at a time, 2 threads", in_torch(model, x_served, batch=64, threads=2)),
        ("in onnxruntime, one at a time", in_onnxruntime(exported.SerializeToString(), x_served, batch=1)),
    ):
        different = (served != again).any(axis=1).sum()
        print(f"  {different:4d}  {how} (by {np.abs(served - again).max():.1e} at most)")

    # The circuit of the same model: there is one answer, wherever and however it is computed.
    circuit = zk.compile(exported, x_train)
    log = np.concatenate([circuit.run(x, saturate=True) for x in x_served])
    report = zk.audit(circuit, x_served, log, sample=len(x_served), saturate=True)
    print(f"of {report.rerun} answers of the circuit, {len(report.differences)} differ when run again")

    # A provider that answers every twentieth request with a smaller model, and an auditor who runs some of them again.
    smaller = zk.compile(zk.export(train(x_train, y_train, width=8), x_train[:2]), x_train)
    log[::20] = smaller.run(x_served[::20], saturate=True)
    report = zk.audit(circuit, x_served, log, rate=0.05, confidence=0.999, saturate=True)
    print(
        f"an audit of {report.rerun} of {report.logged} answers finds {len(report.differences)} wrong ones; "
        f"it would have found none with probability {report.miss_probability:.1e}"
    )
    print(f"audit passed: {report.ok}")


if __name__ == "__main__":
    main()
