"""Train the reference models on scikit-learn's real data sets and write them to their folders beside this file.

    python circuits/train.py [NAME ...]

Each folder gets the exported model, calibration inputs from the training split, the whole held-out split with its
labels, and a card. Training is seeded and runs on one thread; another version of torch or another processor can
still differ in the last bits, so the files in the repository are the reference and `pin.py` describes those.
"""

import argparse
import json
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import train_test_split
from torch import nn

HERE = Path(__file__).parent
SEED = 0
HELD_OUT = 0.2
CALIBRATION_SAMPLES = 128
OPSET = 17

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """A data set, cut into what the model is trained on and what it never sees.

    `inputs` arrays are float32 of shape (samples, *one input), `labels` int64 of shape (samples,). `units`, where
    there are any, are what a raw feature is divided by, float64 of shape (features,).
    """

    source: str
    preprocessing: str
    classes: list[str]
    train_inputs: Floats
    train_labels: Labels
    held_out_inputs: Floats
    held_out_labels: Labels
    units: npt.NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Recipe:
    """How one reference model is made."""

    title: str
    data: Callable[[], Split]
    architecture: Callable[[], nn.Module]
    epochs: int
    deploy: Callable[[nn.Module, Split], nn.Module] = lambda module, split: module


def digits(shape: tuple[int, ...]) -> Split:
    """1,797 handwritten digits of 8 x 8 pixels; a pixel is 0 to 16 in the data and a sixteenth of that here."""
    pixels, labels = load_digits(return_X_y=True)
    inputs = (pixels / 16).astype(np.float32).reshape(-1, *shape)
    return cut("scikit-learn load_digits", "pixel / 16", [str(digit) for digit in range(10)], inputs, labels)


def flat_digits() -> Split:
    return digits((64,))


def digit_images() -> Split:
    return digits((1, 8, 8))


def feature_units(features: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """For each feature, the power of two nearest its standard deviation.

    A circuit's input has one fixed-point format, so its features must be of like size. Measuring each in units of
    a power of two changes no digit of the data and is part of the model's public description.
    """
    return np.exp2(np.round(np.log2(features.std(axis=0))))


def breast_cancer() -> Split:
    """569 tumours of the Wisconsin breast cancer study, 30 measurements of cell nuclei each."""
    data: Any = load_breast_cancer()
    classes = [str(name) for name in data.target_names]
    preprocessing = "each feature divided by its unit, a power of two, in units.npy"
    raw = cut("scikit-learn load_breast_cancer", preprocessing, classes, data.data, data.target)
    units = feature_units(raw.train_inputs)
    return replace(
        raw,
        units=units,
        train_inputs=(raw.train_inputs / units).astype(np.float32),
        held_out_inputs=(raw.held_out_inputs / units).astype(np.float32),
    )


def cut(source: str, preprocessing: str, classes: list[str], inputs: Any, labels: Any) -> Split:
    """A stratified split, the same every time."""
    train_x, held_x, train_y, held_y = train_test_split(
        inputs, labels.astype(np.int64), test_size=HELD_OUT, stratify=labels, random_state=SEED
    )
    return Split(source, preprocessing, classes, train_x, train_y, held_x, held_y)


def digits_mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def digits_gelu_mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 32), nn.GELU(), nn.Linear(32, 10))


def digits_cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64, 10),
    )


def breast_cancer_mlp() -> nn.Module:
    """The batch normalization has no parameters of its own: it standardizes the features while training."""
    return nn.Sequential(nn.BatchNorm1d(30, affine=False), nn.Linear(30, 16), nn.SiLU(), nn.Linear(16, 2))


def fold_standardization(module: nn.Module, data: Split) -> nn.Module:
    """The same function with the training split's mean and deviation folded into the first linear layer."""
    assert isinstance(module, nn.Sequential)
    _, first, *rest = module
    assert isinstance(first, nn.Linear)
    mean = torch.from_numpy(data.train_inputs.mean(axis=0))
    deviation = torch.from_numpy(data.train_inputs.std(axis=0))
    folded = nn.Linear(first.in_features, first.out_features)
    with torch.no_grad():
        folded.weight.copy_(first.weight / deviation)
        folded.bias.copy_(first.bias - first.weight @ (mean / deviation))
    return nn.Sequential(folded, *rest)


