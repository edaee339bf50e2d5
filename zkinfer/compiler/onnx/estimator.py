"""From a fitted scikit-learn estimator or pipeline to ONNX, by skl2onnx."""

from typing import TYPE_CHECKING, Any

import numpy as np

from zkinfer.errors import CompileError, InvalidInputError
from zkinfer.extras import requiring

if TYPE_CHECKING:
    import onnx

OPSETS = {"": 18, "ai.onnx.ml": 3}

_OTHER_LIBRARIES = ("lightgbm", "xgboost", "catboost")


def is_estimator(source: Any) -> bool:
    """Whether this is an estimator of scikit-learn, or of a library whose estimators look like those.

    Nothing is imported, because its package already is if there is an estimator.
    """
    bases = {(c.__module__.partition(".")[0], c.__name__) for c in type(source).__mro__}
    return ("sklearn", "BaseEstimator") in bases or any(package in _OTHER_LIBRARIES for package, _ in bases)


def convert_estimator(estimator: Any, calibration: Any) -> "onnx.ModelProto":
    """An ONNX model of a fitted estimator, its batch left open.

    Inputs are float32, in one array. A classifier has the outputs "label" and "probabilities" (or scores). Labels that
    are texts are left out, because a circuit computes numbers: `estimator.classes_` names the columns.

    Args:
        estimator: fitted.
        calibration: samples of shape (samples, features), or a list of one such array.

    Raises:
        MissingDependencyError: skl2onnx is not installed.
        InvalidInputError: the estimator is of another library, or the samples are no array of its features.
        CompileError: skl2onnx does not know the estimator, or it is not fitted.
    """
    package = type(estimator).__module__.partition(".")[0]
    if package in _OTHER_LIBRARIES:
        raise InvalidInputError(
            f"{type(estimator).__name__} is of {package}: convert it with onnxmltools.convert_{package}, and compile "
            "the ONNX model that this gives"
        )
    with requiring("compiling an estimator", "sklearn"):
        from skl2onnx import to_onnx  # type: ignore[import-untyped]
    samples = calibration[0] if isinstance(calibration, (list, tuple)) and len(calibration) == 1 else calibration
    x = np.asarray(samples, dtype=np.float32)
    if x.ndim != 2:
        raise InvalidInputError(f"an estimator takes samples of shape (samples, features), got {x.shape}")

    def written(options: dict[str, bool] | None) -> "onnx.ModelProto":
        proto: onnx.ModelProto = to_onnx(estimator, x[:1], options=options, target_opset=OPSETS)
        return proto

    try:
        try:
            # Without a list of mappings from labels to probabilities, which is no tensor.
            model = written({"zipmap": False})
        except NameError:  # skl2onnx's error for an estimator that does not have the option
            model = written(None)
    except Exception as error:  # skl2onnx raises anything, and scikit-learn where the estimator is not fitted
        cause = error.__cause__ or error  # where skl2onnx wraps an error of onnx, its own message is a long dump
        detail = (str(cause).strip() or type(cause).__name__).splitlines()[0].removesuffix(".")
        raise CompileError(
            f"skl2onnx cannot convert {type(estimator).__name__}: {detail}; fit it if it is not fitted, or convert it "
            "in another way and compile the ONNX model that this gives"
        ) from error
    _drop_texts(model)
    return model


def _drop_texts(model: "onnx.ModelProto") -> None:
    """Leave out outputs that hold texts, unless there are no others."""
    import onnx

    texts = [value for value in model.graph.output if value.type.tensor_type.elem_type == onnx.TensorProto.STRING]
    for value in texts if len(texts) < len(model.graph.output) else ():
        model.graph.output.remove(value)
