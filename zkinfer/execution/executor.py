"""Execution of a program, exact and fast: what `circuit.evaluate` computes, in the narrowest integers that hold it.

How each node is computed is decided once, from bounds that hold for these very weights whatever the inputs are. Each
value has the smallest of int8, int16, int32 and int64 that holds it, or one that suits the kernel that makes it. See
`products` for Einsums, `views` for Views and `tables` for Lookups. What depends on weights alone is computed once.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zkinfer.circuit.bounds import Interval, check_bounds
from zkinfer.circuit.inputs import check_inputs
from zkinfer.circuit.program import Delay, Einsum, Lookup, Program, View, node_sources
from zkinfer.circuit.regions import Body, Region, body_of, find_regions, varying
from zkinfer.circuit.steps import moves
from zkinfer.execution.narrow import narrow, smallest_type
from zkinfer.execution.operands import RUNS, Operand
from zkinfer.execution.products import PreparedEinsum, prepare_einsum
from zkinfer.execution.tables import AppliedTable
from zkinfer.execution.views import Alias, Combination, MovedTerm, Values, copied_bytes, execute_all
from zkinfer.typing import Array, IntArray


@dataclass(frozen=True, eq=False)
class AppliedLookup:
    """A Lookup, ready to be computed.

    Attributes:
        bytes_per_run: allocated at most, beside the result.
    """

    source: int
    table: AppliedTable
    shift: int
    bytes_per_run: int

    def __call__(self, values: Values) -> Array:
        """The looked-up elements, of shape (runs, ...), in the order that the source has in memory."""
        source = values[self.source]
        assert source is not None
        return self.table(source, self.shift)


@dataclass(frozen=True, eq=False)
class Recurrence:
    """A region, ready to be computed step by step.

    Attributes:
        body: one step.
        executor: of the body.
        delays: of each Delay the initial value and the one that it delays.
        wanted: the values that are kept.
        varies: for each of these whether it depends on an input.
    """

    body: Body
    executor: "Executor"
    delays: tuple[tuple[int, int], ...]
    wanted: tuple[int, ...]
    varies: tuple[bool, ...]

    def __call__(self, values: Values) -> dict[int, Array]:
        """The wanted values, of shape (runs or 1, steps, ...)."""
        body, numbers = self.body, self.body.numbers
        runs = 1 if not any(self.varies) else max(len(value) for value in values if value is not None)
        made: dict[int, list[Array]] = {value: [] for value in self.wanted}
        whole = [_of(values, value) for value in body.whole]
        sliced = [_of(values, value) for value in body.sliced]
        state = [_of(values, initial) for initial, _ in self.delays]
        for t in range(body.region.steps):
            now = self.executor.step(state + [array[:, t : t + 1] for array in sliced] + whole, runs)
            state = [_of(now, numbers[source]) for _, source in self.delays]
            for value, steps in made.items():
                steps.append(_of(now, numbers[value]))
        joined = {}
        for value, varies in zip(self.wanted, self.varies, strict=True):
            # A step is computed for all runs, also of what is the same in each.
            count = runs if varies else 1
            steps = [np.broadcast_to(a[:count], (count, *a.shape[1:])) for a in made[value]]
            joined[value] = np.concatenate(steps, axis=1)
        return joined


def _of(values: Values, number: int) -> Array:
    array = values[number]
    assert array is not None
    return array


Operation = PreparedEinsum | Alias | Combination | AppliedLookup | Recurrence


class Executor:
    """A program with its weights, ready to be executed any number of times.

    Prepared once: bounds that hold for these weights, how each node is computed, and all values that depend on no
    input; in the first run, weights packed for the kernels. Runs leave nothing else behind.

    Args:
        program: a validated program.
        weights: contents of its weights, in order; signed integers of any type. They are copied, so that later
            changes have no effect, unless they are read-only and in the narrowest type.
        keep: the values that `run` returns, beside inputs and what depends on weights alone. All by default; the fewer
            there are, the less memory a run takes.
        lean: whether weights stay in narrow integers where products need floats, and become floats in each run, some at
            a time: for few runs of large programs.

    Raises:
        BoundsError: with these weights a value can leave its published bounds, or a table. So no run can.
    """

    def __init__(
        self, program: Program, weights: Sequence[IntArray], *, keep: Collection[int] | None = None, lean: bool = False
    ) -> None:
        self._lean = lean
        self._set_up(program, weights, keep, check_bounds(program, weights), [AppliedTable(t) for t in program.tables])

    @classmethod
    def _of_body(
        cls,
        body: Body,
        weights: Sequence[Array],
        keep: Collection[int],
        intervals: Sequence[Interval],
        tables: Sequence[AppliedTable],
        *,
        lean: bool,
    ) -> "Executor":
        """One step of a region, with the intervals that are known of all its values."""
        executor = cls.__new__(cls)
        executor._lean = lean
        executor._set_up(body.program, weights, keep, intervals, tables)
        return executor

    def _set_up(
        self,
        program: Program,
        weights: Sequence[Array],
        keep: Collection[int] | None,
        intervals: Sequence[Interval],
        tables: Sequence[AppliedTable],
    ) -> None:
        self.program = program
        self._leaves = len(program.inputs) + len(program.weights)
        self._intervals, self.tables = list(intervals), list(tables)
        kept = range(program.num_values) if keep is None else {*range(len(program.inputs)), *keep}
        regions = find_regions(program)
        self._last_readers = _last_readers(program, kept, regions)
        self._dtypes = [smallest_type(*interval) for interval in self._intervals]
        self._memory = list(range(program.num_values))
        """For each value the one whose memory it shares: itself, or the source of an Alias."""
        self._constants: dict[int, Array] = {}
        for value, weight in enumerate(weights, start=len(program.inputs)):
            self._constants[value] = weight.astype(self._dtypes[value], copy=weight.flags.writeable)[None]
        self._operations: dict[int, Operation] = {}
        starts = {region.values[0]: region for region in regions}
        varies = varying(program) if regions else ()
        inside = {value for region in regions for value in region.values}
        for value in range(self._leaves, program.num_values):
            if value in starts:
                self._prepare_region(starts[value], varies)
            elif value not in inside:
                self._prepare(value)
        self._dead: dict[int, list[int]] = {value: [] for value in self._operations}
        for value, last in enumerate(self._last_readers):
            if last in self._dead and value not in self._constants:
                self._dead[last].append(value)

    def run(self, inputs: Sequence[IntArray]) -> list[Array | None]:
        """The values of the program, in order of value number.

        Args:
            inputs: integer arrays of shape (runs, *tensor.shape), in order.

        Returns:
            For each value an array of shape (runs, *tensor.shape), or (1, *tensor.shape) if it depends on no input,
            of a signed integer type, equal to what `circuit.evaluate` gives; None for a value that is not kept. Arrays
            may share memory and have any order in memory: do not write to them.

        Raises:
            ShapeError, InputRangeError: see `circuit.inputs.check_inputs`.
        """
        values = self._narrowed(inputs)
        for value, array in self._constants.items():
            values[value] = array
        self._compute(values)
        return values

    def _compute(self, values: list[Array | None]) -> None:
        """Computes what is not there yet, and takes away what is not needed any more."""
        for value, operation in self._operations.items():
            if isinstance(operation, Recurrence):
                for number, array in operation(values).items():
                    values[number] = array
            else:
                values[value] = operation(values)
            for dead in self._dead[value]:
                values[dead] = None

    def step(self, inputs: Sequence[Array], runs: int) -> list[Array | None]:
        """As `run`, of inputs that are known to be within their bounds, of any integer type, in all runs or in one."""
        values: list[Array | None] = [None] * self.program.num_values
        for value, array in enumerate(inputs):
            everywhere = array if len(array) == runs else np.broadcast_to(array, (runs, *array.shape[1:]))
            values[value] = np.ascontiguousarray(everywhere, dtype=self._dtypes[value])
        for value, array in self._constants.items():
            values[value] = array
        self._compute(values)
        return values

    def integers(self, inputs: Sequence[IntArray], wanted: Sequence[int]) -> list[IntArray]:
        """Some of the values that are kept, as arrays of the caller's own.

        Args:
            inputs: as for `run`.
            wanted: numbers of values.

        Returns:
            For each of these an int64 array of shape (runs, *tensor.shape), contiguous, also where the value is the
            same in every run.

        Raises:
            ShapeError, InputRangeError: see `run`.
        """
        values, runs = self.run(inputs), len(inputs[0])
        found = []
        for number in wanted:
            value = values[number]
            assert value is not None, f"value {number} is not kept"
            found.append(np.array(np.broadcast_to(value, (runs, *value.shape[1:])), dtype=np.int64, order="C"))
        return found

    def peak_bytes(self, runs: int) -> int:
        """Bytes that the arrays of `run` take at once, at most: what is kept, and what is needed on the way.

        Not counted are the executor with its packed weights, and the caller's inputs.
        """
        program, held, peak = self.program, {}, 0
        for value, tensor in enumerate(program.inputs):
            held[value] = runs * tensor.size * self._dtypes[value].itemsize
            peak = max(peak, sum(held.values()) + 8 * runs * tensor.size)
        for value, operation in self._operations.items():
            size = runs * program.tensor(value).size * self._dtypes[value].itemsize
            if isinstance(operation, Recurrence):
                for number in operation.wanted:
                    held[number] = runs * program.tensor(number).size * self._dtypes[number].itemsize
                # Steps are kept apart until they are joined.
                temporary = sum(held[number] for number in operation.wanted) + operation.executor.peak_bytes(runs)
            elif isinstance(operation, Alias):
                held[value], temporary = runs * operation.bytes_per_run, 0
            elif isinstance(operation, Combination | AppliedLookup):
                held[value], temporary = size, runs * operation.bytes_per_run
            else:
                held[value], temporary = size, operation.temporary(runs)
            peak = max(peak, sum(held.values()) + temporary)
            held = {v: n for v, n in held.items() if self._last_readers[v] > value}
        return peak

    def _narrowed(self, inputs: Sequence[IntArray]) -> list[Array | None]:
        """The inputs, checked, in their types, in a list with a place for every value."""
        program = self.program
        narrowed = [self._narrow(value, array) for value, array in enumerate(inputs[: len(program.inputs)])]
        runs = {array.shape[:1] for array in inputs}
        if len(inputs) != len(program.inputs) or len(runs) > 1 or any(array is None for array in narrowed):
            checked = check_inputs(program, inputs)
            narrowed = [array.astype(dtype) for array, dtype in zip(checked, self._dtypes, strict=False)]
        return [*narrowed, *[None] * (program.num_values - len(narrowed))]

    def _narrow(self, value: int, array: IntArray) -> Array | None:
        """An input in its type; None where `check_inputs` has to convert it, or to say what is wrong with it."""
        tensor = self.program.inputs[value]
        plain = array.dtype.kind == "i" and array.dtype.isnative and array.flags.aligned
        if not plain or array.ndim != 1 + len(tensor.shape) or array.shape[1:] != tensor.shape:
            return None
        out = np.empty(array.shape, dtype=self._dtypes[value])
        fits = narrow(np.ascontiguousarray(array).reshape(-1), tensor.lo, tensor.hi, out.reshape(-1))
        return out if fits else None

    def _prepare(self, value: int) -> None:
        """Decides how a node is computed; computes it if it depends on no input."""
        node = self.program.nodes[value - self._leaves]
        operation: Operation
        match node:
            case Einsum():
                operation = self._einsum(value, node)
            case View():
                operation = self._view(value, node)
            case Lookup(source=source, table=table, shift=shift):
                size = self.program.tensor(source).size
                operation = AppliedLookup(source, self.tables[table], shift, size * self._dtypes[source].itemsize)
            case Delay():
                raise AssertionError("a delay is prepared with its region")
        if isinstance(operation, Alias):
            self._dtypes[value] = self._dtypes[operation.source]
            self._memory[value] = self._memory[operation.source]
        else:
            self._dtypes[value] = operation.table.dtype if isinstance(operation, AppliedLookup) else operation.dtype
        if all(source in self._constants for source in node_sources(node)):
            known = [self._constants.get(v) for v in range(value)]
            self._constants[value] = operation(known)
        else:
            self._operations[value] = operation

    def _prepare_region(self, region: Region, varies: Sequence[bool]) -> None:
        """Prepares one step of a region; computes all of them if they depend on no input."""
        program = self.program
        body = body_of(program, region, varies)
        delays = []
        for value in body.delays:
            node = program.nodes[value - self._leaves]
            assert isinstance(node, Delay)
            delays.append((node.initial, node.source))
        last = region.values[-1]
        constant = not any(varies[value] for value in region.values)
        wanted = tuple(value for value in region.values if constant or self._last_readers[value] > last)
        intervals: list[Interval] = [(0, 0)] * body.program.num_values
        for value, number in body.numbers.items():
            intervals[number] = self._intervals[value]
        keep = {body.numbers[value] for value in (*wanted, *(source for _, source in delays))}
        fixed = [self._constants[value][0] for value in body.fixed]
        executor = Executor._of_body(body, fixed, keep, intervals, self.tables, lean=self._lean)
        for value in region.values:
            self._dtypes[value] = executor._dtypes[body.numbers[value]]
        operation = Recurrence(body, executor, tuple(delays), wanted, tuple(varies[value] for value in wanted))
        if constant:
            known = [self._constants.get(value) for value in range(region.values[0])]
            self._constants.update(operation(known))
        else:
            self._operations[last] = operation

    def _einsum(self, value: int, node: Einsum) -> PreparedEinsum:
        terms, _, out = node.subscripts.partition("->")
        contents = [self._constants.get(v) for v in node.operands]
        if all(content is not None for content in contents):
            contents = [None] * len(contents)
        operands = [
            Operand(
                value=v,
                letters=letters if content is not None else RUNS + letters,
                sizes=dict(zip(letters, self.program.tensor(v).shape, strict=True)),
                interval=self._intervals[v],
                content=None if content is None else content[0],
            )
            for v, letters, content in zip(node.operands, terms.split(","), contents, strict=True)
        ]
        return prepare_einsum(RUNS + out, operands, self._intervals[value], lean=self._lean)

    def _view(self, value: int, node: View) -> Alias | Combination:
        terms, copied = [], 0
        for term in node.terms:
            path = moves(term.steps, self.program.tensor(term.source).shape)
            terms.append(MovedTerm(term.source, term.coefficient, tuple(move.index_map for move in path)))
            copied += copied_bytes(path, self._dtypes[term.source].itemsize)
        if len(terms) == 1 and terms[0].coefficient == 1 and not node.offset:
            return Alias(terms[0].source, terms[0].index_maps, copied)
        dtype = smallest_type(*self._intervals[value])
        known = [term for term in terms if term.source in self._constants]
        if len(known) == len(terms):
            known = []
        computed = [term for term in terms if term not in known]
        overwritten = next((term for term in computed if self._may_overwrite(value, term, dtype)), None)
        if overwritten is not None:
            computed.remove(overwritten)
            computed.insert(0, overwritten)
        temporary = copied + node.out.size * dtype.itemsize
        constant = self._known_sum(known, node.offset, dtype, len(node.out.shape))
        return Combination(tuple(computed), constant, dtype, overwritten is not None, temporary)

    def _may_overwrite(self, value: int, term: MovedTerm, dtype: np.dtype[Any]) -> bool:
        """Whether a sum may be computed in the memory of this term's source.

        So it is if the term is the source's elements as they are, the source's memory is its own, and neither a later
        node nor another term reads it, under the source's number or under that of an Alias of it.
        """
        source = term.source
        mine = source >= self._leaves and source not in self._constants and self._memory[source] == source
        sources = node_sources(self.program.nodes[value - self._leaves])
        read_once = self._last_readers[source] == value and [self._memory[v] for v in sources].count(source) == 1
        return mine and read_once and self._dtypes[source] == dtype and term.coefficient == 1 and term.is_bijection

    def _known_sum(self, known: Sequence[MovedTerm], offset: int, dtype: np.dtype[Any], rank: int) -> Array | None:
        """What weights and the offset add to a View, of shape (1, ...); repeated axes may have size 1."""
        total = None if not offset else np.full((1,) * (rank + 1), np.int64(offset).astype(dtype))
        for term in known:
            scaled = self._constants[term.source].astype(dtype) * np.int64(term.coefficient).astype(dtype)
            moved = execute_all(term.index_maps, scaled)
            total = moved if total is None else total + moved
        return total


def execute(program: Program, weights: Sequence[IntArray], inputs: Sequence[IntArray]) -> list[Array]:
    """Every value of the program, once: see `Executor`.

    Raises:
        BoundsError, ShapeError, InputRangeError: see `Executor` and `Executor.run`.
    """
    return [value for value in Executor(program, weights).run(inputs) if value is not None]


def _last_readers(program: Program, kept: Collection[int], regions: Sequence[Region]) -> list[int]:
    """For each value, the last value that is computed from its memory, under its own number or that of an Alias of it.

    The value itself where none is; the number of values where it is kept. The values of a region are computed together,
    with its last one.
    """
    together = {value: region.values[-1] for region in regions for value in region.values}
    leaves = len(program.inputs) + len(program.weights)
    last = [program.num_values if value in kept else value for value in range(program.num_values)]
    for value in range(program.num_values - 1, leaves - 1, -1):
        node = program.nodes[value - leaves]
        alias = isinstance(node, View) and len(node.terms) == 1 and value not in together
        until = last[value] if alias else together.get(value, value)
        for source in node_sources(node):
            last[source] = max(last[source], until)
    return last
