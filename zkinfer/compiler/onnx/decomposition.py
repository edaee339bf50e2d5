"""Which ONNX operators are replaced by several simpler ones, and by what rule.

The values inside such an operator depend on the input. As operators of their own they are calibrated, and get a
Q-format, each. A rule is a function of a `Subgraph`, which it fills, and of the operator's inputs; it returns the
values that take the place of the outputs, or None of a form of the operator that it does not cover.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from onnx_ir import Node, Value

from zkinfer.compiler.onnx import registry

Rule = Callable[..., list[Value] | None]
R = TypeVar("R", bound=Rule)


@dataclass(frozen=True)
class Decomposition:
    """An operator that a rule replaces.

    Attributes:
        domain, name: as in ONNX; the standard domain is "".
        since_version: first version of the operator set in which the operator has this meaning.
        rule: makes the operators that replace it.
    """

    domain: str
    name: str
    since_version: int
    rule: Rule


_decompositions: list[Decomposition] = []


def decomposition(name: str, since_version: int, *, domain: str = "", hint: str | None = None) -> Callable[[R], R]:
    """Register a rule for an operator.

    Args:
        name, since_version, domain: see `Decomposition`.
        hint: which forms of the operator the rule covers, for the error that a model has another.
    """

    def register(rule: R) -> R:
        _decompositions.append(Decomposition(domain, name, since_version, rule))
        if hint is not None:
            registry.add_hint(shown(domain, name), f"in this form; {hint}")
        return rule

    return register


def shown(domain: str, name: str) -> str:
    """An operator's name for readers; onnxruntime has some with names of the standard's."""
    return f"{domain}.{name}" if domain == "com.microsoft" else name


def decompositions() -> tuple[Decomposition, ...]:
    """All that are registered."""
    return tuple(_decompositions)


def find_rule(node: Node, opset: int) -> Rule | None:
    """The rule for a node at a version of the domain's operator set; None if there is none."""
    known = [d for d in _decompositions if (d.domain, d.name) == (node.domain, node.op_type)]
    fitting = [d for d in known if d.since_version <= opset]
    return max(fitting, key=lambda d: d.since_version).rule if fitting else None
