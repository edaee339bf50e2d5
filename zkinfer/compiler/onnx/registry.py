"""Which ONNX operators are lowered one by one, and by which handler.

A handler is a function whose signature is the operator's schema: inputs are positional parameters, attributes are
keyword-only ones with the standard's defaults. Its first parameter is the `Emitter`. An input annotated `Constant`
has to be one, one annotated `Activation` has to depend on the model's inputs, an `Operand` is either. A handler is
registered for the exact versions of the operator that it implements. The operator set of a model determines which
version it uses.
"""

import difflib
import inspect
import typing
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import onnx
import onnx_ir

from zkinfer.compiler.lowering.activation import MASKED_BELOW, Activation, Constant, MaskedScores
from zkinfer.errors import UnsupportedOperatorError

Intermediate = Activation | Constant | MaskedScores
"""A tensor of a model while it is lowered."""

Result = Intermediate | tuple[Intermediate, ...]
Handler = Callable[..., Result]
H = TypeVar("H", bound=Handler)


@dataclass(frozen=True)
class Operator:
    """An operator as one handler implements it.

    Attributes:
        domain, name: as in ONNX; the standard domain is "".
        since_version: the operator set that introduced this version of the operator.
        handler: lowers it.
    """

    domain: str
    name: str
    since_version: int
    handler: Handler

    def bind(self, inputs: Sequence[Intermediate | None], attributes: dict[str, Any]) -> inspect.BoundArguments:
        """The handler's arguments after the first.

        Raises:
            UnsupportedOperatorError: an attribute or an input is unknown to the handler, or missing; or an input is a
                constant where the handler takes a computed one, or the other way round.
        """
        bound = self._bound(inputs, attributes)
        hints = typing.get_type_hints(self.handler)
        for name, given in bound.arguments.items():
            accepted = kinds(hints[name])
            for value in given if isinstance(given, tuple) else (given,):
                _require_kind(name, value, accepted)
        return bound

    def _bound(self, inputs: Sequence[Any], attributes: dict[str, Any]) -> inspect.BoundArguments:
        _, *parameters = inspect.signature(self.handler).parameters.values()
        known = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
        unknown = sorted(set(attributes) - set(known))
        if unknown:
            raise UnsupportedOperatorError(
                f"attribute {unknown[0]!r} is not supported; supported attributes: {', '.join(known) or 'none'}"
            )
        try:
            return inspect.Signature(parameters).bind(*inputs, **attributes)
        except TypeError as error:
            raise UnsupportedOperatorError(f"its inputs and attributes are not supported: {error}") from None

    def require_fitting(self, node: onnx_ir.Node, constants: Collection[onnx_ir.Value]) -> None:
        """Check what `bind` checks of a node, as far as the model alone tells it.

        Args:
            node: one of this operator.
            constants: the values of the model that do not depend on its inputs.

        Raises:
            UnsupportedOperatorError: see `bind`.
        """
        bound = self._bound(node.inputs, dict(node.attributes))
        hints = typing.get_type_hints(self.handler)
        for name, given in bound.arguments.items():
            accepted = kinds(hints[name])
            for value in given if isinstance(given, tuple) else (given,):
                if not isinstance(value, onnx_ir.Value):
                    continue
                if value in constants and Constant not in accepted:
                    raise _constant_refused(name, value.name or "")
                if value not in constants and Activation not in accepted:
                    raise _computed_refused(name, value.name or "")

    def takes_computed(self, count: int) -> list[bool]:
        """Whether each of so many inputs may depend on the model's inputs."""
        hints = typing.get_type_hints(self.handler)
        _, *parameters = inspect.signature(self.handler).parameters.values()
        taken = [Activation in kinds(hints[p.name]) for p in parameters if p.kind is not p.KEYWORD_ONLY]
        return (taken + taken[-1:] * count)[:count]


def kinds(hint: Any) -> tuple[object, ...]:
    """The types that a parameter with this annotation accepts."""
    return typing.get_args(hint) or (hint,)


def _require_kind(name: str, value: object, accepted: tuple[object, ...]) -> None:
    if isinstance(value, Constant) and Constant not in accepted:
        raise _constant_refused(name, value.name)
    if isinstance(value, MaskedScores) and MaskedScores not in accepted:
        raise UnsupportedOperatorError(
            f"its input {name} holds scores that are masked by {MASKED_BELOW:g} or less; only softmaxes and maxima "
            "take such scores, also after sums and operators that move elements"
        )
    if isinstance(value, Activation) and Activation not in accepted:
        raise _computed_refused(name, value.label)


def _constant_refused(parameter: str, name: str) -> UnsupportedOperatorError:
    return UnsupportedOperatorError(f"its input {parameter}, {name!r}, is a constant; only a computed one is supported")


def _computed_refused(parameter: str, name: str) -> UnsupportedOperatorError:
    return UnsupportedOperatorError(f"its input {parameter}, {name!r}, is computed; only a constant is supported")


_operators: dict[tuple[str, str, int], Operator] = {}
_hints: dict[str, str] = {}


def operator(*since_versions: int, name: str | None = None, domain: str = "") -> Callable[[H], H]:
    """Register a handler for some versions of the operator that it is named for, or of `name`."""

    def register(handler: H) -> H:
        for version in since_versions:
            known = Operator(domain, name or handler.__name__, version, handler)
            assert (domain, known.name, version) not in _operators, f"{known.name} {version} is registered twice"
            _operators[domain, known.name, version] = known
        return handler

    return register


def add_hint(name: str, hint: str) -> None:
    """Register what the error about an operator that is not lowered says: which forms are, or what to use instead."""
    _hints[name] = hint


def hints() -> dict[str, str]:
    """The hint for every operator that has one, by its name."""
    return dict(_hints)


def operators() -> tuple[Operator, ...]:
    """All that are registered."""
    return tuple(_operators.values())


def find(domain: str, name: str, opset: int) -> Operator:
    """The operator at a version of the operator set.

    Raises:
        UnsupportedOperatorError: it is not lowered; the message names one of nearly the same name that is, if any.
    """
    domain = "" if domain == "ai.onnx" else domain
    try:
        version = int(onnx.defs.get_schema(name, opset, domain).since_version)
    except onnx.defs.SchemaError:
        version = 0
    if (domain, name, version) in _operators:
        return _operators[domain, name, version]
    raise UnsupportedOperatorError(f"the operator is not supported{_instead(domain, name)}")


def find_for(node: onnx_ir.Node, opset: int) -> Operator:
    """The operator of a node; as `find`, and the message names the node too."""
    try:
        return find(node.domain, node.op_type, opset)
    except UnsupportedOperatorError as error:
        raise UnsupportedOperatorError(f"{described(node, opset)}: {error}") from None


def described(node: onnx_ir.Node, opset: int) -> str:
    """A node, for messages."""
    return f"node {node.name!r} ({node.domain or 'ai.onnx'}.{node.op_type}, opset {opset})"


def _instead(domain: str, name: str) -> str:
    same = [known for known in _operators.values() if known.domain == domain and known.name == name]
    versions = sorted(known.since_version for known in same)
    if versions:
        return f" in this version; supported are its versions of opset {', '.join(str(v) for v in versions)}"
    if name in _hints:
        return f"{' ' if _hints[name].startswith('in ') else '; '}{_hints[name]}"
    near = difflib.get_close_matches(name, sorted({known.name for known in _operators.values()}), n=1, cutoff=0.6)
    nearest = f"; the nearest name of one that is supported is {near[0]}" if near else ""
    return f"{nearest}; docs/operators.md lists those that are"