RECIPES = {
    "digits-mlp": Recipe("Handwritten digits, 64-32-10 perceptron with ReLU", flat_digits, digits_mlp, 60),
    "digits-gelu": Recipe("Handwritten digits, 64-32-10 perceptron with GELU", flat_digits, digits_gelu_mlp, 60),
    "digits-cnn": Recipe("Handwritten digits, two convolutions with ReLU", digit_images, digits_cnn, 60),
    "breast-cancer": Recipe(
        "Tumour classification, 30-16-2 perceptron with SiLU",
        breast_cancer,
        breast_cancer_mlp,
        40,
        fold_standardization,
    ),
}


def train(module: nn.Module, data: Split, epochs: int) -> None:
    """Fit a classifier by AdamW with a one-cycle learning rate."""
    batch, rate = 64, 3e-3
    inputs, labels = torch.from_numpy(data.train_inputs), torch.from_numpy(data.train_labels)
    steps = epochs * -(-len(inputs) // batch)
    optimizer = torch.optim.AdamW(module.parameters(), lr=rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    module.train()
    for _ in range(epochs):
        for chosen in torch.randperm(len(inputs)).split(batch):
            loss = nn.functional.cross_entropy(module(inputs[chosen]), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    module.eval()


def accuracy(module: nn.Module, inputs: Floats, labels: Labels) -> float:
    """Share of samples whose largest output is the label."""
    with torch.no_grad():
        chosen = module(torch.from_numpy(inputs)).argmax(dim=1).numpy()
    return float((chosen == labels).mean())


def export(module: nn.Module, sample: Floats, path: Path) -> None:
    """Write the ONNX file, its batch axis open."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            module,
            (torch.from_numpy(sample),),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=["input"],
            output_names=["logits"],
            dynamic_axes={"input": {0: "batch"}, "logits": {0: "batch"}},
        )


def make(name: str) -> None:
    """Train one reference model and write its folder."""
    recipe, folder = RECIPES[name], HERE / name
    folder.mkdir(exist_ok=True)
    torch.manual_seed(SEED)
    data, module = recipe.data(), recipe.architecture()
    train(module, data, recipe.epochs)
    module = recipe.deploy(module, data).eval()
    export(module, data.held_out_inputs[:1], folder / "model.onnx")
    np.save(folder / "calibration.npy", data.train_inputs[:CALIBRATION_SAMPLES])
    np.save(folder / "held-out.npy", data.held_out_inputs)
    np.save(folder / "held-out-labels.npy", data.held_out_labels)
    if data.units is not None:
        np.save(folder / "units.npy", data.units)
    card = {
        "title": recipe.title,
        "data": data.source,
        "preprocessing": data.preprocessing,
        "classes": data.classes,
        "split": {
            "how": f"stratified, {HELD_OUT:.0%} held out, random_state {SEED}",
            "train": len(data.train_labels),
            "held_out": len(data.held_out_labels),
        },
        "parameters": sum(p.numel() for p in module.parameters()),
        "accuracy": {
            "train": round(accuracy(module, data.train_inputs, data.train_labels), 4),
            "held_out": round(accuracy(module, data.held_out_inputs, data.held_out_labels), 4),
        },
        "made_by": f"circuits/train.py {name}",
        "torch": torch.__version__.split("+")[0],
    }
    (folder / "card.json").write_text(json.dumps(card, indent=2) + "\n")
    print(f"{name}: {card['accuracy']}")


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(RECIPES)}; all by default")
    names = parser.parse_args().names or list(RECIPES)
    if unknown := set(names) - set(RECIPES):
        parser.error(f"no recipe for {', '.join(sorted(unknown))}; there are {', '.join(RECIPES)}")
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for name in names:
        make(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
