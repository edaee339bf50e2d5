"""From a model and calibration data to a circuit: every step of the compiler, in order."""

import difflib
import math
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import onnx
import onnx_ir

from zkinfer.arguments import whole_number
from zkinfer.circuit.bounds import check_bounds
from zkinfer.circuit.program import Program
from zkinfer.circuit.qformat import as_array, as_batch, is_table
from zkinfer.circuit.samples import into_runs
from zkinfer.circuit.validate import validate
from zkinfer.compiler.calibration.calibrate import calibrate
from zkinfer.compiler.calibration.data import (
    column_names,
    inputs_of_module,
    is_loader,
    loaded,
    matrix,
    named_samples,
)
from zkinfer.compiler.calibration.detached import Detached, detached, joined_ir
from zkinfer.compiler.calibration.fidelity import Examiner
from zkinfer.compiler.calibration.float_model import check_samples, static_shape
from zkinfer.compiler.calibration.states import with_states
from zkinfer.compiler.calibration.stress import TYPICAL_LIMIT
from zkinfer.compiler.calibration.target import Judge, Requirement, parse_target
from zkinfer.compiler.calibration.tune import Tuning, tune
from zkinfer.compiler.lowering.precision import Precision, preset
from zkinfer.compiler.lowering.result import Lowered
from zkinfer.compiler.memory import require_memory_for_samples, require_memory_for_weights
from zkinfer.compiler.model import Circuit
from zkinfer.compiler.onnx.binding import Open, Sizes, bind, keep_outputs, leave_out_texts, open_inputs
from zkinfer.compiler.onnx.dynamic import in_float_meaning
from zkinfer.compiler.onnx.estimator import convert_estimator, is_estimator
from zkinfer.compiler.onnx.export import Exporter, export_call, is_module, prepare, stored_bytes
from zkinfer.compiler.onnx.export_check import require_same
from zkinfer.compiler.onnx.importer import import_model
from zkinfer.compiler.onnx.load import normalize
from zkinfer.compiler.onnx.read import read_copy, read_model
from zkinfer.compiler.onnx.rewriting import require_same_function
from zkinfer.errors import AccuracyWarning, BoundsError, InvalidInputError, ProvingError, ShapeError
from zkinfer.progress import activity, notice
from zkinfer.protocol.reduction.plan import make_plan
from zkinfer.typing import Array

if TYPE_CHECKING:
    import torch
    from sklearn.base import BaseEstimator

REPORT_SAMPLES = 256
"""How many of the calibration samples a circuit remembers, until it is saved, for its report."""

_ADVICE = "circuit.report() shows every tensor, and docs/accuracy.md says what helps"


