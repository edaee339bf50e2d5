"""From a fitted estimator to ONNX: one of scikit-learn by skl2onnx, one of LightGBM or XGBoost by onnxmltools."""

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from zkinfer.compiler.onnx.read import rename
from zkinfer.counts import counted
from zkinfer.errors import CompileError, InvalidInputError
from zkinfer.extras import requiring
from zkinfer.typing import FloatArray

if TYPE_CHECKING:
    import onnx

OPSETS = {"": 18, "ai.onnx.ml": 3}

_ONNXMLTOOLS_OPSET = 15
"""The newest operator set that all its converters write."""

_BOOSTING = ("lightgbm", "xgboost")
"""Libraries whose estimators onnxmltools converts."""

_OTHER_LIBRARIES = (*_BOOSTING, "catboost")

_SCIKIT_LEARN = ("sklearn", "BaseEstimator")
"""The package and name of the class that estimators of scikit-learn have as a base."""

_TOLERANCE = 1e-3
"""How far a converted model may be from its estimator, of the largest number that the estimator gives."""

_MAX_DIFFERENT = 0.01
"""The share of samples beyond that: estimators compare in double precision, and ONNX models in single."""

_MAX_COMPUTED_DIFFERENT = 0.05
"""The same where features are computed: thresholds are features of samples, which rounding puts on either side."""


def is_estimator(source: Any) -> bool:
    """Whether this is an estimator of scikit-learn, or of a library whose estimators look like those.

    Nothing is imported, because its package already is if there is an estimator.
    """
    bases = _bases(source)
    return _SCIKIT_LEARN in bases or any(package in _OTHER_LIBRARIES for package, _ in bases)


def _bases(source: object) -> set[tuple[str, str]]:
    """The classes of an object, each as its package and its name."""
    return {(c.__module__.partition(".")[0], c.__name__) for c in type(source).__mro__}


def _require_fitted(estimator: Any) -> None:
    """Refuse an estimator of scikit-learn, or one that looks like those, that says it is not fitted.

    Raises:
        CompileError: it is not.
    """
    if _SCIKIT_LEARN not in _bases(estimator) or not hasattr(estimator, "fit"):
        return
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(estimator)
    except NotFittedError:
        raise CompileError(f"{type(estimator).__name__} is not fitted: call fit(...) first") from None


def convert_estimator(estimator: Any, calibration: Any) -> "onnx.ModelProto":
    """An ONNX model of a fitted estimator, its batch left open.

    Inputs are float32, in one array. A classifier has the outputs "label" and "probabilities" (or scores). Of labels
    that are texts `zk.compile` takes the scores alone, whose columns are those of `estimator.classes_`.

    Args:
        estimator: fitted.
        calibration: samples of shape (samples, features), or a list of one such array.

    Raises:
        MissingDependencyError: skl2onnx is not installed, or onnxmltools for an estimator of LightGBM or XGBoost.
        InvalidInputError: the estimator is of a library without a converter, or samples are not an array of features.
        CompileError: the converter does not know the estimator or computes something else, or it is not fitted.
    """
    _require_fitted(estimator)
    package = _package(estimator)
    samples = calibration[0] if isinstance(calibration, (list, tuple)) and len(calibration) == 1 else calibration
    x = np.asarray(samples, dtype=np.float32)
    if x.ndim != 2:
        raise InvalidInputError(f"an estimator takes samples of shape (samples, features), got {x.shape}")
    if package in _BOOSTING:
        return _boosting(package, estimator, x)
    steps: Sequence[tuple[str, Any]] = getattr(estimator, "steps", ())
    if len(steps) > 1 and _package(steps[-1][1]) in _BOOSTING:
        return _pipeline(_package(steps[-1][1]), estimator, x)
    if package in _OTHER_LIBRARIES:
        raise InvalidInputError(
            f"{type(estimator).__name__} is of {package}, which zkinfer has no converter for: write it to an ONNX file "
            "with what the library has for that, and compile the file"
        )
    return _scikit_learn(estimator, x)


def _package(estimator: object) -> str:
    """The package of an estimator: that of a base class where the estimator is of the caller's own class."""
    packages = [c.__module__.partition(".")[0] for c in type(estimator).__mro__]
    return next((package for package in packages if package in _OTHER_LIBRARIES), packages[0])


