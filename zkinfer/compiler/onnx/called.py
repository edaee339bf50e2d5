"""Modules that are called by keyword, or give more than a tuple of tensors, as modules that exporters take.

Modules of Hugging Face's transformers take their inputs by name and give a `ModelOutput`, a mapping that holds tensors
beside caches and None. Others give dictionaries, or tuples within tuples, as torch's own recurrent layers do.
"""

from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

from zkinfer.errors import InvalidInputError

PREFIX = "module."
"""What the names of parameters begin with in a module that was adapted."""


class Call(NamedTuple):
    """How a module is called.

    Attributes:
        module: takes tensors by position, and gives a tensor or a tuple of them; the caller's, or one around it.
        names, examples: of its inputs.
        outputs: names of its outputs.
        adapted: whether it is one around the caller's.
    """

    module: Any
    names: list[str]
    examples: list[Any]
    outputs: list[str]
    adapted: bool


def call_of(
    torch: ModuleType,
    module: Any,
    names: Sequence[str],
    examples: Sequence[Any],
    *,
    by_name: bool,
    outputs: Sequence[str] | None,
) -> Call:
    """How to call a module; it is run once.

    Args:
        torch: the package.
        module: in evaluation mode.
        names, examples: of the inputs.
        by_name: whether the module has to be given them by name.
        outputs: the names of those to keep: keys of the mapping that the module gives, or else "output", or "output_0"
            and so on where there are several; None for all tensors.

    Raises:
        InvalidInputError: the module gives no tensor, or none of such a name.
    """

    def run(inputs: Sequence[Any]) -> Any:
        return module(**dict(zip(names, inputs, strict=True))) if by_name else module(*inputs)

    result = run(examples)
    plain = isinstance(result, torch.Tensor) or (
        isinstance(result, (list, tuple)) and all(isinstance(x, torch.Tensor) for x in result)
    )
    found = dict(_tensors(torch, result))
    if not found:
        raise InvalidInputError(
            f"the module returns {type(result).__name__}, something in which there is no tensor; wrap it in a module "
            "that returns tensors"
        )
    unknown = [name for name in outputs or () if name not in found]
    if unknown:
        raise InvalidInputError(f"the module gives no tensor named {unknown[0]!r}; it gives {list(found)}")
    kept = list(found if outputs is None else outputs)
    if plain and not by_name and kept == list(found):
        return Call(module, list(names), list(examples), kept, adapted=False)

    class Adapted(torch.nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.module = module

        def forward(self, *inputs: Any) -> Any:
            given = dict(_tensors(torch, run(inputs)))
            return tuple(given[name] for name in kept)

    return Call(Adapted(), list(names), list(examples), kept, adapted=True)


def _tensors(torch: ModuleType, result: Any) -> Iterator[tuple[str, Any]]:
    """The tensors of a module's result by name: keys of a mapping, or else `output`, with a number of several."""
    if isinstance(result, Mapping):
        yield from ((name, x) for name, x in result.items() if isinstance(x, torch.Tensor))
        return
    found = list(_flattened(torch, result))
    for number, tensor in enumerate(found):
        yield ("output" if len(found) == 1 else f"output_{number}"), tensor


def _flattened(torch: ModuleType, result: Any) -> Iterator[Any]:
    """The tensors within tuples and lists, in order; what else there is, such as None and caches, is left out."""
    if isinstance(result, torch.Tensor):
        yield result
    elif isinstance(result, (list, tuple)):
        for part in result:
            yield from _flattened(torch, part)