def compile(  # noqa: A001 (zkinfer.compile, as in torch.compile)
    model: "str | os.PathLike[str] | bytes | onnx.ModelProto | torch.nn.Module | BaseEstimator",
    calibration: Any,
    *,
    batch: int = 1,
    precision: Precision | str = "native",
    activation_bits: int | None = None,
    weight_bits: int | None = None,
    max_table_entries: int | None = None,
    ranges: str | None = None,
    target: str | None = None,
    exporter: Exporter = "dynamo",
    publish: Sequence[str] = (),
    shapes: Sizes | None = None,
    constants: Mapping[str, Any] | None = None,
    batch_axes: Mapping[str, int | None] | None = None,
    states: Mapping[str, str] | None = None,
    outputs: Sequence[str] | None = None,
) -> Circuit:
    """Turn a model into a circuit.

    A circuit has fixed sizes, and the samples along the first axis of every input. What a model leaves open is bound:
    its batch to `batch`, other sizes to those of the calibration data. A terminal shows what was bound, and
    `circuit.bound` says it.

    Args:
        model: a path or URL of an ONNX file, the bytes of one, a ModelProto, a torch module, a fitted estimator of
            scikit-learn, LightGBM or XGBoost, or a pipeline that ends in one. The features of an estimator are one
            float32 input. Outputs that are texts, such as labels, are left out, and `circuit.bound` says so.
        calibration: typical inputs, samples along the first axis: a numpy array or torch tensor; a list of one array
            for each input, or a mapping from input names to arrays; a table such as a DataFrame, whose columns the
            circuit then knows by name; or an iterator or loader, such as torch's DataLoader, that gives such arrays or
            lists, batch by batch, where what follows the inputs in a list, such as labels, is left out. It sets the
            range of every input and activation: inputs beyond it are refused, activations beyond it saturate.
        batch: how many samples one proof covers.
        precision: a `Precision` or the name of a preset. The default, "native", has 16 bits for activations and
            weights, and tables of up to 65,536 entries. "ezkl", for circuits that ezkl proves, has 8 bits and small
            tables.
        activation_bits, weight_bits, max_table_entries, ranges: replace these fields of `precision`.
        target: how close the circuit's outputs have to be to those of the float model, such as "cosine>=0.999",
            "top1>=0.99", "max_error<=0.01", or several with commas between; see `calibration.target.parse_target`. Bits
            and table sizes are then lowered, tensor by tensor, to where proving costs least and the target still holds.
            `precision` is then the largest allowed. Every other sample of the calibration data measures, the rest
            calibrates. `circuit.tuning` has the result.
        exporter: how to export a torch module, see `zkinfer.export`.
        publish: names of stored parameters (ONNX initializers) that may become public. Every other one is committed to,
            also where it is one number; an operator that cannot commit to it is refused.
        shapes: open sizes that the calibration data does not tell, by their names in the model, such as
            `{"sequence": 32}`; or whole shapes by the names of inputs, such as `{"x": [None, 3, 48, 320]}`.
        constants: inputs that become constants of the circuit, such as `{"sr": 16000}`: an array of the input's shape,
            or a number that fills it. They are committed to like stored parameters. A number in the calibration data,
            in the place of an array, means the same.
        batch_axes: which axis of an input or output is the batch, where it is not the first and neither names nor
            shapes tell; None where samples are whole tensors. Circuits take and give it along the first axis.
        states: recurrent states, each input with the output that it is fed from, such as `{"state": "stateN"}`. The
            calibration samples are then a sequence, in which the states are computed: they need no data, which would
            be their start, and get room beyond what the sequence shows.
        outputs: the names of outputs to keep, such as `["logits"]`; by default all tensors that the model gives.

    Returns:
        The circuit. Its `fidelity` says what was measured of it, on samples set aside and under stress; on a terminal
        that is one line on standard error.

    Warns:
        AccuracyWarning: the circuit leaves the float model there.

    Raises:
        InvalidInputError: an argument is not of the form described; also as ShapeError and NotFiniteError.
        CompileError: the model cannot become a circuit; also as UnsupportedOperatorError, DynamicShapeError and
            BoundsError, or as ToleranceError if the target cannot be reached.
        MissingDependencyError: a torch module without torch, or an estimator without its converter: skl2onnx, or
            onnxmltools.
        ResourceError: compiling would take far more memory than this process may have; says what would fit.
    """
    requirements = None if target is None else parse_target(target)
    most = _precision(
        precision,
        activation_bits=activation_bits,
        weight_bits=weight_bits,
        max_table_entries=max_table_entries,
        ranges=ranges,
    )
    if _is_model(calibration) and not _is_model(model):
        raise InvalidInputError("the arguments are in the wrong order: compile(model, calibration)")
    if calibration is None:
        raise InvalidInputError(
            "compiling needs calibration data: typical inputs, from which the range of every value is taken. Hand in "
            "an array with samples along its first axis, zkinfer.compile(model, x_train[:100]), or, where the model "
            "has several inputs, a list of one array an input or a mapping from their names"
        )
    columns: tuple[str, ...] = ()
    exported: Detached | None = None
    if is_module(model) or is_estimator(model):
        if is_loader(calibration):
            calibration = loaded(calibration, inputs_of_module(model) if is_module(model) else 1)
        elif is_table(calibration):
            columns = tuple(getattr(model, "feature_names_in_", ())) or column_names(calibration)
            calibration = matrix(calibration, columns)
    if is_module(model):
        require_memory_for_weights(stored_bytes(model))
        with activity("exporting the module"):
            call = prepare(model, _example_inputs(model, calibration), outputs)
            exported = export_call(call, exporter=exporter)
        with activity("comparing the module with its export"):
            require_same(call.module, exported, calibration, batch=batch)
    elif is_estimator(model):
        with activity("converting the estimator"):
            model = convert_estimator(model, calibration)
    with activity("reading the model"):
        read = (
            Detached(read_model(model, admit=require_memory_for_weights)) if exported is None else read_copy(exported)
        )
        proto = read.proto
        if outputs is not None:
            keep_outputs(proto, outputs)
        texts = leave_out_texts(proto)
        said = Open(shapes or {}, constants or {}, batch_axes or {}, states or {})
        data, found = named_samples(calibration, open_inputs(proto), {*said.constants}, {*said.states})
        columns = columns or found
        binding = bind(proto, data, whole_number("the batch size", batch), said)
        bound = "; ".join(filter(None, (binding.text, texts, in_float_meaning(proto))))
        stored = detached(read)
        del proto, read, exported  # which may hold all weights a second time
        normalized, original, conversion = normalize(stored, batch=batch, publish=publish)
    _require_tensors(normalized, most)
    notice(bound)
    arrays = _samples(normalized, binding.arrays, said.states)
    require_memory_for_samples(normalized, arrays)
    runs = _first_runs(normalized, arrays)
    if conversion is not None:
        with activity("comparing the operator sets"):
            conversion.check(runs)
    with activity("comparing the model with its normal form"):
        require_same_function(original, normalized, runs)
    del stored, original, conversion, runs
    # From here on the bytes that the circuit keeps are the only copy of its large tensors.
    source = joined_ir(normalized)
    examiner = Examiner(normalized, arrays)

    def lower(precision: Precision) -> Lowered:
        return import_model(normalized, examiner.statistics, precision)

    tuning = None
    if requirements is None:
        with activity("building the circuit"):
            lowered = lower(most)
    else:
        lowered, tuning = _tuned(normalized, arrays, requirements, lower, most)
    with activity("proving the circuit's bounds"):
        validate(lowered.program)
        check_bounds(lowered.program, lowered.weights)
        _require_provable(lowered.program)
    with activity("comparing the circuit with the model"):
        chosen = most if tuning is None else tuning.precision_after
        fidelity = examiner.examine(
            lowered,
            lambda statistics: import_model(normalized, statistics, chosen, lowered.weights),
            _typical_limit(requirements),
        )
    if fidelity.left:
        warnings.warn(f"the circuit leaves the float model: {fidelity}. {_ADVICE}", AccuracyWarning, stacklevel=2)
    else:
        notice(str(fidelity))
    samples = tuple(array[:REPORT_SAMPLES].copy() for array in arrays)
    return Circuit(
        lowered.program,
        lowered.weights,
        lowered.layers,
        source,
        saturations=lowered.saturations,
        columns=columns,
        samples=samples,
        tuning=tuning,
        fidelity=fidelity,
        bound=bound,
    )