def _refused(converter: str, estimator: object, error: Exception) -> CompileError:
    """For what a converter raises, which is anything, and for what scikit-learn does where nothing is fitted."""
    cause = error.__cause__ or error  # where skl2onnx wraps an error of onnx, its own message is a long dump
    detail = (str(cause).strip() or type(cause).__name__).splitlines()[0].removesuffix(".")
    return CompileError(
        f"{converter} cannot convert {type(estimator).__name__}: {detail}; fit it if it is not fitted, or convert it "
        "in another way and compile the ONNX model that this gives"
    )


def _scikit_learn(estimator: Any, x: npt.NDArray[np.float32]) -> "onnx.ModelProto":
    with requiring("compiling an estimator", "sklearn"):
        from skl2onnx import convert_sklearn
        from skl2onnx.common.data_types import FloatTensorType

    source = copy.copy(estimator)
    if hasattr(source, "flatten_transform"):
        source.flatten_transform = False  # of what a VotingClassifier transforms, not of what it decides

    def written(options: dict[str, bool] | None) -> "onnx.ModelProto":
        proto: onnx.ModelProto = convert_sklearn(
            source,
            initial_types=[("X", FloatTensorType([None, x.shape[1]]))],
            options=None if options is None else {id(source): options},
            target_opset=OPSETS,
            custom_conversion_functions=_histogram_converters(),
        )
        return proto

    try:
        try:
            # Without a list of mappings from labels to probabilities, which is not a tensor.
            model = written({"zipmap": False})
        except NameError:  # skl2onnx's error for an estimator that does not have the option
            model = written(None)
        labels = np.asarray(getattr(estimator, "classes_", ()))
        decided = estimator.predict(x) if labels.dtype.kind in "UO" else None
    except Exception as error:
        raise _refused("skl2onnx", estimator, error) from error
    if decided is not None:
        _require_columns(model, labels, decided, x)
    return model


