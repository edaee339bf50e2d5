"""What fixed point costs in accuracy: trained models on scikit-learn's real data, in float and as circuits.

    python benchmarks/accuracy.py [PATTERN ...] [--markdown FILE]

A second table has the reference models compiled for targets. Names or shell patterns of cases, such as `wine-*`, narrow
the run down. The exit status is 1 if a case loses more than half a point.
"""

import argparse
import fnmatch
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from measure import markdown_table, provenance
from onnx import TensorProto, helper, numpy_helper
from rich.console import Console
from rich.table import Table
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler

import zkinfer as zk
from zkinfer.compiler.lowering.precision import EZKL, NATIVE
from zkinfer.typing import Array

SEED = 0
FOLDS = 5
LIMIT = 0.5
"""Points of accuracy, or hundredths of R^2, that a case may lose."""

CALIBRATION_SAMPLES = 128
CIRCUITS = Path(__file__).parent.parent / "circuits"
REFERENCE_MODELS = ("digits-mlp", "digits-gelu", "digits-cnn", "breast-cancer")
SETTINGS = {"native": NATIVE, "ezkl": EZKL}

HEADER = ("case", "samples", "figure", "float", *(h for name in SETTINGS for h in (name, "lost")))

TARGETS = (
    ("digits-mlp", "cosine>=0.999"),
    ("digits-cnn", "cosine>=0.999"),
    ("digits-cnn", "top1>=1"),
    ("breast-cancer", "max_error<=0.01"),
)
TUNED_HEADER = ("model and target", "cells before", "after", "reached", "held out: float", "tuned", "circuits tried")

Layers = Sequence[tuple[Array, Array]]


@dataclass(frozen=True)
class Score:
    """One case, all samples that were held out of training counted once.

    Attributes:
        case: data set and model.
        samples: how many were held out, over all folds.
        figure: "accuracy" or "R^2".
        in_float: in onnxruntime, 0 to 1.
        in_fixed: as circuits, by the name of the setting.
    """

    case: str
    samples: int
    figure: str
    in_float: float
    in_fixed: dict[str, float]

    def lost(self, setting: str) -> float:
        """Points lost: hundredths of the figure; negative where the circuit is better."""
        return 100 * (self.in_float - self.in_fixed[setting])

    def row(self) -> list[str]:
        """The figures as text, as in `HEADER`."""
        cells = [self.case, str(self.samples), self.figure, f"{100 * self.in_float:.2f}"]
        for setting, value in self.in_fixed.items():
            cells += [f"{100 * value:.2f}", f"{self.lost(setting):+.2f}"]
        return cells


def as_onnx(layers: Layers, activation: str) -> onnx.ModelProto:
    """A perceptron as ONNX: Gemm after Gemm, with an activation between.

    Args:
        layers: weights (inputs, outputs) and biases (outputs,) of each.
        activation: operator between layers.
    """
    nodes, constants, value = [], [], "x"
    for number, (weights, biases) in enumerate(layers):
        last = number == len(layers) - 1
        result = "y" if last else f"hidden{number}"
        constants += [
            numpy_helper.from_array(weights.astype(np.float32), f"weights{number}"),
            numpy_helper.from_array(biases.astype(np.float32), f"biases{number}"),
        ]
        nodes.append(helper.make_node("Gemm", [value, f"weights{number}", f"biases{number}"], [result]))
        value = result
        if not last:
            value = f"active{number}"
            nodes.append(helper.make_node(activation, [result], [value]))
    inputs, outputs = layers[0][0].shape[0], layers[-1][0].shape[1]
    graph = helper.make_graph(
        nodes,
        "perceptron",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", inputs])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", outputs])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def linear_classifier(x: Array, y: Array) -> onnx.ModelProto:
    """Logistic regression; the scores of two classes are zero and the decision function."""
    fitted = LogisticRegression(max_iter=2000, random_state=SEED).fit(x, y)
    weights, biases = fitted.coef_.T, fitted.intercept_
    if weights.shape[1] == 1:
        weights, biases = np.hstack([0 * weights, weights]), np.array([0.0, biases[0]])
    return as_onnx([(weights, biases)], "Identity")


