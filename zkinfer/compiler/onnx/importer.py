"""From a normalized ONNX model to an integer program."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import onnx_ir

from zkinfer.circuit.bounds import round_outward
from zkinfer.compiler.calibration.calibrate import Calibration, TensorStats
from zkinfer.compiler.calibration.float_model import is_float, static_shape, varying_values
from zkinfer.compiler.calibration.ranges import kept_range
from zkinfer.compiler.lowering.activation import Activation, Alone, Constant, MaskedScores, Scaled
from zkinfer.compiler.lowering.affine import AffineMap
from zkinfer.compiler.lowering.arithmetic import broadcast
from zkinfer.compiler.lowering.builder import Builder, Built, ProgramValue
from zkinfer.compiler.lowering.channels import channels_of
from zkinfer.compiler.lowering.emitter import Emitter
from zkinfer.compiler.lowering.masking import may_mask_whole_rows
from zkinfer.compiler.lowering.precision import Precision, Range
from zkinfer.compiler.lowering.recurrence import advance, begin
from zkinfer.compiler.lowering.result import Layer, Lowered
from zkinfer.compiler.lowering.scaled import MAX_OUTPUT_BITS, common
from zkinfer.compiler.lowering.thresholds import STRICT, compare_threshold
from zkinfer.compiler.onnx import ops, registry
from zkinfer.compiler.onnx.constants import computed
from zkinfer.compiler.onnx.features import input_of
from zkinfer.compiler.onnx.masks import MOVING, masking_values
from zkinfer.compiler.onnx.multiplied import joined_for_products, multiplied_values
from zkinfer.compiler.onnx.published import public_names
from zkinfer.compiler.onnx.recurrences import Delayed, delayed
from zkinfer.compiler.onnx.refusals import require_none
from zkinfer.compiler.onnx.scaling import added, rescaled
from zkinfer.errors import InvalidInputError, ShapeError, UnsupportedOperatorError, ZkinferError
from zkinfer.typing import Array, IntArray

__all__ = ["import_model", "ops"]


def import_model(
    model: onnx_ir.Model, calibration: Calibration, precision: Precision, known: Sequence[Array] = ()
) -> Lowered:
    """Lower a model, operator by operator.

    Args:
        model: as `zkinfer.compiler.onnx.load.load_model` returns it.
        calibration: statistics of the same model's tensors.
        precision: how many bits to spend.
        known: weights of another circuit of the model; those that are equal share their memory.

    Returns:
        The program, whose inputs and outputs are the model's, in its order; the same bytes every time.

    Raises:
        UnsupportedOperatorError: an operator, or a form of one, that is not lowered; the message names the node.
        BoundsError: no table of the allowed size serves a tensor, or a sum leaves the range of exact arithmetic.
        NotFiniteError: a weight is NaN or infinite.
        InvalidInputError: the calibration is of another model.
    """
    return _Importer(model, calibration, precision, known).run()


class _Importer:
    def __init__(
        self, model: onnx_ir.Model, calibration: Calibration, precision: Precision, known: Sequence[Array]
    ) -> None:
        self._model, self._calibration = model, calibration
        self._kept: dict[str, Range] = {
            name: kept_range(stats, precision.activation_bits_of(name), precision.ranges)
            for name, stats in calibration.tensors.items()
        }
        # The state of a recurrence has one format before and after all steps.
        self._states: dict[str, Activation] = {}
        for state in (state for node in model.graph for state in delayed(node)):
            names = state.before.name or "", state.after
            lows, highs = zip(*(self._kept[name] for name in names if name in self._kept), strict=True)
            self._kept |= dict.fromkeys(names, (min(lows), max(highs)))
        self._emitter = Emitter(precision, builder=Builder(known))
        self._opsets: Mapping[str, int] = {domain or "": version for domain, version in model.opset_imports.items()}
        self._operands: dict[onnx_ir.Value, registry.Intermediate | Scaled] = {}
        self._varying = varying_values(model.graph)
        self._masking = masking_values(model.graph)
        self._multiplied = multiplied_values(model.graph)
        self._joined = joined_for_products(model.graph)
        self._refused: list[ZkinferError] = []

    def run(self) -> Lowered:
        graph, public = self._model.graph, public_names(self._model)
        for value in graph.initializers.values():
            if value.const_value is not None:
                trained = is_float(value) and value.name not in public
                self._operands[value] = Constant(value.name or "", value.const_value.numpy(), trained=trained)
        for value in graph.inputs:
            self._operands[value] = self._input(value)
        for node in graph:
            self._node(node)
        require_none(self._refused)
        outputs = []
        for value in graph.outputs:
            operand = self._operands[value]
            if isinstance(operand, Constant):
                raise UnsupportedOperatorError(f"output {value.name!r} is a constant; leave it out of the model")
            if isinstance(operand, Scaled):
                operand = common(self._emitter, operand, MAX_OUTPUT_BITS)
            if isinstance(operand, MaskedScores):
                raise UnsupportedOperatorError(
                    f"output {value.name!r} holds masked scores; only softmaxes and maxima take them"
                )
            outputs.append(self._emitter.output(operand))
        built = self._emitter.builder.finish(outputs)
        return Lowered(built.program, built.weights, self._layers(built, outputs), built.saturations)

    def _observed(self, value: onnx_ir.Value) -> Range | None:
        """The kept part of the calibrated range of a tensor; None if it holds no floats, or depends on no input."""
        if not is_float(value) or value not in self._varying:
            return None
        self._stats(value)
        return self._kept[value.name or ""]

    def _stats(self, value: onnx_ir.Value) -> TensorStats:
        name = value.name or ""
        if name not in self._calibration.tensors:
            raise InvalidInputError(f"the calibration knows no tensor {name!r}: it is of another model")
        return self._calibration.tensors[name]

    def _input(self, value: onnx_ir.Value) -> Activation | Scaled:
        name, shape, stats = value.name or "", static_shape(value), self._stats(value)
        observed = stats.lo, stats.hi
        if is_float(value):
            taken = input_of(self._emitter, value, stats, self._calibration.sides)
            return replace(taken, binary=stats.binary) if isinstance(taken, Activation) else taken
        assert value.dtype is not None
        if value.dtype not in _LIMITS:
            raise UnsupportedOperatorError(
                f"input {name!r} holds {value.dtype.name}; supported are float16, float32, float64, bool and integers "
                "of 8 to 64 bits"
            )
        return self._emitter.integral_input(name, shape, *integral_bounds(value, observed))

    def _node(self, node: onnx_ir.Node) -> None:
        if self._refused and any(value is not None and value not in self._operands for value in node.inputs):
            return
        opset = self._opsets.get(node.domain or "", 0)
        try:
            if states := delayed(node):
                self._begin(states)
                return
            results = self._results(node, opset)
            for value, result in zip(node.outputs, results, strict=False):
                self._operands[value] = self._checked(value, result)
                self._advance(value)
        except ZkinferError as error:
            refused = type(error)(f"{registry.described(node, opset)}: {error}")
            refused.__cause__ = error
            self._refused.append(refused)
            self._stand_in(node)

    def _begin(self, states: Sequence[Delayed]) -> None:
        """The states of a recurrence before every step."""
        for initial, before, after in states:
            emitter = self._emitter.for_operator(before.name or "", integer=False, outputs=1)
            operand, observed = self._operands[initial], self._kept[after]
            assert isinstance(operand, (Activation, Constant))
            self._states[after] = begin(emitter, after, operand, static_shape(before)[0], observed)
            self._operands[before] = self._checked(before, self._states[after])

    def _advance(self, value: onnx_ir.Value) -> None:
        """Close a recurrence if a value is one of its states after every step."""
        if value.name in self._states:
            state, after = self._states.pop(value.name), self._operands[value]
            assert isinstance(after, Activation)
            advance(self._emitter.for_operator(value.name, integer=False, outputs=1), state, after)

    def _stand_in(self, node: onnx_ir.Node) -> None:
        """Take the results of a node that was refused for inputs, so that the nodes after it are tried as well."""
        for value in node.outputs:
            if is_float(value) and value.name and value in self._varying:
                stats = self._stats(value)
                self._operands[value] = self._emitter.input(value.name, static_shape(value), (stats.lo, stats.hi))

    def _results(self, node: onnx_ir.Node, opset: int) -> tuple[registry.Intermediate | Scaled, ...]:
        operator = registry.find(node.domain, node.op_type, opset)
        emitter = self._emitter.for_operator(
            node.outputs[0].name or "",
            integer=node.outputs[0].dtype in _LIMITS,
            outputs=max((i for i, value in enumerate(node.outputs, 1) if _is_read(value)), default=1),
            masking=node.outputs[0] in self._masking,
            result=self._observed(node.outputs[0]),
        )
        given = [None if value is None else self._operands[value] for value in node.inputs]
        if (compared := self._compared(emitter, node, given)) is not None:
            return (compared,)
        if (total := added(emitter, node, given)) is not None:
            return (replace(total, observed=self._observed(node.outputs[0]) or total.observed),)
        if node.outputs[0] in self._joined:
            given = [emitter.as_operand(x) if isinstance(x, Activation) and not x.integral else x for x in given]
        inputs, exponents = rescaled(emitter, node, opset, given)
        attributes = {
            name: a.as_tensor().numpy() if a.type is onnx_ir.AttributeType.TENSOR else a.value
            for name, a in node.attributes.items()
        }
        if isinstance(inputs[0], MaskedScores) and node.op_type in MOVING:
            return (self._moved(node, opset, inputs[0]),)
        constants = [x for x in inputs if isinstance(x, Constant)]
        if len(constants) == sum(x is not None for x in inputs):
            return computed(node, opset, constants)
        bound = operator.bind(inputs, attributes)
        result = operator.handler(emitter, *bound.args, **bound.kwargs)
        results = result if isinstance(result, tuple) else (result,)
        for value in node.outputs[len(results) :]:
            if _is_read(value):
                raise UnsupportedOperatorError(f"its output {value.name!r} is not supported; only the first is")
        if exponents is None:
            return results
        scaled = zip(results, exponents, node.outputs, strict=False)
        return tuple(self._scaled(result, own, value) for result, own, value in scaled)

    def _moved(self, node: onnx_ir.Node, opset: int, masked: MaskedScores) -> MaskedScores:
        """Masked scores whose elements an operator moves: it moves the truth values as well."""
        source = node.inputs[0]
        assert source is not None
        kept = masked.kept
        if isinstance(kept, Constant):
            kept = Constant(kept.name, np.broadcast_to(kept.array, masked.shape))
        else:
            kept = broadcast(self._emitter, kept, masked.shape)
        moved: list[registry.Intermediate | Scaled] = []
        for part in (masked.scores, kept):
            self._operands[source] = part
            moved += self._results(node, opset)
        self._operands[source] = masked
        scores, truth = moved
        assert isinstance(scores, Activation)
        assert isinstance(truth, (Activation, Constant))
        return replace(masked, scores=scores, kept=truth)

    def _scaled(
        self, result: registry.Intermediate, exponents: IntArray, value: onnx_ir.Value
    ) -> registry.Intermediate | Scaled:
        if not isinstance(result, Activation) or not exponents.any():
            return result
        return Scaled(result, exponents, self._observed(value) or result.observed)

    def _compared(
        self, g: Emitter, node: onnx_ir.Node, given: Sequence[registry.Intermediate | Scaled | None]
    ) -> Activation | None:
        """A comparison of inputs with thresholds, each of which gets an integer of its own; None of other nodes.

        One number for a whole tensor stays a function of it, which can be part of a larger one.
        """
        sides = self._calibration.sides.get(node.outputs[0].name or "")
        if sides is None or node.op_type not in STRICT:
            return None
        x, thresholds = given
        if not isinstance(thresholds, Constant):
            return None
        if isinstance(x, Scaled):
            return compare_threshold(g, x.activation, x.exponents, thresholds.name, sides, node.op_type)
        if not isinstance(x, Activation) or not self._emitter.builder.is_given(x.value) or thresholds.shape == ():
            return None
        none = np.zeros([1] * len(x.shape), dtype=np.int64)
        return compare_threshold(g, x, none, thresholds.name, sides, node.op_type)

    def _checked(self, value: onnx_ir.Value, result: registry.Intermediate | Scaled) -> registry.Intermediate | Scaled:
        shape = static_shape(value)
        if result.shape != shape:
            raise ShapeError(f"it gives {value.name!r} the shape {result.shape}, but the model says {shape}")
        # What a recurrence reads it reads once: the Scan repeats its operators.
        shared = sum(not delayed(node) for node, _ in value.uses()) + value.is_graph_output() > 1
        if isinstance(result, Scaled):
            return replace(result, activation=replace(result.activation, label=value.name or "", shared=shared))
        if isinstance(result, MaskedScores) and is_float(value):
            # Scores that are masked may be larger than any that calibration data has.
            # They count where all of a row are masked.
            if result.alone is Alone.SCORES and may_mask_whole_rows(result.kept):
                return result
            lo, hi = result.scores.observed
            highest = min(hi, self._stats(value).hi)
            return replace(result, scores=replace(result.scores, observed=(min(lo, highest), highest)))
        if not isinstance(result, Activation):
            return result
        if (limits := _LIMITS.get(value.dtype)) is not None:
            result = replace(result, integral=True)
            _require_no_overflow(value, result, limits)
        stats = self._calibration.tensors.get(value.name or "")
        binary = stats is not None and stats.binary
        name = value.name or ""
        channels = None if stats is None or binary or result.integral else channels_of(stats.channels)
        result = self._emitter.named(
            result, name, observed=self._observed(value), shared=shared, binary=binary, channels=channels
        )
        return self._emitter.made_narrow(result) if value in self._multiplied and channels is None else result

    def _layers(self, built: Built, outputs: list[ProgramValue]) -> tuple[Layer, ...]:
        """The tensors of the model's nodes that values of the program stand for."""
        layers: dict[str, Layer] = {}
        for node in self._model.graph:
            for value in node.outputs:
                operand = self._operands.get(value)
                if isinstance(operand, Activation) and (layer := self._layer(operand, built.numbers)) is not None:
                    layers[layer.name] = layer
        for value, output in zip(self._model.graph.outputs, outputs, strict=True):
            name = value.name or ""
            known = layers.get(name)
            if known is None or known.value != built.numbers[output.number]:
                layers[name] = Layer(name, built.numbers[output.number], 1.0, 0.0, None)
        return tuple(layers.values())

    def _layer(self, a: Activation, numbers: Mapping[int, int]) -> Layer | None:
        narrow = self._emitter.narrow_forms.get(a.tensor)
        if narrow is not None and narrow.number in numbers:
            form = self._emitter.format(a)
            _, lo, hi = form.coarser(form.frac_bits - narrow.frac_bits)
            return Layer(a.label, numbers[narrow.number], 1.0, 0.0, (lo, hi))
        if a.tensor in self._emitter.compared_forms:
            value, (scale, offset), limits = self._emitter.compared_forms[a.tensor]
            if value.number in numbers and value.shape == a.shape:
                return Layer(a.label, numbers[value.number], float(scale), float(offset), limits)
        if isinstance(a.pending, AffineMap) and a.value.number in numbers:
            scale, offset = a.pending
            return Layer(a.label, numbers[a.value.number], float(scale), float(offset), None)
        return None


