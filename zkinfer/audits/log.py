"""Auditing a log of inferences by running some of them again: cheap, and for whoever holds the weights.

A circuit is exact integer arithmetic, so that the same input gives the same output, bit for bit, on every machine, in
every batch and with any number of threads. A logged output that differs is a wrong one, and a random sample of the
log bounds how many of those there can be.

It proves nothing to others: that is what proofs are for. docs/audit.md says how an audit is set up.
"""

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table
from rich.text import Text

from zkinfer.audits.sampling import (
    SEED_BYTES,
    check_confidence,
    detectable,
    draw,
    miss_probability,
    sample_size,
    wrong_items,
)
from zkinfer.circuit.program import Program, Tensor
from zkinfer.circuit.qformat import as_array, as_arrays, as_batch, dequantize, quantize
from zkinfer.circuit.samples import chunks, count_runs, elements_per_run
from zkinfer.counts import counted
from zkinfer.errors import InputRangeError, InvalidInputError, NotFiniteError, ShapeError, VerificationError
from zkinfer.progress import progress
from zkinfer.typing import Array, FloatArray, IntArray

if TYPE_CHECKING:
    from zkinfer.compiler.model import Circuit


DEFAULT_RATE = 0.01
DEFAULT_CONFIDENCE = 0.99


@dataclass(frozen=True, slots=True)
class Difference:
    """An inference whose logged output is not what the circuit gives.

    Attributes:
        inference: its number in the log, from 0.
        output: the first output that differs.
        index: of the first number that differs, in the logged array of that output.
        expected: what the circuit gives there.
        logged: what the log says.
    """

    inference: int
    output: str
    index: tuple[int, ...]
    expected: float
    logged: float


@dataclass(frozen=True)
class AuditReport:
    """What running a sample of a log again has shown.

    An inference is one run of the circuit: one sample, or as many as its batch.

    Attributes:
        circuit_digest: of the circuit that was run, without its weights; 64 hexadecimal digits.
        logged: inferences in the log.
        rerun: how many of them were run again.
        seed: what the sample was drawn from, SEED_BYTES bytes; it is drawn again by `sampling.draw`.
        rate, confidence: what the audit was asked for.
        differences: one for each inference that differs, in the order of the log.
    """

    circuit_digest: str
    logged: int
    rerun: int
    seed: bytes
    rate: float
    confidence: float
    differences: tuple[Difference, ...]

    @property
    def ok(self) -> bool:
        """Whether every inference that was run again agrees, bit for bit."""
        return not self.differences

    @property
    def sample(self) -> IntArray:
        """The numbers of the inferences that were run again, in increasing order; shape (rerun,)."""
        return draw(self.seed, self.logged, self.rerun)

    @property
    def miss_probability(self) -> float:
        """The probability that a sample of this size holds no wrong inference, if `rate` of the log is wrong."""
        return miss_probability(self.logged, wrong_items(self.logged, self.rate), self.rerun)

    @property
    def detectable_rate(self) -> float:
        """The least rate of wrong inferences that a sample of this size holds one of, with `confidence`."""
        return detectable(self.logged, self.rerun, self.confidence) / self.logged

    def raise_for_differences(self) -> None:
        """Do nothing if all agree.

        Raises:
            VerificationError: some do not; the message names the first.
        """
        if self.differences:
            first = self.differences[0]
            raise VerificationError(
                f"{len(self.differences):,} of {counted(self.rerun, 'inference')} that were run again differ from "
                "the log; the "
                f"first is inference {first.inference}, where output {first.output!r} at {list(first.index)} is "
                f"{first.expected!r} and was logged as {first.logged!r}"
            )

    def table(self, limit: int = 20) -> Table:
        """The differences, for a terminal; at most `limit` of them."""
        table = Table(title=f"{len(self.differences):,} of {counted(self.rerun, 'inference')} differ from the log")
        for column in ("inference", "output", "index", "the circuit gives", "the log says"):
            table.add_column(column, justify="left" if column == "output" else "right", overflow="fold")
        for difference in self.differences[:limit]:
            index = ", ".join(map(str, difference.index))
            cells = (str(difference.inference), difference.output, index)
            table.add_row(*(Text(c) for c in cells), repr(difference.expected), repr(difference.logged))
        if len(self.differences) > limit:
            table.caption = f"and {len(self.differences) - limit} more"
        return table


