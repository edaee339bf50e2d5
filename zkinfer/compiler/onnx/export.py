"""From a torch module to ONNX, by either of torch's exporters."""

import inspect
import linecache
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal
from unittest import mock

import numpy as np
import onnx

from zkinfer.compiler.calibration.detached import Detached, detached, detached_ir
from zkinfer.compiler.onnx.called import PREFIX, Call, call_of
from zkinfer.compiler.onnx.experts import dense_experts
from zkinfer.compiler.onnx.published import PARAMETERS
from zkinfer.compiler.onnx.quiet import quiet
from zkinfer.compiler.onnx.read import rename
from zkinfer.errors import CompileError, InvalidInputError, MissingDependencyError
from zkinfer.extras import install
from zkinfer.typing import Array

if TYPE_CHECKING:
    import torch

Exporter = Literal["dynamo", "torchscript"]

_LOGGERS = ("torch", "onnxscript", "onnx_ir")


def export(
    module: "torch.nn.Module",
    example_inputs: Any,
    *,
    exporter: Exporter = "dynamo",
    opset: int = 18,
    outputs: Sequence[str] | None = None,
) -> onnx.ModelProto:
    """An ONNX model of the module in evaluation mode, its batch left open.

    The module's training flags are restored afterwards, and nothing else about it is touched. Inputs are named after
    the parameters of `forward`. Outputs are all tensors that the module gives: under their names where it gives a
    mapping, as modules of Hugging Face's transformers do, or else "output", or "output_0" and so on of several.

    Args:
        module: takes tensors whose first axis is the batch.
        example_inputs: a tensor or numpy array; a list or tuple of them, one for each parameter of `forward`; or a
            mapping from parameter names to them. Only their shapes and dtypes matter.
        exporter: "dynamo" (torch.export, the newer one) or "torchscript" (tracing, the older one).
        opset: version of the ONNX operator set to write; dynamo writes 18 and newer.
        outputs: the names of those to keep, such as `["logits"]`.

    Raises:
        MissingDependencyError: torch is not installed.
        InvalidInputError: the argument is not a module, the module fails on the examples, it does not give such an
            output, or the exporter is unknown.
        CompileError: the exporter fails on the module, or warns that its result depends on the values of the examples,
            because a line of the module makes a Python number or truth value of a tensor; the message names the line.
    """
    return export_call(prepare(module, example_inputs, outputs), exporter=exporter, opset=opset).whole()


def prepare(module: Any, example_inputs: Any, outputs: Sequence[str] | None = None) -> Call:
    """How a module is called with inputs such as these; the arguments and errors are those of `export`."""
    torch = _import_torch()
    if not isinstance(module, torch.nn.Module):
        raise InvalidInputError(f"only a torch.nn.Module can be exported, got {type(module).__name__}")
    names, examples, by_name = _examples(torch, module, example_inputs)
    with evaluation_mode(module), torch.no_grad(), quiet(*_LOGGERS):
        try:
            return call_of(torch, module, names, examples, by_name=by_name, outputs=outputs)
        except InvalidInputError:
            raise
        except Exception as error:  # whatever the module's own code raises
            shapes = ", ".join(
                f"{name} {tuple(example.shape[1:])}" for name, example in zip(names, examples, strict=True)
            )
            raise InvalidInputError(
                f"the module fails on the example inputs, of which one sample each has the shape {shapes} (the first "
                f"axis counts samples): {_gist(error)}"
            ) from error