def _is_model(source: Any) -> bool:
    """Whether this is of a type that a model has."""
    return isinstance(source, (str, os.PathLike, bytes, onnx.ModelProto)) or is_module(source) or is_estimator(source)


def _require_provable(program: Program) -> None:
    """Check that the native prover takes a program, so that `setup` does not refuse what was compiled.

    Raises:
        BoundsError: a value has more bits than the prover's field; the message names its tensor.
    """
    try:
        make_plan(program, 1)
    except ProvingError as error:
        raise BoundsError(f"the circuit could not be proven: {error}") from None


def _typical_limit(requirements: Sequence[Requirement] | None) -> float:
    """The deviation of outputs on typical inputs above which a circuit is not the model: none where the target states a
    cosine, because the circuit has it, and its caller asked for no more."""
    return math.inf if any(r.metric == "cosine" for r in requirements or ()) else TYPICAL_LIMIT


def _samples(model: onnx_ir.Model, arrays: Sequence[Array | None], states: Mapping[str, str]) -> list[Array]:
    """The calibration data as one array for each input, samples first; states follow from the others."""
    if states:
        return with_states(model, arrays, states)
    given = [(array, value) for array, value in zip(arrays, model.graph.inputs, strict=True) if array is not None]
    return [as_batch(array, static_shape(value), f"input {value.name!r}") for array, value in given]


