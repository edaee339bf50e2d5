"""From what the caller and the proof say to the integers of the statement.

Inputs are the caller's, quantized to the circuit's grid. Outputs are those that the proof claims, once they fit the
program; where the caller states outputs too, both must be the same numbers. A value that the proof hides is a
commitment: the proof's own, which the caller may hold against the one that it expects.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from zkinfer.circuit.program import Program, Tensor
from zkinfer.circuit.qformat import as_array, dequantize, named, one_each, quantize, saturated
from zkinfer.circuit.samples import as_runs, batch_of, stacked_shape
from zkinfer.counts import counted
from zkinfer.errors import InvalidInputError, MalformedProofError, StatementError, UnusableStatementError
from zkinfer.files.proof import OutputTensor, PrivateTensor, Proof
from zkinfer.files.statement import MAX_RUNS, MAX_UNSTATED_RUNS, Shown
from zkinfer.typing import Array, FloatArray

Value: TypeAlias = npt.ArrayLike | bytes | None
"""Real numbers; or, for a tensor that the proof hides, the 32 bytes of the commitment to it, or None."""

MAX_DECIMALS = 15
NEAR = 0.05
"""Relative: outputs that differ by less may be those of the float model."""

SLACK = 2.0**-51
"""Relative: a decimal number that was read as float64, and its difference from another, are off by less."""

Values = Value | Sequence[Value] | Mapping[str, Value]


def claimed_runs(proof: Proof, program: Program) -> int:
    """How many runs of the program the proof speaks of: the number that the shapes of all its tensors agree on.

    Raises:
        MalformedProofError: they are not the program's shapes for any number of runs up to `MAX_RUNS`.
    """
    outputs = program.output_tensors
    if len(proof.output_tensors) != len(outputs):
        raise MalformedProofError(
            f"the proof claims {len(proof.output_tensors)} outputs; the program has {len(outputs)}"
        )
    if len(proof.private_inputs) not in (0, len(program.inputs)):
        raise MalformedProofError(
            f"the proof speaks of {len(proof.private_inputs)} inputs; the program has {len(program.inputs)}"
        )
    batch = batch_of(program)
    first = proof.output_tensors[0].shape[:1] or (0,)
    runs = first[0] // stacked_shape(outputs[0].shape, batch, 1)[0]
    if not 1 <= runs <= MAX_RUNS:
        raise MalformedProofError(
            f"the proof claims outputs of {counted(runs, 'run')}; from 1 to {MAX_RUNS:,} are possible"
        )
    tensors = (*(program.inputs if proof.private_inputs else ()), *outputs)
    for claim, tensor in zip((*proof.private_inputs, *proof.output_tensors), tensors, strict=True):
        shape = stacked_shape(tensor.shape, batch, runs)
        if claim is not None and claim.shape != shape:
            raise MalformedProofError(
                f"the proof claims a tensor of shape {claim.shape} where {tensor.label!r}, in "
                f"{counted(runs, 'run')}, has {shape}"
            )
    return runs


def check_runs(proof: Proof, runs: int, outputs: Values, max_runs: int | None) -> None:
    """Check that a proof does not make the caller check more runs than the caller asked about.

    Public inputs, or outputs that the caller states, bound the number. Where there is neither, only the prover has
    chosen it, and a short file may claim any.

    Raises:
        UnusableStatementError: there are more runs than `max_runs`; by default, than `MAX_UNSTATED_RUNS` if nothing
            that the caller hands in bounds them.
    """
    public_input = not all(proof.private_inputs) or not proof.private_inputs
    public_output = any(isinstance(tensor, OutputTensor) for tensor in proof.output_tensors)
    stated = public_input or (public_output and outputs is not None)
    limit = max_runs if max_runs is not None else MAX_RUNS if stated else MAX_UNSTATED_RUNS
    if runs > limit:
        raise UnusableStatementError(
            f"the proof claims {counted(runs, 'run')} of the circuit, and at most {limit:,} are checked here, since "
            "each takes time "
            f"and the prover alone has chosen their number; if you want that many, pass max_runs={runs} (--max-runs)"
        )


def claimed_outputs(claims: Sequence[OutputTensor | PrivateTensor], program: Program, runs: int) -> list[Shown]:
    """The outputs that a proof claims: integers, or the commitment to hidden ones.

    Args:
        claims: of the shapes that `claimed_runs` has checked.
        program: gives formats and bounds.
        runs: how many.

    Raises:
        MalformedProofError: they cannot be outputs of this program.
    """
    outputs: list[Shown] = []
    for claim, tensor in zip(claims, program.output_tensors, strict=True):
        if isinstance(claim, PrivateTensor):
            outputs.append(claim.root)
            continue
        if claim.frac_bits != tensor.frac_bits:
            raise MalformedProofError(
                f"the proof claims an output with {claim.frac_bits} fraction bits; the program's has {tensor.frac_bits}"
            )
        integers = claim.integers()
        if int(integers.min()) < tensor.lo or int(integers.max()) > tensor.hi:
            raise MalformedProofError("the proof claims output values outside the bounds that the program proves")
        outputs.append(integers.reshape(runs, *tensor.shape))
    return outputs


def stated_inputs(
    inputs: Values, proof: Proof, program: Program, runs: int, *, saturate: bool
) -> tuple[list[Shown], int]:
    """The inputs of the statement: the caller's, on the circuit's grid, or the commitment to hidden ones.

    Args:
        inputs: an array (for a single input), a sequence of one array an input, or a mapping from labels to arrays;
            where the proof hides an input, the commitment that is expected, or None.
        proof: says which inputs it hides; of the shapes that `claimed_runs` has checked.
        program: gives shapes, formats and bounds.
        runs: how many the proof speaks of.
        saturate: clip values that are out of bounds instead of refusing them.

    Returns:
        The inputs, and how many of their values were clipped.

    Raises:
        StatementError: an input is missing, or of a wrong shape, dtype or number of samples; NaN or infinity; out of
            bounds; or the proof hides another input than the one that is expected.
    """
    hidden = [None if claim is None else claim.root for claim in proof.private_inputs] or [None] * len(program.inputs)
    stated: list[Shown] = []
    clipped = 0
    for array, root, tensor in _given(inputs, program.inputs, hidden, "input"):
        if array is None:
            assert root is not None
            stated.append(root)
            continue
        shaped = _shaped(array, tensor, program, runs, f"input {tensor.label!r}")
        try:
            integers, more = saturated(shaped, tensor) if saturate else (quantize(shaped, tensor), 0)
        except InvalidInputError as error:
            raise UnusableStatementError(f"input {error}") from None
        stated.append(integers)
        clipped += more
    return stated, clipped


def compare_outputs(
    outputs: Values, claimed: Sequence[Shown], program: Program, runs: int, decimals: int | None = None
) -> None:
    """Hold the outputs that the caller states against those that the proof claims.

    They must be the same numbers; in an array of a shorter type, such as float32, the same once they are rounded to it.

    Args:
        outputs: as the caller has them.
        claimed: by the proof.
        program: gives shapes and formats.
        runs: how many.
        decimals: where the stated numbers were rounded, how many digits after the point they have.

    Raises:
        StatementError: wrong shape, or a number that differs; the message names the first. Also for `decimals` that
            are not a number of digits.
    """
    whole = isinstance(decimals, int) and not isinstance(decimals, bool)
    if decimals is not None and not (whole and 0 <= decimals <= MAX_DECIMALS):
        raise UnusableStatementError(f"decimals is a number of digits from 0 to {MAX_DECIMALS}, got {decimals!r}")
    hidden = [claim if isinstance(claim, bytes) else None for claim in claimed]
    given = _given(outputs, program.output_tensors, hidden, "output")
    for (array, _, tensor), integers in zip(given, claimed, strict=True):
        if array is None or isinstance(integers, bytes):
            continue
        shaped = _shaped(array, tensor, program, runs, f"output {tensor.label!r}")
        stated, expected = shaped.astype(np.float64), dequantize(integers, tensor)
        if decimals is not None:
            half = 0.5 * 10.0**-decimals + SLACK * np.abs(expected)
            differs = ~(np.abs(stated - expected) <= half)  # so that what is not a number differs
        elif shaped.dtype.kind == "f":
            differs = (shaped != expected.astype(shaped.dtype)) | ~np.isfinite(shaped)
        else:
            differs = stated != expected
        if differs.any():
            stacked = differs.reshape(stacked_shape(tensor.shape, batch_of(program), runs))
            index = tuple(int(i) for i in np.argwhere(stacked)[0])
            raise StatementError(
                f"output {tensor.label!r} at index {index}: stated {float(stated[differs][0])!r}, but the proof is for "
                f"{float(expected[differs][0])!r} ({int(differs.sum()):,} of {counted(differs.size, 'value')} differ)"
                f"{_advice(stated, expected) if decimals is None else ''}"
            )


def _advice(stated: FloatArray, expected: FloatArray) -> str:
    """Advice where the stated numbers are the proven ones, rounded, or those of the float model; otherwise nothing."""
    for decimals in range(2, MAX_DECIMALS):
        if np.array_equal(stated, np.round(expected, decimals)):
            say_so = f"say so with decimals={decimals} (--decimals)"
            return f"; they are the proven ones rounded to {decimals} digits: {say_so}"
    if np.allclose(stated, expected, rtol=NEAR, atol=NEAR * float(np.abs(expected).max(initial=0.0))):
        return "; if they are the float model's, which a circuit only approximates, leave them out: the result has them"
    return ""


def _given(
    values: Values, tensors: Sequence[Tensor], hidden: Sequence[bytes | None], what: str
) -> Iterator[tuple[Array | None, bytes | None, Tensor]]:
    """For each tensor the caller's array, or, of a hidden one, the commitment that the caller does not object to."""
    for entry, root, tensor in zip(_entries(values, tensors, what), hidden, tensors, strict=True):
        where = f"{what} {tensor.label!r}"
        is_commitment = isinstance(entry, (bytes, bytearray, memoryview))
        if root is None:
            if entry is None or is_commitment:
                raise UnusableStatementError(
                    f"{where} is public in this proof: hand in its values "
                    f"({what}s=, on the command line --{what}s FILE)"
                )
            try:
                yield as_array(entry), None, tensor
            except InvalidInputError as error:
                raise UnusableStatementError(f"{where}: {error}") from None
            continue
        if entry is not None and not is_commitment:
            raise UnusableStatementError(
                f"{where} is hidden in this proof, so that no values can be compared with it: hand in the commitment "
                "to it (32 bytes) that you expect, or nothing at all, and compare the commitment that the result shows"
            )
        if is_commitment and bytes(entry) != root:
            raise StatementError(f"{where} is hidden in this proof, behind another commitment than the one handed in")
        yield None, root, tensor


