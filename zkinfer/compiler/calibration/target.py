"""Accuracy targets: conditions on a circuit's outputs, and how a circuit is measured against them."""

import operator
import re
from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import onnx_ir

from zkinfer.circuit.qformat import dequantize, quantize
from zkinfer.circuit.samples import chunks, elements_per_run, from_runs, into_runs
from zkinfer.compiler.calibration.float_model import FloatModel
from zkinfer.compiler.calibration.metrics import cosine_similarity, share_equal, top_classes
from zkinfer.compiler.lowering.result import Lowered
from zkinfer.errors import InvalidInputError
from zkinfer.execution.executor import Executor
from zkinfer.typing import Array, FloatArray

Outputs = list[tuple[Array, FloatArray]]
"""Every output of a model in float and in fixed point, each of shape (samples, ...)."""


def least_cosine(outputs: Outputs) -> float:
    """The least cosine similarity of any output, all samples taken as one vector."""

    def cosine(in_float: FloatArray, in_fixed: FloatArray) -> float:
        products = (in_float, in_fixed), (in_float, in_float), (in_fixed, in_fixed)
        return cosine_similarity(*(float(np.vdot(a, b)) for a, b in products))

    return min(cosine(in_float.astype(np.float64), in_fixed) for in_float, in_fixed in outputs)


def least_agreement(outputs: Outputs) -> float:
    """The least share of answers with the same top class, over the outputs that give classes.

    Raises:
        InvalidInputError: none does.
    """
    classes = [top_classes(in_float, in_fixed) for in_float, in_fixed in outputs]
    shares = [share_equal(*pair) for pair in classes if pair is not None]
    if not shares:
        raise InvalidInputError(
            f"top1 needs an output of shape (samples, classes) or (samples, positions, classes); this model's are "
            f"{', '.join(str(in_float.shape) for in_float, _ in outputs)}. Set a target for cosine or max_error"
        )
    return min(shares)


def largest_error(outputs: Outputs) -> float:
    """The largest absolute difference in any output, in its real units."""
    return max(float(np.abs(in_float - in_fixed).max()) for in_float, in_fixed in outputs)


METRICS: dict[str, tuple[str, Callable[[Outputs], float]]] = {
    "cosine": (">=", least_cosine),
    "top1": (">=", least_agreement),
    "max_error": ("<=", largest_error),
}
"""For each metric, the relation to a bound that a target demands, and the function that measures it."""

_HOLDS = {">=": operator.ge, "<=": operator.le}
_REQUIREMENT = re.compile(r"\s*(\w+)\s*(>=|<=)\s*([-+.\w]+)\s*")


class Requirement(msgspec.Struct, frozen=True):
    """One condition on a circuit's outputs.

    Attributes:
        metric: a name in `METRICS`.
        bound: the figure that is just sufficient.
    """

    metric: str
    bound: float

    def measured(self, outputs: Outputs) -> float:
        """The figure of some outputs.

        Raises:
            InvalidInputError: the model's outputs have no such figure.
        """
        return METRICS[self.metric][1](outputs)

    def holds(self, figure: float) -> bool:
        """Whether a figure is sufficient."""
        return bool(_HOLDS[METRICS[self.metric][0]](figure, self.bound))

    def __str__(self) -> str:
        return f"{self.metric}{METRICS[self.metric][0]}{self.bound:.12g}"


def parse_target(text: str) -> tuple[Requirement, ...]:
    """Requirements from text such as "cosine>=0.999" or "top1>=0.99, max_error<=0.01".

    `cosine` is the least cosine similarity to float of any output (-1 to 1), `top1` the share of answers whose top
    class is that of float (0 to 1), `max_error` the largest absolute error of any output, in its own units (above 0).

    Raises:
        InvalidInputError: the text has another form, names a metric twice, or has a bound out of range.
    """
    if not isinstance(text, str):
        raise InvalidInputError(f"a target is text such as 'cosine>=0.999', got {type(text).__name__}")
    requirements = []
    for part in text.split(","):
        match = _REQUIREMENT.fullmatch(part)
        try:
            metric, relation, bound = match.groups() if match else ("", "", "nan")
            requirement = Requirement(metric, float(bound))
        except ValueError:
            requirement = Requirement("", 0.0)
        if requirement.metric not in METRICS or relation != METRICS[requirement.metric][0]:
            forms = ", ".join(f"{name}{direction}NUMBER" for name, (direction, _) in METRICS.items())
            raise InvalidInputError(f"{part.strip()!r} is not a target; write {forms}, or several with commas between")
        _require_reachable(requirement)
        requirements.append(requirement)
    if len({requirement.metric for requirement in requirements}) < len(requirements):
        raise InvalidInputError(f"the target {text!r} names a metric twice; leave out the weaker one")
    return tuple(requirements)


def _require_reachable(requirement: Requirement) -> None:
    reachable = {"cosine": -1 <= requirement.bound < 1, "top1": 0 <= requirement.bound <= 1}
    if not reachable.get(requirement.metric, 0 < requirement.bound < np.inf):
        ranges = "cosine is from -1 to below 1, top1 from 0 to 1, max_error a number above 0"
        raise InvalidInputError(f"the target {requirement} is out of range: {ranges}")


class Judge:
    """Measures circuits of one model against a target, on samples whose float outputs are computed once.

    Args:
        model: the normalized float model.
        arrays: one array an input, of shape (samples, ...).
        requirements: the target.

    Raises:
        InvalidInputError, ShapeError, NotFiniteError: the samples do not fit the model.
    """

    def __init__(self, model: onnx_ir.Model, arrays: Sequence[Array], requirements: Sequence[Requirement]) -> None:
        self.requirements = tuple(requirements)
        float_model = FloatModel(model)
        samples = float_model.prepare(arrays)
        self.samples = len(samples[0])
        self._batch = float_model.batch
        self._runs = [into_runs(array, self._batch) for array in samples]
        names = [output.name or "" for output in model.graph.outputs]
        parts = [
            float_model.run([array[part] for array in self._runs])
            for part in chunks(len(self._runs[0]), float_model.elements)
        ]
        self._floats = [
            from_runs(np.concatenate([part[name] for part in parts]), self._batch, self.samples) for name in names
        ]

    def figures(self, lowered: Lowered) -> tuple[float, ...]:
        """The figures of a circuit of the model, one for each requirement; inputs beyond its range saturate.

        Raises:
            InvalidInputError: see `Requirement.measured`.
        """
        program = lowered.program
        executor = Executor(program, lowered.weights, keep=program.outputs, lean=True)
        pieces: list[list[FloatArray]] = [[] for _ in program.outputs]
        for part in chunks(len(self._runs[0]), elements_per_run(program)):
            feed = [quantize(a[part], t, saturate=True) for a, t in zip(self._runs, program.inputs, strict=True)]
            integers = executor.integers(feed, program.outputs)
            for piece, output, tensor in zip(pieces, integers, program.output_tensors, strict=True):
                piece.append(dequantize(output, tensor))
        fixed = [from_runs(np.concatenate(piece), self._batch, self.samples) for piece in pieces]
        outputs = list(zip(self._floats, fixed, strict=True))
        return tuple(requirement.measured(outputs) for requirement in self.requirements)

    def holds(self, figures: Sequence[float]) -> bool:
        """Whether the figures are within the target."""
        return all(r.holds(figure) for r, figure in zip(self.requirements, figures, strict=True))

    def described(self, figures: Sequence[float]) -> str:
        """The figures by name: "cosine 0.99931, top1 1"."""
        return ", ".join(f"{r.metric} {figure:.6g}" for r, figure in zip(self.requirements, figures, strict=True))