def audit(
    circuit: "Circuit",
    inputs: Any,
    outputs: Any,
    *,
    sample: int | None = None,
    rate: float = DEFAULT_RATE,
    confidence: float = DEFAULT_CONFIDENCE,
    seed: bytes | None = None,
    saturate: bool = False,
) -> AuditReport:
    """Run a random sample of logged inferences again and compare bit for bit.

    Only what is drawn is read: memory-mapped arrays (`numpy.load(path, mmap_mode="r")`) may be larger than memory.

    Args:
        circuit: the circuit that should have given the outputs, with its weights.
        inputs: what it was run on, as for `Circuit.run`, samples along the first axis.
        outputs: what it is said to have given, as `Circuit.run` returns it: real numbers, samples along the first axis;
            for several outputs a list or tuple of arrays, or a mapping from the outputs' names.
        sample: how many inferences to run again; None takes as many as `rate` and `confidence` need.
        rate: of wrong inferences that must not go unnoticed, in (0, 1].
        confidence: with which it must not, in (0, 1).
        seed: 32 bytes that the sample is drawn from. Whoever wrote the log must not have known them before. Fresh ones
            when None.
        saturate: whether the inferences were run with `saturate`.

    Returns:
        The report, also where inferences differ: see `AuditReport.ok` and `AuditReport.raise_for_differences`.

    Raises:
        ShapeError: arrays of wrong shapes, or inputs and outputs of different numbers of samples.
        NotFiniteError, InputRangeError: an input that no circuit can have been run on; the message names the sample.
        InvalidInputError: another argument is not what is asked for; or outputs of a type that cannot hold what the
            circuit gives.
    """
    program, batch = circuit.program, circuit.batch
    arrays = [
        as_batch(array, tensor.shape, f"input {tensor.label!r}")
        for array, tensor in zip(as_arrays(inputs, [t.label for t in program.inputs]), program.inputs, strict=True)
    ]
    samples = len(arrays[0])
    if any(len(array) != samples for array in arrays):
        raise ShapeError(f"the inputs have different numbers of samples: {[len(array) for array in arrays]}")
    logs = _read_outputs(program, batch, samples, outputs)
    runs = count_runs(samples, batch)
    check_confidence(confidence)
    wrong_items(runs, rate)
    if sample is None:
        sample = sample_size(runs, rate, confidence)
    if not 1 <= sample <= runs:
        raise InvalidInputError(
            f"the log holds {counted(runs, 'inference')}: a sample has from 1 to {runs:,} of them, not {sample}"
        )
    seed = secrets.token_bytes(SEED_BYTES) if seed is None else seed

    drawn = draw(seed, runs, sample)
    differences: list[Difference] = []
    with progress("running inferences again", sample) as advance:
        for part in chunks(sample, elements_per_run(program)):
            numbers = drawn[part]
            rows = numbers[:, None] * batch + np.arange(batch)
            integers = [
                _quantized(array, tensor, rows % samples, saturate)
                for array, tensor in zip(arrays, program.inputs, strict=True)
            ]
            found: dict[int, Difference] = {}
            for log, output in zip(logs, circuit.executor.integers(integers, program.outputs), strict=True):
                for difference in log.differences(numbers, rows, dequantize(output, log.tensor)):
                    found.setdefault(difference.inference, difference)
            differences += [found[number] for number in sorted(found)]
            advance(part.stop - part.start)
    return AuditReport(circuit.digest, runs, sample, seed, rate, confidence, tuple(differences))


