"""The ONNX standard's own node tests: one operator each, with inputs and the outputs expected of it.

A test leaves open which inputs are data and which are parts of the model, so each is compiled in up to four forms:
all inputs computed; those that the operator's lowering takes computed, and the others constant, as scales and axes are;
those that hold floats; only the first of these, or of all, as where the rest are weights. A form that is refused with
a clear error is not a failure of the test, unless all are.

Operators that describe tensors, such as Shape, leave nothing to prove: what they give is known when the model is read.
Of these it is checked that the constant is right.
"""

import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases

import zkinfer as zk
from zkinfer.compiler.lowering.precision import Precision
from zkinfer.compiler.onnx import ops, registry
from zkinfer.compiler.onnx.load import MAX_OPSET
from zkinfer.errors import UnsupportedOperatorError, ZkinferError

PRECISION = Precision(activation_bits=16, weight_bits=16, max_table_entries=1 << 17)
TOLERANCE = 1e-3
"""An output is right if it is off by at most this share of the largest magnitude in it."""

RESOLUTION = 2.0**-15
"""And where inputs are so much larger than outputs that this is more: by this share of the largest magnitude of an
input, which has steps of about that size."""

IR_VERSION = 10
_ADDED = "added"

_SIZES_AS_INPUT, _SIZES_OF_ZERO = 5, 14
"""From these versions of the operator set on, a Reshape takes its sizes as an input, and makes tensors without
elements."""

STANDARD_DOMAINS = ("", "ai.onnx")

SECONDS = 60
"""A case that takes longer counts as a crash."""

_FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16)
_NUMBER_KINDS = "fiub"

FOLDED = (
    "BlackmanWindow",
    "ConstantOfShape",
    "EyeLike",
    "HammingWindow",
    "HannWindow",
    "MelWeightMatrix",
    "Range",
    "Shape",
    "Size",
)
"""What these give is known when a model is read, if it can be compiled at all."""


class Outcome(StrEnum):
    """What became of a case; the later ones outweigh the earlier ones where its forms differ."""

    REFUSED = "refused"
    FOLDED = "folded"
    PASSED = "passed"
    WRONG = "wrong"
    CRASHED = "crashed"


@dataclass(frozen=True)
class NodeCase:
    """One of the standard's tests.

    Attributes:
        name: as in the standard.
        model: a single node; opset and shapes as the standard gives them.
        inputs, outputs: what goes in and what has to come out.
    """

    name: str
    model: onnx.ModelProto
    inputs: tuple[npt.NDArray[Any], ...]
    outputs: tuple[npt.NDArray[Any], ...]

    @property
    def operator(self) -> str:
        """The operator that is tested."""
        node = self.model.graph.node[0]
        return f"{node.domain}.{node.op_type}" if node.domain not in STANDARD_DOMAINS else str(node.op_type)


@dataclass(frozen=True)
class Verdict:
    """What became of a case.

    Attributes:
        case: its name.
        operator: what it tests.
        outcome: the gravest of its forms'.
        error: class of the exception; empty if there was none.
        detail: the exception's message, or how far off the outputs are.
    """

    case: str
    operator: str
    outcome: Outcome
    error: str
    detail: str


def node_cases() -> list[NodeCase]:
    """All of the standard's tests of one node that take and give tensors of numbers, in its order.

    Left out are those with numbers that numpy does not know: bfloat16, and floats and integers of eight bits or less
    in formats of their own.
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # some cases overflow on purpose while they are made
        collected = collect_testcases(None)
    cases = []
    for case in collected:
        graph = case.model.graph
        tensors = all(value.type.HasField("tensor_type") for value in (*graph.input, *graph.output))
        if len(graph.node) == 1 and len(graph.input) and tensors:
            inputs, outputs = case.data_sets[0]
            if all(_holds_numbers(array) for array in (*inputs, *outputs)):
                arrays = (tuple(np.asarray(array) for array in group) for group in (inputs, outputs))
                cases.append(NodeCase(case.name, case.model, *arrays))
    return cases


def _holds_numbers(array: object) -> bool:
    return isinstance(array, np.ndarray | np.generic) and array.dtype.kind in _NUMBER_KINDS


def _takes_floats(value: onnx.ValueInfoProto) -> bool:
    return value.type.tensor_type.elem_type in _FLOATS


def forms(case: NodeCase) -> list[tuple[int, ...]]:
    """Which inputs are computed, in each of the forms that the case is compiled in."""
    every = tuple(range(len(case.inputs)))
    floats = tuple(i for i in every if _takes_floats(case.model.graph.input[i]))
    forms = (every, _taken_computed(case), floats, (floats or every)[:1])
    return list(dict.fromkeys(form for form in forms if form))


def _taken_computed(case: NodeCase) -> tuple[int, ...]:
    """The inputs that the operator's lowering takes computed."""
    assert ops
    node = case.model.graph.node[0]
    opset = next((e.version for e in case.model.opset_import if e.domain in STANDARD_DOMAINS), MAX_OPSET)
    try:
        operator = registry.find(node.domain, node.op_type, min(opset, MAX_OPSET))
    except UnsupportedOperatorError:
        return ()
    taken = dict(zip(node.input, operator.takes_computed(len(node.input)), strict=True))
    return tuple(i for i, value in enumerate(case.model.graph.input) if taken[value.name])