def export_call(call: Call, *, exporter: Exporter = "dynamo", opset: int = 18) -> Detached:
    """An ONNX model of a module that is called like this, which may share the memory of its parameters.

    The rest is as for `export`.
    """
    torch = _import_torch()
    if exporter not in ("dynamo", "torchscript"):
        raise InvalidInputError(f'exporter is "dynamo" or "torchscript", got {exporter!r}')
    with (
        evaluation_mode(call.module),
        dense_experts(torch, call.module),
        torch.no_grad(),
        quiet(*_LOGGERS, printed=True),
    ):
        try:
            write = _by_dynamo if exporter == "dynamo" else _by_torchscript
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always", torch.jit.TracerWarning)
                model = write(torch, call, opset)
        except Exception as error:  # the exporters raise anything, from RuntimeError to their own classes
            raise _failure(torch, error, exporter) from error
        _require_no_branch(torch, warned)
    proto = model.proto
    if call.adapted:
        stored = [tensor.name for tensor in proto.graph.initializer if tensor.name.startswith(PREFIX)]
        rename(proto.graph, {name: name.removeprefix(PREFIX) for name in stored})
    proto.metadata_props.add(key=PARAMETERS, value="initializers")
    for value in proto.graph.input:
        if not value.type.tensor_type.shape.dim[0].dim_param:
            raise CompileError(
                f"the module takes {value.name!r} with a batch of {value.type.tensor_type.shape.dim[0].dim_value} "
                "alone; write it so that it takes any batch size (x.shape[0] or -1 in place of a number)"
            )
    return model


def is_module(source: Any) -> bool:
    """Whether this is a torch module; torch is not imported, because it already is if there is a module."""
    return any(c.__module__ == "torch.nn.modules.module" and c.__name__ == "Module" for c in type(source).__mro__)


def stored_bytes(module: Any) -> int:
    """How many bytes the parameters and buffers of a module have; those that it shares count once."""
    tensors = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    return sum(int(tensor.nbytes) for tensor in tensors.values())


def _import_torch() -> ModuleType:
    try:
        import torch
    except ImportError as error:
        raise MissingDependencyError(f"exporting a module needs torch: {install('torch')}") from error
    assert isinstance(torch, ModuleType)
    return torch


def _examples(torch: ModuleType, module: Any, example_inputs: Any) -> tuple[list[str], list[Any], bool]:
    """Names and tensors of the inputs, in the order of `forward`'s parameters, with at least two samples, and whether
    the module has to be given them by name.

    A single sample is doubled, because torch.export regards an axis of size 1 as fixed.
    """
    positional, rest = _positional(module)
    by_name = False
    if isinstance(example_inputs, Mapping):
        known = [p.name for p in inspect.signature(module.forward).parameters.values() if p.kind is not p.VAR_KEYWORD]
        names = [name for name in known if name in example_inputs]
        if len(names) != len(example_inputs):
            raise InvalidInputError(f"the module's forward takes {known}, got examples for {list(example_inputs)}")
        by_name = names != positional[: len(names)]
        values: Sequence[Any] = [example_inputs[name] for name in names]
    else:
        values = list(example_inputs) if isinstance(example_inputs, (list, tuple)) else [example_inputs]
        names = [*positional, *(f"{rest or 'input'}_{i}" for i in range(len(values) - len(positional)))][: len(values)]
    if not values:
        raise InvalidInputError("exporting needs an example of every input")
    tensors = []
    for name, value in zip(names, values, strict=True):
        tensor = value.detach() if isinstance(value, torch.Tensor) else _tensor(torch, np.array(value))
        if tensor.ndim == 0 or len(tensor) == 0:
            raise InvalidInputError(
                f"the example for {name!r} has shape {tuple(tensor.shape)}; its first axis is the batch"
            )
        tensors.append(torch.cat([tensor, tensor]) if len(tensor) == 1 else tensor)
    return names, tensors, by_name


def _positional(module: Any) -> tuple[list[str], str | None]:
    """The names of the parameters of `forward` that are given by position, and of the one that takes any number."""
    parameters = inspect.signature(module.forward).parameters.values()
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return named, next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), None)


def _tensor(torch: ModuleType, array: Array) -> Any:
    """A tensor of an array, also of bfloat16, which torch does not take from numpy."""
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.astype(np.float32)).to(torch.bfloat16)
    return torch.from_numpy(array)