@dataclass(frozen=True, slots=True)
class _LoggedOutput:
    """One output of all inferences.

    Attributes:
        array: shape (samples, *tensor.shape[1:]) if the tensor's first axis is the batch, else (runs, *tensor.shape).
        by_sample: whether it is the first.
        samples: how many the log holds; those that only fill the last run have no output.
    """

    tensor: Tensor
    array: Array
    by_sample: bool
    samples: int

    def differences(self, numbers: IntArray, rows: IntArray, expected: FloatArray) -> Iterator[Difference]:
        """Where the log differs: the first place of each inference that does.

        Args:
            numbers: of the inferences, shape (runs,).
            rows: numbers of their samples, shape (runs, batch).
            expected: what the circuit gives, shape (runs, *tensor.shape).

        Raises:
            InvalidInputError: the array's type rounds what the circuit gives.
        """
        if self.by_sample:
            places, present = rows, rows < self.samples
        else:
            places, present = numbers[:, None], np.ones((len(numbers), 1), dtype=np.bool_)
        shape = (*places.shape, *self.array.shape[1:])
        logged = self.array[np.where(present, places, 0).ravel()].reshape(shape)
        expected = expected.reshape(shape)
        wrong = (logged != expected) & present.reshape(*present.shape, *(1 for _ in shape[2:]))
        for i in np.flatnonzero(wrong.reshape(len(numbers), -1).any(axis=1)):
            first = np.unravel_index(int(wrong[i].argmax()), wrong[i].shape)
            index = (int(places[i, first[0]]), *(int(n) for n in first[1:]))
            right = float(expected[i][first])
            self._check_type(right, int(numbers[i]))
            yield Difference(int(numbers[i]), self.tensor.label, index, right, float(logged[i][first]))

    def _check_type(self, expected: float, number: int) -> None:
        dtype = self.array.dtype
        with np.errstate(over="ignore"):
            if dtype.kind == "f" and float(dtype.type(expected)) != expected:
                raise InvalidInputError(
                    f"output {self.tensor.label!r} of inference {number} is {expected!r}, which {dtype} cannot hold: "
                    "nothing can be said of a rounded log; log float64, as the circuit gives it"
                )


def _read_outputs(program: Program, batch: int, samples: int, outputs: Any) -> list[_LoggedOutput]:
    """The logged outputs, their shapes checked, nothing of them read yet.

    Raises:
        InvalidInputError, ShapeError: they are not of that many samples of this program.
    """
    tensors = program.output_tensors
    labels = [tensor.label for tensor in tensors]
    if isinstance(outputs, Mapping):
        if set(outputs) != set(labels):
            raise InvalidInputError(f"the outputs are named {labels}, got arrays named {list(outputs)}")
        arrays = [outputs[label] for label in labels]
    else:
        arrays = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
    if len(arrays) != len(tensors):
        raise ShapeError(f"there are {len(tensors)} outputs {labels}, got {len(arrays)} arrays")
    logs = []
    for tensor, x in zip(tensors, arrays, strict=True):
        array = as_array(x)
        by_sample = tensor.shape[:1] == (batch,)
        shape = (samples, *tensor.shape[1:]) if by_sample else (count_runs(samples, batch), *tensor.shape)
        if array.shape != shape:
            raise ShapeError(
                f"output {tensor.label!r} of {counted(samples, 'sample')} has the shape {shape}, the log's has "
                f"{array.shape}"
            )
        logs.append(_LoggedOutput(tensor, array, by_sample, samples))
    return logs


def _quantized(array: Array, tensor: Tensor, rows: IntArray, saturate: bool) -> IntArray:
    """The integers of some samples, shape (runs, batch, *rest), for rows of shape (runs, batch).

    Raises:
        NotFiniteError, InputRangeError: the message names the first sample that the error is about.
    """
    try:
        integers = quantize(array[rows.ravel()], tensor, saturate=saturate)
    except (NotFiniteError, InputRangeError):
        for row in rows.ravel():
            try:
                quantize(array[row], tensor, saturate=saturate)
            except (NotFiniteError, InputRangeError) as error:
                raise type(error)(f"sample {row} of the log: {error}") from None
        raise
    return integers.reshape(*rows.shape, *array.shape[1:])