def _entries(values: Any, tensors: Sequence[Tensor], what: str) -> list[Any]:
    """What the caller says of each tensor; None where it says nothing."""
    labels = [tensor.label for tensor in tensors]
    if values is None:
        return [None] * len(tensors)
    given = named(values)
    if given is not None:
        if not set(given) <= set(labels):
            raise UnusableStatementError(f"the {what}s are named {labels}, got arrays named {list(given)}")
        return [given.get(label) for label in labels]
    entries = one_each(values, len(tensors))
    if len(entries) != len(labels):
        raise UnusableStatementError(
            f"there are {len(labels)} {what}s {labels}, got {len(entries)} arrays: a list holds one each"
        )
    return entries


def _shaped(array: Array, tensor: Tensor, program: Program, runs: int, where: str) -> Array:
    """The caller's array with an axis of runs: shape (runs, *tensor.shape)."""
    try:
        shaped = as_runs(array, tensor.shape, batch_of(program), where)
    except InvalidInputError as error:
        raise UnusableStatementError(str(error)) from None
    if len(shaped) != runs:
        raise StatementError(
            f"{where} has shape {array.shape}, for {counted(len(shaped), 'run')} of the circuit; the proof is of "
            f"{counted(runs, 'run')}: hand in what it was made for, no more and no less"
        )
    return shaped