def _first_runs(model: onnx_ir.Model, arrays: Sequence[Array]) -> list[Array]:
    """The first samples as runs of the float model."""
    inputs = zip(arrays, model.graph.inputs, strict=True)
    return [into_runs(check_samples(a[:REPORT_SAMPLES], value), static_shape(value)[0]) for a, value in inputs]


def _tuned(
    model: onnx_ir.Model,
    arrays: Sequence[Array],
    requirements: Sequence[Requirement],
    lower: Callable[[Precision], Lowered],
    most: Precision,
) -> tuple[Lowered, Tuning]:
    """The cheapest circuit found that holds a target; one half of the samples calibrates, the other measures.

    Args:
        model: the normalized model.
        arrays: the samples of each input.
        requirements: the target.
        lower: lowers the model with statistics of all samples.
        most: the largest parameters allowed.
    """
    if len(arrays[0]) < 2:
        raise InvalidInputError("a target is measured on samples held out of calibration: hand in two or more")
    statistics = calibrate(model, [array[::2] for array in arrays])
    with activity("tuning the circuit"):
        judge = Judge(model, [array[1::2][:REPORT_SAMPLES] for array in arrays], requirements)
        return tune(lambda precision: import_model(model, statistics, precision), lower, judge, most)


def _precision(precision: Precision | str, **fields: int | str | None) -> Precision:
    """A precision or a preset, with the fields that are not None in place of its own."""
    chosen = preset(precision) if isinstance(precision, str) else precision
    if not isinstance(chosen, Precision):
        raise InvalidInputError(f"precision is a zkinfer.Precision or a name, got {type(precision).__name__}")
    given = {
        name: value if isinstance(value, str) else whole_number(name, value)
        for name, value in fields.items()
        if value is not None
    }
    return Precision(**{**msgspec.structs.asdict(chosen), **given})


def _require_tensors(model: onnx_ir.Model, precision: Precision) -> None:
    """Check that every tensor with a width of its own is one of the model.

    Raises:
        InvalidInputError: one is not; the message names the nearest that is.
    """
    values = (*model.graph.inputs, *model.graph.initializers.values(), *(v for n in model.graph for v in n.outputs))
    names = {value.name or "" for value in values}
    unknown = sorted(set(precision.tensors) - names)
    if unknown:
        near = difflib.get_close_matches(unknown[0], names, n=1)
        instead = f"; the nearest is {near[0]!r}" if near else ""
        raise InvalidInputError(f"precision.tensors names {unknown[0]!r}, which the model does not have{instead}")


def _example_inputs(module: Any, calibration: Any) -> Any:
    """The first samples of calibration data, in the module's own floating-point dtype, for the exporter."""
    dtypes = [str(p.dtype).removeprefix("torch.") for p in module.parameters() if p.is_floating_point()]
    dtype = np.dtype(dtypes[0] if dtypes else "float32")

    def example(x: Any) -> Array:
        array = as_array(x)
        if array.ndim == 0:
            raise ShapeError("calibration data has samples along its first axis, got a scalar")
        return array[:2].astype(dtype) if array.dtype.kind == "f" else array[:2]

    if isinstance(calibration, Mapping):
        return {name: example(x) for name, x in calibration.items()}
    if isinstance(calibration, (list, tuple)):
        return [example(x) for x in calibration]
    return example(calibration)