_LIMITS: Mapping[onnx_ir.DataType | None, tuple[int, int]] = {
    onnx_ir.DataType.BOOL: (0, 1),
    **{
        dtype: (int(np.iinfo(dtype.numpy()).min), int(np.iinfo(dtype.numpy()).max))
        for dtype in onnx_ir.DataType
        if dtype.is_integer() and dtype.bitwidth >= 8
    },
}
"""Smallest and largest number of each integer type."""

_PASSING_ON = ("Cast", "Expand", "Flatten", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze")


def integral_bounds(value: onnx_ir.Value, observed: Range) -> tuple[int, int]:
    """Bounds of an input of integers.

    They are those of its type, if that has 8 bits or fewer. If a Gather chooses by the input, they are all positions,
    and from the end as many as in the calibration data. Otherwise they are those of calibration data, rounded outward.
    """
    lo, hi = _LIMITS[value.dtype]
    if hi < 256:
        return lo, hi
    sizes = _looked_up(value)
    if sizes:
        return min(int(observed[0]), 0), min(sizes) - 1
    least, most = round_outward((min(int(observed[0]), 0), max(int(observed[1]), 0)))
    return max(lo, least), min(hi, most)


def _looked_up(value: onnx_ir.Value) -> list[int]:
    """For each Gather that chooses by a value, the number of elements to choose from."""
    sizes = []
    for node, index in value.uses():
        if node.op_type == "Gather" and index == 1 and node.inputs[0] is not None:
            axis = node.attributes["axis"].as_int() if "axis" in node.attributes else 0
            sizes.append(static_shape(node.inputs[0])[axis])
        elif node.op_type in _PASSING_ON and index == 0:
            sizes += _looked_up(node.outputs[0])
    return sizes


def _is_read(value: onnx_ir.Value) -> bool:
    return bool(value.name) and (bool(value.uses()) or value.is_graph_output())


def _require_no_overflow(value: onnx_ir.Value, result: Activation, limits: tuple[int, int]) -> None:
    """Check that integers stay within their type, because the model would wrap around.

    Raises:
        UnsupportedOperatorError: they could leave it.
    """
    if not isinstance(result.pending, AffineMap):
        return
    unit = Fraction(2) ** -result.value.frac_bits
    ends = [result.pending.exactly(end * unit) for end in result.value.interval]
    if min(ends) < limits[0] or max(ends) > limits[1]:
        assert value.dtype is not None
        raise UnsupportedOperatorError(
            f"its result {value.name!r} could reach {int(min(ends))} to {int(max(ends))} and overflow "
            f"{value.dtype.name}; compute in a wider type"
        )