def perceptron_classifier(activation: str, operator: str) -> Callable[[Array, Array], onnx.ModelProto]:
    """A hidden layer of 32."""

    def train(x: Array, y: Array) -> onnx.ModelProto:
        fitted = MLPClassifier(
            hidden_layer_sizes=(32,), activation=activation, max_iter=400, random_state=SEED, alpha=1e-2
        ).fit(x, y)
        layers = list(zip(fitted.coefs_, fitted.intercepts_, strict=True))
        weights, biases = layers[-1]
        if weights.shape[1] == 1:
            layers[-1] = np.hstack([0 * weights, weights]), np.array([0.0, biases[0]])
        return as_onnx(layers, operator)

    return train


def linear_regression(x: Array, y: Array) -> onnx.ModelProto:
    """Ridge regression."""
    fitted = Ridge().fit(x, y)
    return as_onnx([(fitted.coef_.reshape(-1, 1), np.atleast_1d(fitted.intercept_))], "Identity")


def perceptron_regression(x: Array, y: Array) -> onnx.ModelProto:
    """Two hidden layers of 32."""
    fitted = MLPRegressor(
        hidden_layer_sizes=(32, 32), max_iter=800, random_state=SEED, alpha=1e-1, early_stopping=True
    ).fit(x, y)
    return as_onnx(list(zip(fitted.coefs_, fitted.intercepts_, strict=True)), "Relu")


DATA: dict[str, Callable[..., Any]] = {
    "wine": load_wine,
    "breast-cancer": load_breast_cancer,
    "diabetes": load_diabetes,
    "digits": load_digits,
}
CLASSIFIERS = {
    "linear": linear_classifier,
    "relu": perceptron_classifier("relu", "Relu"),
    "tanh": perceptron_classifier("tanh", "Tanh"),
}
REGRESSIONS = {"linear": linear_regression, "relu": perceptron_regression}


def forest(x: Array, y: Array) -> onnx.ModelProto:
    """A random forest of 50 trees, as skl2onnx writes it; its first output is the class."""
    return to_onnx(RandomForestClassifier(50, random_state=SEED).fit(x, y), x[:1], options={"zipmap": False})


def boosted_classifier(x: Array, y: Array) -> onnx.ModelProto:
    """Boosted trees, 50 rounds; the first output is the class."""
    fitted = GradientBoostingClassifier(n_estimators=50, random_state=SEED).fit(x, y)
    return to_onnx(fitted, x[:1], options={"zipmap": False})


def boosted_regression(x: Array, y: Array) -> onnx.ModelProto:
    """Boosted trees, 50 rounds."""
    return to_onnx(GradientBoostingRegressor(n_estimators=50, random_state=SEED).fit(x, y), x[:1])


TREES: dict[str, dict[str, Callable[[Array, Array], onnx.ModelProto]]] = {
    "wine": {"forest": forest, "boosting": boosted_classifier},
    "breast-cancer": {"forest": forest, "boosting": boosted_classifier},
    "diabetes": {"boosting": boosted_regression},
}


def cross_validated(data: str, model: str, *, trees: bool = False) -> Score:
    """Train and compile in each fold, and score what all folds hold out.

    Pixels are divided by 16; all other features, and what a regression is of, are standardized. Trees have the features
    as they are.
    """
    x, y = DATA[data](return_X_y=True)
    regression = data == "diabetes"
    if regression:
        y = (y - y.mean()) / y.std()
    folds = (KFold if regression else StratifiedKFold)(FOLDS, shuffle=True, random_state=SEED)
    train = (TREES[data] if trees else REGRESSIONS if regression else CLASSIFIERS)[model]
    truth: list[Array] = []
    answers: dict[str, list[Array]] = {name: [] for name in ("float", *SETTINGS)}
    for trained, held_out in folds.split(x, y):
        scaled = x if trees else x / 16 if data == "digits" else StandardScaler().fit(x[trained]).transform(x)
        inputs = scaled.astype(np.float32)
        network = train(inputs[trained], y[trained])
        truth.append(y[held_out])
        for name, outputs in run(network, inputs[trained][:CALIBRATION_SAMPLES], inputs[held_out]).items():
            classes = outputs.ndim > 1 and not regression
            answers[name].append(outputs.argmax(axis=1) if classes else outputs.reshape(len(outputs)))
    score = r2_score if regression else accuracy_score
    scores = {name: float(score(np.concatenate(truth), np.concatenate(each))) for name, each in answers.items()}
    in_float = scores.pop("float")
    return Score(f"{data}-{model}", len(y), "R^2" if regression else "accuracy", in_float, scores)


