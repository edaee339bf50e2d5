"""The registry: exact versions, arguments as the schema has them, and errors that name a way out."""

import inspect

import onnx
import pytest

from zkinfer.compiler.lowering.activation import Constant
from zkinfer.compiler.lowering.emitter import Emitter
from zkinfer.compiler.lowering.precision import EZKL
from zkinfer.compiler.onnx import decomposition, decompositions, ops
from zkinfer.compiler.onnx.decompositions import contributed
from zkinfer.compiler.onnx.decompositions.classical import DOMAIN
from zkinfer.compiler.onnx.registry import Intermediate, Operator, find, hints, operators
from zkinfer.errors import UnsupportedOperatorError

assert ops
assert decompositions


@pytest.mark.parametrize("operator", operators(), ids=lambda o: f"{o.name}-{o.since_version}")
def test_a_handler_has_the_signature_of_its_schema(operator: Operator) -> None:
    schema = onnx.defs.get_schema(operator.name, operator.since_version, operator.domain)
    assert schema.since_version == operator.since_version
    _, *parameters = inspect.signature(operator.handler).parameters.values()
    inputs = [p for p in parameters if p.kind is not p.KEYWORD_ONLY]
    newest = newest_schema(operator)
    assert len(schema.inputs) <= len(inputs) == len(newest.inputs)
    for parameter, formal in zip(inputs, newest.inputs, strict=True):
        optional = formal.option is onnx.defs.OpSchema.FormalParameterOption.Optional
        assert optional == (parameter.default is None)
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY:
            check_default(parameter, operator, schema)


def newest_schema(operator: Operator) -> onnx.defs.OpSchema:
    """The schema of the newest version that the same handler serves."""
    versions = [o.since_version for o in operators() if o.handler is operator.handler]
    return onnx.defs.get_schema(operator.name, max(versions), operator.domain)


RENAMED = {("GridSample", "bilinear"): "linear"}
"""Values of attributes that have another name since some operator set."""


def check_default(parameter: inspect.Parameter, operator: Operator, schema: onnx.defs.OpSchema) -> None:
    # A handler that serves several versions knows attributes that the older ones lack.
    attribute = schema.attributes.get(parameter.name)
    if attribute is None:
        assert parameter.name in newest_schema(operator).attributes
    elif attribute.required:
        assert parameter.default is parameter.empty
    elif attribute.default_value.type:
        stated = onnx.helper.get_attribute_value(attribute.default_value)
        stated = stated.decode() if isinstance(stated, bytes) else stated
        stated = RENAMED.get((operator.name, str(stated)), stated)
        assert parameter.default == (pytest.approx(stated) if isinstance(stated, float) else stated)


@pytest.mark.parametrize("operator", operators(), ids=lambda o: f"{o.name}-{o.since_version}")
def test_no_attribute_of_a_schema_is_overlooked(operator: Operator) -> None:
    schema = onnx.defs.get_schema(operator.name, operator.since_version, operator.domain)
    known = set(inspect.signature(operator.handler).parameters)
    # A Constant never gets this far, and axes that shape inference has used up may be left out.
    assert set(schema.attributes) <= known


class TestFind:
    def test_the_version_follows_from_the_operator_set(self) -> None:
        assert find("", "Softmax", 17).since_version == 13
        assert find("ai.onnx", "ReduceMean", 17).since_version == 13
        assert find("", "ReduceMean", 18).since_version == 18

    @pytest.mark.parametrize(
        ("name", "opset", "message"),
        [
            ("Relu", 5, r"not supported in this version; supported are its versions of opset 13, 14"),
            ("Softmax", 12, r"not supported in this version; supported are its versions of opset 13"),
            ("LSTM", 17, "in this form; supported are constant weights"),
            ("MaxUnpool", 17, "the nearest name of one that is supported is MaxPool; docs/operators"),
            ("Swoosh", 17, "the nearest name of one that is supported is Swish; docs/operators"),
            ("RoiAlign", 17, r"the operator is not supported; docs/operators.md lists those that are$"),
            ("Zzz", 17, r"the operator is not supported; docs/operators.md lists those that are$"),
        ],
    )
    def test_what_is_not_supported_is_refused_with_the_nearest_that_is(
        self, name: str, opset: int, message: str
    ) -> None:
        with pytest.raises(UnsupportedOperatorError, match=message):
            find("", name, opset)

    def test_hints_are_about_operators_that_are_not_supported(self) -> None:
        newest = {(o.name, o.since_version) for o in operators()}
        assert {"DFT", "LSTM", "Upsample"} < set(hints())
        of_onnxruntime = {name for name in hints() if name.startswith(f"{contributed.DOMAIN}.")}
        assert of_onnxruntime <= {f"{known.domain}.{known.name}" for known in decomposition.decompositions()}
        of_computed_forms = {known.name for known in decomposition.decompositions()}
        for name in hints().keys() - of_onnxruntime - of_computed_forms:
            domain = "" if onnx.defs.has(name) else DOMAIN
            assert (name, onnx.defs.get_schema(name, domain=domain).since_version) not in newest


class TestTakesComputed:
    @pytest.mark.parametrize(
        ("name", "count", "taken"),
        [
            ("Conv", 3, [True, False, False]),
            ("QLinearMatMul", 8, [True, False, False, True, False, False, False, False]),
            ("Concat", 4, [True] * 4),
            ("Clip", 1, [True]),
        ],
    )
    def test_what_is_not_a_constant_may_depend_on_inputs(self, name: str, count: int, taken: list[bool]) -> None:
        assert find("", name, 21).takes_computed(count) == taken


class TestBind:
    def setup_method(self) -> None:
        self.x = Emitter(EZKL).input("x", (1, 4), (-1.0, 1.0))
        self.c = Constant("c", onnx.numpy_helper.to_array(onnx.helper.make_tensor("c", 1, [1], [1.0])))

    def test_defaults_are_those_of_the_schema(self) -> None:
        bound = find("", "Gemm", 13).bind([self.x, self.c], {"transB": 1})
        bound.apply_defaults()
        assert bound.kwargs == {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 1}

    @pytest.mark.parametrize(
        ("name", "inputs", "attributes", "message"),
        [
            ("Gemm", "xc", {"gamma": 1.0}, "attribute 'gamma' is not supported; supported attributes: alpha, beta"),
            ("Relu", "x", {"slope": 1.0}, "attribute 'slope' is not supported; supported attributes: none"),
            ("Relu", "xx", {}, "its inputs and attributes are not supported"),
            ("Gemm", "x", {}, "its inputs and attributes are not supported"),
            ("Relu", "c", {}, "its input X, 'c', is a constant; only a computed one is supported"),
            ("PRelu", "xx", {}, "its input slope, 'x', is computed; only a constant is supported"),
            ("Concat", "xx", {}, "its inputs and attributes are not supported"),
        ],
    )
    def test_arguments_that_do_not_fit(
        self, name: str, inputs: str, attributes: dict[str, float], message: str
    ) -> None:
        given: list[Intermediate | None] = [self.x if letter == "x" else self.c for letter in inputs]
        with pytest.raises(UnsupportedOperatorError, match=message):
            find("", name, 14).bind(given, attributes)