def as_model(case: NodeCase, computed: tuple[int, ...]) -> onnx.ModelProto:
    """The case as a model: a batch of one in front of every input and output, and all else constant.

    A test of an operator set newer than is supported is stated in the newest that is: most operators have changed by
    further dtypes alone, and where more has changed the expected outputs tell.

    Args:
        case: the test.
        computed: which of its inputs are the model's. Where none is, the model has an input of its own, a number that
            is added to the outputs.
    """
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    model.ir_version = IR_VERSION
    if not any(entry.domain in STANDARD_DOMAINS for entry in model.opset_import):
        model.opset_import.append(helper.make_opsetid("", MAX_OPSET))
    empty = any(not array.size for array in (*case.inputs, *case.outputs))
    for entry in model.opset_import:
        if entry.domain in STANDARD_DOMAINS:
            entry.version = min(max(entry.version, _SIZES_OF_ZERO if empty else _SIZES_AS_INPUT), MAX_OPSET)
    graph = model.graph
    inputs, outputs = list(graph.input), list(graph.output)
    del graph.input[:], graph.output[:], graph.value_info[:]
    before, after = [], []
    for i, (value, array) in enumerate(zip(inputs, case.inputs, strict=True)):
        if i in computed:
            before.append(_reshaped(graph, f"{value.name}/batch", value.name, array.shape))
            graph.input.append(
                helper.make_tensor_value_info(
                    f"{value.name}/batch", value.type.tensor_type.elem_type, (1, *array.shape)
                )
            )
        else:
            graph.initializer.append(numpy_helper.from_array(array, value.name))
    for value, array in zip(outputs, case.outputs, strict=True):
        name, dtype = value.name, value.type.tensor_type.elem_type
        if not computed:
            name, dtype = f"{value.name}/sum", TensorProto.FLOAT
            after.append(helper.make_node("Cast", [value.name], [f"{value.name}/real"], to=dtype))
            after.append(helper.make_node("Add", [f"{value.name}/real", _ADDED], [name]))
        after.append(_reshaped(graph, name, f"{value.name}/batch", (1, *array.shape)))
        graph.output.append(helper.make_tensor_value_info(f"{value.name}/batch", dtype, (1, *array.shape)))
    if not computed:
        graph.input.append(helper.make_tensor_value_info(_ADDED, TensorProto.FLOAT, (1,)))
    nodes = [*before, *graph.node, *after]
    del graph.node[:]
    graph.node.extend(nodes)
    return model


def _reshaped(graph: onnx.GraphProto, source: str, result: str, shape: tuple[int, ...]) -> onnx.NodeProto:
    name = f"{result}/shape"
    graph.initializer.append(numpy_helper.from_array(np.array(shape, np.int64), name))
    zero = {"allowzero": 1} if 0 in shape else {}
    return helper.make_node("Reshape", [source, name], [result], **zero)


def check(case: NodeCase) -> Verdict:
    """Compile and run every form of a case."""
    gravity = list(Outcome)
    # Of several refusals the last says most: in that form the least is asked for.
    verdicts = [_check_form(case, computed) for computed in sorted(forms(case), key=len)]
    if case.operator in FOLDED:
        verdicts.append(_check_form(case, ()))
    return max(verdicts, key=lambda verdict: gravity.index(verdict.outcome))


def _check_form(case: NodeCase, computed: tuple[int, ...]) -> Verdict:
    """Compile and run a form of a case; with nothing computed, it can only be folded."""

    def verdict(outcome: Outcome, error: str, detail: str) -> Verdict:
        return Verdict(case.name, case.operator, outcome, error, detail)

    model = as_model(case, computed)
    arrays = [case.inputs[i][None] for i in computed] or [np.zeros((1,), np.float32)]
    try:
        with _time_limit(SECONDS), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            circuit = zk.compile(model, arrays, precision=PRECISION)
            results = circuit.run(arrays)
    except ZkinferError as error:
        return verdict(Outcome.REFUSED, type(error).__name__, str(error))
    except Exception as error:  # what this benchmark looks for
        return verdict(Outcome.CRASHED, type(error).__name__, str(error))
    found = results if isinstance(results, tuple) else (results,)
    for array, expected in zip(found, case.outputs, strict=True):
        detail = difference(array[0], expected, _largest_input(case))
        if detail:
            return verdict(Outcome.WRONG, "", detail)
    return verdict(Outcome.PASSED if computed else Outcome.FOLDED, "", "")


def difference(found: npt.NDArray[np.float64], expected: npt.NDArray[Any], largest_input: float = 0.0) -> str:
    """How far an output is off; empty if it is right, see `TOLERANCE` and `RESOLUTION`.

    Truth values and whole numbers are equal; whole numbers of 16 bits, which come from quantization and are as fine as
    the circuit's own, count as real ones.
    """
    if found.shape != expected.shape:
        return f"shape {found.shape} in place of {expected.shape}"
    if not expected.size:
        return ""
    reals = expected.astype(np.float64)
    if not np.isfinite(reals).all():
        return "NaN or infinity is expected"
    error, size = float(np.abs(found - reals).max()), float(np.abs(reals).max())
    real = expected.dtype.kind == "f" or expected.dtype in (np.int16, np.uint16)
    if error <= (max(TOLERANCE * size, RESOLUTION * largest_input) if real else 0.0):
        return ""
    return f"largest error {error:.3g}, largest magnitude {size:.3g}"


def _largest_input(case: NodeCase) -> float:
    """The largest finite magnitude among the inputs that hold floats."""
    floats = [array[np.isfinite(array)] for array in case.inputs if array.dtype.kind == "f"]
    return max((float(np.abs(array).max(initial=0.0)) for array in floats), default=0.0)


@contextmanager
def _time_limit(seconds: int) -> Iterator[None]:
    def stop(signum: int, frame: Any) -> None:
        raise TimeoutError(f"longer than {seconds} s")

    previous = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