def _by_dynamo(torch: ModuleType, call: Call, opset: int) -> Detached:
    batch = torch.export.Dim("batch")
    sizes: list[Any] = [{0: batch} for _ in call.examples]
    named, rest = _positional(call.module)
    if rest is not None:
        # torch regards the parameters without a name as one, a tuple.
        sizes[len(named) :] = [tuple(sizes[len(named) :])]
    program = torch.onnx.export(
        call.module,
        tuple(call.examples),
        dynamo=True,
        opset_version=opset,
        input_names=call.names,
        output_names=call.outputs,
        dynamic_shapes=tuple(sizes),
        verbose=False,
        # Constants that the module writes down stay Constant nodes, apart from its parameters.
        optimize=False,
    )
    return detached_ir(program.model)


def _by_torchscript(torch: ModuleType, call: Call, opset: int) -> Detached:
    buffer = BytesIO()
    # Where it fails it writes the graph past Python's own streams, and no option of it says otherwise.
    with mock.patch.object(torch._C, "_jit_onnx_log", create=True):
        torch.onnx.export(
            call.module,
            tuple(call.examples),
            buffer,
            dynamo=False,
            opset_version=opset,
            input_names=call.names,
            output_names=call.outputs,
            dynamic_axes={name: {0: "batch"} for name in (*call.names, *call.outputs)},
        )
    return detached(onnx.load_model_from_string(buffer.getvalue()))


_BRANCHES = (
    "A circuit is straight-line: choose by torch.where or by arithmetic with truth values, or leave the choice to "
    "whoever reads the outputs"
)


def _failure(torch: ModuleType, error: Exception, exporter: Exporter) -> CompileError:
    """What to raise for an exception of an exporter."""
    causes: list[BaseException] = [error]
    while causes[-1].__cause__ is not None:
        causes.append(causes[-1].__cause__)
    if any("DataDependent" in type(cause).__name__ for cause in causes):
        frames = [frame for cause in causes for frame in traceback.extract_tb(cause.__traceback__)]
        own = [frame for frame in frames if not _is_of(torch, frame.filename) and not _is_ours(frame.filename)]
        where = f"line {own[-1].lineno} of {own[-1].filename} ({own[-1].line})" if own else "the module"
        return CompileError(f"{where} branches on data: it makes a Python number of a tensor's values. {_BRANCHES}")
    other = "torchscript" if exporter == "dynamo" else "dynamo"
    return CompileError(f'torch\'s exporter "{exporter}" fails on this module: {_gist(error)}. Try exporter="{other}"')


def _require_no_branch(torch: ModuleType, warned: Sequence[warnings.WarningMessage]) -> None:
    """Check that the tracer did not warn of what it recorded for these examples alone.

    Torch's own modules only branch on shapes, which are fixed.

    Raises:
        CompileError: it did; the message names the line.
    """
    for warning in warned:
        if issubclass(warning.category, torch.jit.TracerWarning) and not _is_of(torch, warning.filename):
            line = linecache.getline(warning.filename, warning.lineno).strip()
            raise CompileError(
                f"line {warning.lineno} of {warning.filename} ({line}) makes a Python value of a tensor, which the "
                "tracer takes from the example and keeps for all inputs: the export would be another function. "
                f'{_BRANCHES}. If the line depends on shapes alone, use exporter="dynamo"'
            )


def _is_of(package: ModuleType, filename: str) -> bool:
    """Whether a file belongs to a package."""
    return Path(filename).is_relative_to(Path(package.__file__ or "").parent)


def _is_ours(filename: str) -> bool:
    return Path(filename).is_relative_to(Path(__file__).parents[2])


@contextmanager
def evaluation_mode(module: Any) -> Iterator[None]:
    """Put every submodule in evaluation mode, and restore its own flag afterwards."""
    flags = [(submodule, submodule.training) for submodule in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for submodule, training in flags:
            submodule.training = training


def _gist(error: Exception) -> str:
    """The first line of the innermost cause: exporters wrap it in long messages."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    return (str(cause).strip() or type(cause).__name__).splitlines()[0].rstrip(".")