def run(model: onnx.ModelProto, calibration: Array, x: Array) -> dict[str, Array]:
    """Outputs in float, and as a circuit at every setting; inputs beyond the calibrated range saturate."""
    outputs: dict[str, Array] = {"float": float_outputs(model, x)}
    for name, precision in SETTINGS.items():
        result = zk.compile(model, calibration, precision=precision).run(x, saturate=True)
        outputs[name] = result[0] if isinstance(result, tuple) else result
    return outputs


def float_outputs(model: onnx.ModelProto, x: Array) -> Array:
    """The model in onnxruntime."""
    from runtime import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    outputs: Array = session.run(None, {session.get_inputs()[0].name: x})[0]
    return outputs


def reference(name: str) -> Score:
    """One of the models in `circuits/`, on the samples held out there."""
    model, calibration, x, labels = reference_files(name)
    outputs = run(model, calibration, x)
    scores = {setting: float(accuracy_score(labels, values.argmax(axis=1))) for setting, values in outputs.items()}
    in_float = scores.pop("float")
    return Score(f"reference-{name}", len(x), "accuracy", in_float, scores)


def reference_files(name: str) -> tuple[onnx.ModelProto, Array, Array, Array]:
    """A model in `circuits/`, its calibration data, and the samples and labels held out."""
    parts = ("calibration", "held-out", "held-out-labels")
    arrays = (np.load(CIRCUITS / name / f"{part}.npy", allow_pickle=False) for part in parts)
    return onnx.load(CIRCUITS / name / "model.onnx"), *arrays


def tuned(name: str, target: str) -> list[str]:
    """A reference model compiled for a target, as a row under `TUNED_HEADER`."""
    model, calibration, x, labels = reference_files(name)
    circuit = zk.compile(model, calibration, target=target)
    trade, report = circuit.tuning, circuit.report(x, labels)
    assert trade is not None
    return [
        f"{name}, {target}",
        f"{trade.cost_before:,}",
        f"{trade.cost_after:,}",
        trade.after,
        *(f"{100 * (share or 0):.2f}" for share in (report.accuracy_float, report.accuracy_fixed)),
        str(trade.circuits),
    ]


def cases() -> dict[str, Callable[[], Score]]:
    """Every case by name."""
    found: dict[str, Callable[[], Score]] = {}
    for data in DATA:
        for model in REGRESSIONS if data == "diabetes" else CLASSIFIERS:
            found[f"{data}-{model}"] = lambda data=data, model=model: cross_validated(data, model)
    for data, models in TREES.items():
        for model in models:
            found[f"{data}-{model}"] = lambda data=data, model=model: cross_validated(data, model, trees=True)
    for name in REFERENCE_MODELS:
        found[f"reference-{name}"] = lambda name=name: reference(name)
    return found


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a name matches one of the shell patterns."""
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patterns", nargs="*", default=["*"], metavar="PATTERN")
    parser.add_argument("--markdown", type=Path, help="write the table here too")
    arguments = parser.parse_args()
    scores = [score() for name, score in cases().items() if matches(name, arguments.patterns)]
    trades = [tuned(*target) for target in TARGETS if matches(f"reference-{target[0]}", arguments.patterns)]
    tables = ((HEADER, [score.row() for score in scores]), (TUNED_HEADER, trades))
    for header, rows in tables:
        table = Table()
        for name in header:
            table.add_column(name, justify="left" if name in ("case", "figure") else "right")
        for row in rows:
            table.add_row(*row)
        Console(width=140).print(table)
    if arguments.markdown:
        parts = [provenance("python benchmarks/accuracy.py") + "\n", *(markdown_table(*table) for table in tables)]
        arguments.markdown.write_text("\n".join(parts))
    return int(any(score.lost(name) > LIMIT for score in scores for name in SETTINGS))


if __name__ == "__main__":
    sys.exit(main())