def _run(model: "onnx.ModelProto", output: str, x: npt.NDArray[np.float32]) -> FloatArray:
    """An output of a model that a converter wrote, a row for each sample."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run([output], {"X": x})[0], dtype=np.float64).reshape(len(x), -1)


def _require_columns(
    model: "onnx.ModelProto", labels: npt.NDArray[Any], decided: npt.NDArray[Any], x: npt.NDArray[np.float32]
) -> None:
    """Refuse scores whose columns are not those of the labels: where labels are texts, nothing else says the label.

    Raises:
        CompileError: the largest score is of another label for most samples, as for two classes of an SVC.
    """
    if len(model.graph.output) < 2:
        return
    scores = _run(model, model.graph.output[-1].name, x)
    if scores.shape[1] != len(labels) or (labels[scores.argmax(axis=1)] != decided).mean() > 0.5:
        raise CompileError(
            "the labels are texts, which no circuit gives, and skl2onnx gives no scores whose largest is that of the "
            "label; fit the estimator with integer labels, such as those of LabelEncoder"
        )


def _histogram_converters() -> dict[type, Callable[[Any, Any, Any], None]]:
    """Converters of boosted trees on histograms: skl2onnx's own, their truth values written as numbers.

    skl2onnx passes on truth values in a list of integers, which protobuf 7 refuses.
    """
    from skl2onnx.common._registration import get_converter
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    def converter(estimator: type) -> Callable[[Any, Any, Any], None]:
        convert = get_converter(f"Sklearn{estimator.__name__}")
        return lambda scope, operator, container: convert(scope, operator, _Integers(container))

    return {kind: converter(kind) for kind in (HistGradientBoostingClassifier, HistGradientBoostingRegressor)}


class _Integers:
    """A container of skl2onnx in which lists of truth values are lists of integers."""

    def __init__(self, container: Any) -> None:
        self._container = container

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def add_node(self, *arguments: Any, **attributes: Any) -> Any:
        name = "nodes_missing_value_tracks_true"
        if name in attributes:
            attributes[name] = [int(value) for value in attributes[name]]
        return self._container.add_node(*arguments, **attributes)


def _boosting(package: str, estimator: Any, x: npt.NDArray[np.float32]) -> "onnx.ModelProto":
    """An ONNX model of an estimator or booster of LightGBM or XGBoost, compared with it on the samples."""
    with requiring(f"compiling an estimator of {package}", "boosting"):
        from onnxmltools import convert_lightgbm, convert_xgboost
        from onnxmltools.convert.common.data_types import FloatTensorType
    given: dict[str, Any] = {
        "initial_types": [("X", FloatTensorType([None, x.shape[1]]))],
        "target_opset": _ONNXMLTOOLS_OPSET,
    }
    try:
        model: onnx.ModelProto = (
            convert_lightgbm(estimator, zipmap=False, **given)
            if package == "lightgbm"
            else convert_xgboost(_without_names(estimator), **given)
        )
        expected = _answers(package, estimator, x)
    except Exception as error:
        raise _refused("onnxmltools", estimator, error) from error
    _compare(model, estimator, expected, x)
    return model


def _pipeline(package: str, pipeline: Any, x: npt.NDArray[np.float32]) -> "onnx.ModelProto":
    """An ONNX model of a pipeline that ends in an estimator of LightGBM or XGBoost, compared with it on the samples."""
    import onnx

    with requiring("compiling a pipeline of scikit-learn", "sklearn"):
        from skl2onnx import convert_sklearn
        from skl2onnx.common.data_types import FloatTensorType

    try:
        features = pipeline[:-1].transform(x)
        expected = _answers("sklearn", pipeline, x)
    except Exception as error:
        raise _refused("skl2onnx", pipeline, error) from error
    dense = features.toarray() if hasattr(features, "toarray") else np.asarray(features)
    last = _boosting(package, pipeline[-1], dense.astype(np.float32))
    try:
        first: onnx.ModelProto = convert_sklearn(
            pipeline[:-1],
            initial_types=[("X", FloatTensorType([None, x.shape[1]]))],
            target_opset={entry.domain: entry.version for entry in last.opset_import} | {"": OPSETS[""]},
        )
        first = onnx.compose.add_prefix(first, "steps/", rename_inputs=False)
        rename(last.graph, {"X": "features"})
        last.graph.input[0].name = "features"
        # What the converters write means the same in both versions; the comparison would find a difference.
        last = onnx.helper.make_model(last.graph, opset_imports=first.opset_import, ir_version=first.ir_version)
        model: onnx.ModelProto = onnx.compose.merge_models(first, last, [(first.graph.output[0].name, "features")])
        _compare(model, pipeline, expected, x, _MAX_COMPUTED_DIFFERENT)
    except CompileError:
        raise
    except Exception as error:
        raise _refused("skl2onnx", pipeline, error) from error
    return model


def _without_names(estimator: Any) -> Any:
    """A copy of an estimator or booster of XGBoost whose features have no names: onnxmltools takes numbers alone."""
    twin = copy.deepcopy(estimator)
    booster = twin.get_booster() if hasattr(twin, "get_booster") else twin
    booster.feature_names = None
    return twin


def _answers(package: str, estimator: Any, x: npt.NDArray[np.float32]) -> FloatArray:
    """What an estimator says to samples: the probabilities of a classifier, and the values of others."""
    if package == "xgboost" and not hasattr(estimator, "get_booster"):
        return np.asarray(estimator.inplace_predict(x, validate_features=False), dtype=np.float64)
    predict = estimator.predict_proba if hasattr(estimator, "predict_proba") else estimator.predict
    return np.asarray(predict(x), dtype=np.float64)


def _compare(
    model: "onnx.ModelProto",
    estimator: object,
    expected: FloatArray,
    x: npt.NDArray[np.float32],
    most: float = _MAX_DIFFERENT,
) -> None:
    """Refuse a model that says something else than its estimator: options that onnxmltools does not look at.

    Raises:
        CompileError: there is a difference on more samples than rounding accounts for.
    """
    found = _run(model, model.graph.output[-1].name, x)
    if expected.ndim == 1 and found.shape[1] == 2:  # a booster gives the probability of the second class alone
        found = found[:, 1:]
    if found.shape == expected.reshape(len(x), -1).shape:
        distance = np.abs(found - expected.reshape(len(x), -1)).max(axis=1)
        different = distance > _TOLERANCE * max(np.abs(expected).max(), np.finfo(np.float32).tiny)
        if different.mean() <= most:
            return
        detail = f"for {different.sum():,} of {counted(len(x), 'sample')}, by up to {distance.max():.3g}"
    else:
        detail = f"numbers of shape {found.shape}, not {expected.shape}"
    raise CompileError(
        f"the converter makes another function of {type(estimator).__name__} than it is ({detail}): fit it without "
        "what ONNX's trees do not have, such as zeros as missing values or weights of dropped trees"
    )
