"""From a normalized ONNX model to an integer program."""

from collections.abc import Mapping
from typing import Any

import onnx_ir

from zkinfer.errors import InvalidInputError, ShapeError, UnsupportedOperatorError, ZkinferError
from zkinfer.onnx import ops, registry
from zkinfer.quantize.builder import Built, Value
from zkinfer.quantize.calibrate import Calibration
from zkinfer.quantize.lazy import Activation, Affine, Constant, Emitter, Operand
from zkinfer.quantize.lowered import Layer, Lowered
from zkinfer.quantize.precision import Precision
from zkinfer.quantize.reference import is_float, static_shape
from zkinfer.quantize.tables import Range

__all__ = ["import_model", "ops"]


def import_model(model: onnx_ir.Model, calibration: Calibration, precision: Precision) -> Lowered:
    """Lower a model, operator by operator.

    Args:
        model: as `zkinfer.onnx.load.load_model` returns it.
        calibration: statistics of the same model's tensors.
        precision: how many bits to spend.

    Returns:
        The program, whose inputs and outputs are the model's, in its order; the same bytes every time.

    Raises:
        UnsupportedOperatorError: an operator, or a form of one, that is not lowered; the message names the node.
        BoundsError: no table of the allowed size serves a tensor, or a sum leaves the range of exact arithmetic.
        NotFiniteError: a weight is NaN or infinite.
        InvalidInputError: the calibration is of another model.
    """
    return _Importer(model, calibration, precision).run()


class _Importer:
    def __init__(self, model: onnx_ir.Model, calibration: Calibration, precision: Precision) -> None:
        self._model, self._calibration = model, calibration
        self._emitter = Emitter(precision)
        self._opsets: Mapping[str, int] = {domain or "": version for domain, version in model.opset_imports.items()}
        self._operands: dict[onnx_ir.Value, Operand] = {}

    def run(self) -> Lowered:
        graph = self._model.graph
        for value in graph.initializers.values():
            if value.const_value is not None:
                self._operands[value] = Constant(value.name or "", value.const_value.numpy())
        for value in graph.inputs:
            self._operands[value] = self._input(value)
        for node in graph:
            self._node(node)
        outputs = []
        for value in graph.outputs:
            operand = self._operands[value]
            if isinstance(operand, Constant):
                raise UnsupportedOperatorError(f"output {value.name!r} is a constant; leave it out of the model")
            outputs.append(self._emitter.output(operand))
        built = self._emitter.builder.finish(outputs)
        return Lowered(built.program, built.weights, self._layers(built, outputs))

    def _seen(self, value: onnx_ir.Value) -> Range | None:
        """The calibrated range of a tensor; None of one that does not hold floats."""
        if not is_float(value):
            return None
        stats = self._calibration.tensors.get(value.name or "")
        if stats is None:
            raise InvalidInputError(f"the calibration knows no tensor {value.name!r}: it is of another model")
        return stats.lo, stats.hi

    def _input(self, value: onnx_ir.Value) -> Activation:
        seen = self._seen(value)
        if seen is None:
            assert value.dtype is not None
            raise UnsupportedOperatorError(
                f"input {value.name!r} holds {value.dtype.name}; only float inputs are supported: cast it before the "
                "model, and look embeddings up outside the circuit"
            )
        return self._emitter.input(value.name or "", static_shape(value), seen)

    def _node(self, node: onnx_ir.Node) -> None:
        opset = self._opsets.get(node.domain or "", 0)
        try:
            results = self._results(node, opset)
            for value, result in zip(node.outputs, results, strict=False):
                self._operands[value] = self._checked(value, result)
        except ZkinferError as error:
            where = f"node {node.name!r} ({node.domain or 'ai.onnx'}.{node.op_type}, opset {opset})"
            raise type(error)(f"{where}: {error}") from error

    def _results(self, node: onnx_ir.Node, opset: int) -> tuple[Activation, ...]:
        operator = registry.find(node.domain, node.op_type, opset)
        inputs = [None if value is None else self._operands[value] for value in node.inputs]
        self._emitter.label = node.outputs[0].name or ""
        attributes = {name: _attribute(attribute) for name, attribute in node.attributes.items()}
        if all(x is None or isinstance(x, Constant) for x in inputs):
            raise UnsupportedOperatorError("it computes a constant; fold constants before the model is imported")
        bound = operator.bind(inputs, attributes)
        result = operator.handler(self._emitter, *bound.args, **bound.kwargs)
        results = result if isinstance(result, tuple) else (result,)
        for value in node.outputs[len(results) :]:
            if value.name and (value.uses() or value.is_graph_output()):
                raise UnsupportedOperatorError(f"its output {value.name!r} is not supported; only the first is")
        return results

    def _checked(self, value: onnx_ir.Value, result: Activation) -> Activation:
        shape = static_shape(value)
        if result.shape != shape:
            raise ShapeError(f"it gives {value.name!r} the shape {result.shape}, but the model says {shape}")
        shared = len(value.uses()) + value.is_graph_output() > 1
        return self._emitter.named(result, value.name or "", seen=self._seen(value), shared=shared)

    def _layers(self, built: Built, outputs: list[Value]) -> tuple[Layer, ...]:
        """Where the program holds tensors that the model's nodes compute."""
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
        if a.made and a.made[0].number in numbers:
            _, lo, hi = self._emitter.format(a)
            return Layer(a.label, numbers[a.made[0].number], 1.0, 0.0, (lo, hi))
        if isinstance(a.pending, Affine) and a.value.number in numbers:
            scale, offset = a.pending
            return Layer(a.label, numbers[a.value.number], float(scale), float(offset), None)
        return None


def _attribute(attribute: onnx_ir.Attr) -> Any:
    if attribute.type is onnx_ir.AttributeType.TENSOR:
        return attribute.as_tensor().numpy()
    return attribute.value
