"""Linear models, support vector machines and preprocessing: the same answers as onnxruntime's own operators."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.linear_model import ElasticNet, LinearRegression, LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer, RobustScaler, StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC, OneClassSVM
from support.model_comparison import compare

from zkinfer.compiler.calibration.float_model import FloatModel
from zkinfer.compiler.lowering.precision import Precision
from zkinfer.compiler.onnx.load import load_model
from zkinfer.errors import UnsupportedOperatorError

FINE = Precision(activation_bits=16, weight_bits=16, max_table_entries=1 << 16)


def data(load: Any) -> tuple[np.ndarray, np.ndarray]:
    """Standardized features as float32, and targets."""
    x, y = load(return_X_y=True)
    return StandardScaler().fit_transform(x).astype(np.float32), y


def converted(estimator: Any, x: np.ndarray) -> onnx.ModelProto:
    """The estimator's model, with an array of probabilities rather than a list of mappings."""
    lists = hasattr(estimator, "classes_") and not isinstance(estimator, LinearSVC)
    options = {"zipmap": False} if lists else None
    return to_onnx(estimator, x[:1], options=options, target_opset={"": 18, "ai.onnx.ml": 3})


def assert_same(model: onnx.ModelProto, x: np.ndarray, *, atol: float = 1e-4) -> None:
    """The steps give what onnxruntime's operators give."""
    (name,) = (value.name for value in model.graph.input)
    reference = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {name: x})
    steps = FloatModel(load_model(model, batch=len(x))).run([x[None]])
    for value, expected in zip(model.graph.output, reference, strict=True):
        np.testing.assert_allclose(steps[value.name][0].reshape(expected.shape), expected, atol=atol)


CLASSIFIERS = [
    LogisticRegression(),
    LinearSVC(random_state=0),
    MLPClassifier((8,), max_iter=50, random_state=0),
    make_pipeline(RobustScaler(), LogisticRegression()),
    make_pipeline(PCA(4), LogisticRegression()),
    make_pipeline(Normalizer(), LogisticRegression()),
    make_pipeline(MinMaxScaler(), SVC()),
    SVC(),
    SVC(kernel="linear"),
    SVC(kernel="poly", coef0=1.0, degree=2),
    SVC(kernel="sigmoid", gamma=0.01),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("estimator", CLASSIFIERS, ids=str)
@pytest.mark.parametrize("load", [load_breast_cancer, load_wine])
class TestClassifiers:
    def test_steps(self, estimator: Any, load: Any) -> None:
        x, y = data(load)
        assert_same(converted(estimator.fit(x[::2], y[::2]), x), x[1::2])

    def test_in_integers(self, estimator: Any, load: Any) -> None:
        x, y = data(load)
        result = compare(converted(estimator.fit(x[::2], y[::2]), x), x[1::2], precision=FINE)
        labels, expected = result.fixed[0].ravel(), result.floats[0].ravel()
        assert (labels == expected).mean() >= 0.995


@pytest.mark.parametrize(
    "estimator",
    [LinearRegression(), Ridge(), ElasticNet(0.1), SVR(), SVR(kernel="linear"), SVR(kernel="poly", degree=2)],
    ids=str,
)
def test_regressors(estimator: Any) -> None:
    x, y = data(load_diabetes)
    model = converted(estimator.fit(x[::2], y[::2]), x)
    assert_same(model, x[1::2], atol=2e-2)
    result = compare(model, x[1::2], precision=FINE)
    np.testing.assert_allclose(result.fixed[0], result.floats[0], atol=0.2)


def test_novelty() -> None:
    x, _ = data(load_wine)
    model = converted(OneClassSVM(nu=0.2).fit(x[::2]), x)
    result = compare(model, x[1::2], precision=FINE)
    assert (result.fixed[0] == result.floats[0]).mean() >= 0.98


def test_probabilities_of_support_vectors() -> None:
    """Onnxruntime's iteration ends 0.0025 before its limit, at most."""
    x, y = data(load_breast_cancer)
    model = node("SVMClassifier", **two_class_attributes(x, y), prob_a=[-2.0], prob_b=[0.25])
    assert_same(model, x[1::2], atol=5e-3)


def two_class_attributes(x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """Attributes of a fitted machine for two classes."""
    proto = to_onnx(SVC(C=0.1).fit(x[::2], y[::2]), x[:1], options={"zipmap": False})
    found = next(node for node in proto.graph.node if node.op_type == "SVMClassifier")
    return {a.name: helper.get_attribute_value(a) for a in found.attribute}


def node(op_type: str, *, features: int = 30, outputs: int = 2, **attributes: Any) -> onnx.ModelProto:
    """A model of one operator of the domain; with a label where it is a classifier."""
    names = ["label", "y"] if op_type.endswith("Classifier") else ["y"]
    strings = "classlabels_strings" in attributes
    types = {"label": TensorProto.STRING if strings else TensorProto.INT64, "y": TensorProto.FLOAT}
    graph = helper.make_graph(
        [helper.make_node(op_type, ["x"], names, domain="ai.onnx.ml", **attributes)],
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, features])],
        [helper.make_tensor_value_info(name, types[name], None) for name in names],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def samples(features: int = 30) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (64, features)).astype(np.float32)


