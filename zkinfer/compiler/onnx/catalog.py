"""The supported operators as a document: `python -m zkinfer.compiler.onnx.catalog > docs/operators.md`."""

import inspect
import typing
from collections import defaultdict

from zkinfer.compiler.lowering.activation import Activation, Constant
from zkinfer.compiler.onnx import decompose, ops, registry
from zkinfer.compiler.onnx.conversion import MIN_OPSET
from zkinfer.compiler.onnx.decomposition import decompositions, shown
from zkinfer.compiler.onnx.load import MAX_OPSET
from zkinfer.compiler.onnx.loops import MAX_UNROLLED_NODES

_HEAD = f"""# Operators

Written by `python -m zkinfer.compiler.onnx.catalog`; a test holds it against the code.

A model may use operator sets {MIN_OPSET} to {MAX_OPSET}. Older ones are converted, and the model before and after the
conversion is run on the calibration data: a difference is an error that names the operator. Constants are folded first:
values that do not depend on the model's inputs (shapes, ranges, masks) need no operator of this list. Inputs hold
floats, truth values or integers; bfloat16 is widened to float32. An integer by which a `Gather` chooses may be any
position, and a negative one as far from the end as in the calibration data; other integers range over the values in the
calibration data.

An operator that is not in the list is an error when the model is compiled. The error names the node, the operator, its
version and a supported operator of nearly the same name, if there is one. All nodes that are refused come in one list:
those whose operator, attributes or kinds of inputs are not supported before anything is calibrated, and those whose
values cannot be bounded when the model is lowered.

## Lowered one by one

Versions are those of the operator itself: the operator set that introduced each.
"""

_STEPS = f"""
## Taken apart first

These layers are replaced by operators of the list above, each of which is calibrated by itself. Of recurrent layers
these work on all steps of the sequence at once, and the circuit has one copy of the cell for each direction, however
many steps there are. Every tensor has one format at all steps; the states pass through it from step to step. What an
exporter has unrolled stays unrolled: torch's default one does so with `nn.RNN`, which `exporter="torchscript"` keeps as
it is.

Scans, and Loops whose number of steps is known, are recurrences too. The number of steps is that of a Scan's sequences;
of a Loop it is a constant, or where a condition ends it that depends on constants alone, such as that of a counter.
Where the body consists of elementwise operators, products of matrices, reductions, softmaxes and operators that move
elements, and the states hold floats and keep their shapes, all steps are computed at once, and the circuit has one copy
of what leads from states to states. Any other body, such as one with a convolution, a recurrent layer or a further loop
in it, is written out for every step, up to {MAX_UNROLLED_NODES:,} nodes of the model in all; what is repeated within a
step stays a recurrence in each. An If needs a constant condition.

Of trees, all comparisons are computed, and then the leaf that they lead to; every feature has a format of its own, so
features need not be scaled before training. Operators of `com.microsoft` are onnxruntime's. Those that quantize
activations while they run, and MatMulInteger and ConvInteger after a DynamicQuantizeLinear, are taken in their float
meaning: weights are the quantized ones, activations are not rounded to the 8 bits that the data would choose, and
compiling says for how many products that holds.
"""

_HINTS = """
## What is not supported of them

"""


def document() -> str:
    """The whole document, in Markdown."""
    assert ops
    assert decompose
    return "\n".join([_HEAD, *_operators(), _STEPS, *_layers(), _HINTS.rstrip(), "", *_hints()]) + "\n"


def _operators() -> list[str]:
    versions: dict[tuple[str, str], list[registry.Operator]] = defaultdict(list)
    for operator in registry.operators():
        versions[operator.domain, operator.name].append(operator)
    rows = ["| operator | versions | inputs that have to be constants |", "|---|---|---|"]
    for (domain, name), known in sorted(versions.items()):
        known.sort(key=lambda operator: operator.since_version)
        numbers = ", ".join(str(operator.since_version) for operator in known)
        title = f"{domain}.{name}" if domain else name
        rows.append(f"| {title} | {numbers} | {', '.join(_constants(known[-1])) or '-'} |")
    return rows


def _constants(operator: registry.Operator) -> list[str]:
    """The inputs of an operator that have to be constants."""
    hints = typing.get_type_hints(operator.handler)
    _, *parameters = inspect.signature(operator.handler).parameters.values()
    inputs = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
    taken = {name: registry.kinds(hints[name]) for name in inputs}
    return [f"`{name}`" for name in inputs if Constant in taken[name] and Activation not in taken[name]]


def _layers() -> list[str]:
    rows = ["| layer | from version |", "|---|---|"]
    lowered = {operator.name for operator in registry.operators()}
    first: dict[str, int] = {}
    for known in decompositions():
        name = shown(known.domain, known.name)
        if name not in lowered:
            first[name] = min(known.since_version, first.get(name, known.since_version))
    return rows + [f"| {name} | {since} |" for name, since in sorted(first.items())]


def _hints() -> list[str]:
    return [f"* {name}: {hint.removeprefix('in this form; ')}" for name, hint in sorted(registry.hints().items())]


if __name__ == "__main__":
    print(document(), end="")