@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC"])
def test_one_score_for_two_classes(transform: str) -> None:
    model = node(
        "LinearClassifier", features=3, coefficients=[0.5, -1.0, 0.25], intercepts=[0.1], classlabels_ints=[4, 9],
        post_transform=transform,
    )  # fmt: skip
    assert_same(model, samples(3))


@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC", "SOFTMAX"])
def test_a_score_for_each_class(transform: str) -> None:
    coefficients = list(np.linspace(-1, 1, 9))
    model = node(
        "LinearClassifier", features=3, coefficients=coefficients, intercepts=[0.1, 0.0, -0.1],
        classlabels_ints=[7, 5, 6], post_transform=transform,
    )  # fmt: skip
    assert_same(model, samples(3))


@pytest.mark.parametrize("norm", ["L1", "L2"])
def test_norms(norm: str) -> None:
    model = node("Normalizer", features=5, norm=norm)
    x = samples(5) + 2
    assert_same(model, x)
    result = compare(model, x, precision=FINE)
    np.testing.assert_allclose(result.fixed[0], result.floats[0], atol=1e-3)


@pytest.mark.parametrize(
    "attributes", [{"offset": [0.5, 1.0, 2.0], "scale": [2.0, 0.5, 4.0]}, {"offset": [0.5], "scale": [2.0]}]
)
def test_scaler(attributes: dict[str, Any]) -> None:
    assert_same(node("Scaler", features=3, **attributes), samples(3))


def test_numbers_are_not_missing() -> None:
    assert_same(
        node("Imputer", features=3, imputed_value_floats=[9.0] * 3, replaced_value_float=float("nan")), samples(3)
    )


def test_a_pipeline_that_fills_in_missing_values() -> None:
    x, y = data(load_wine)
    estimator = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()).fit(x[::2], y[::2])
    result = compare(converted(estimator, x), x[1::2], precision=FINE)
    assert (result.fixed[0] == result.floats[0]).all()


@pytest.mark.parametrize(
    ("op_type", "attributes", "hint"),
    [
        ("Normalizer", {"norm": "MAX"}, "supported are the norms L1 and L2"),
        ("Imputer", {"imputed_value_floats": [1.0] * 30, "replaced_value_float": -1.0}, "supported is NaN as the mark"),
        ("LinearRegressor", {"coefficients": [1.0] * 30, "post_transform": "PROBIT"}, "supported is post_transform"),
        (
            "LinearClassifier",
            {"coefficients": [1.0] * 30, "intercepts": [0.0], "classlabels_strings": ["a", "b"]},
            "integer labels where the label is read",
        ),
    ],
)
def test_other_forms_are_refused(op_type: str, attributes: dict[str, Any], hint: str) -> None:
    with pytest.raises(UnsupportedOperatorError, match=hint):
        compare(node(op_type, **attributes), samples())
