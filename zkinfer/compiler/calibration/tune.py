"""Tuning: widths of activations and weights, and sizes of tables, that cost least while a target holds.

The search starts from the largest parameters allowed, and lowers one after another:

1. activations and weights together, each width with the smallest table that it allows;
2. weights alone, activations alone, the size of the largest table;
3. single tensors by name, in the order of the cost of their lookups, and then inputs and weights.

The second and third are repeated until they make the circuit no cheaper.

A parameter is lowered step by step until the target no longer holds, on samples that are held out of calibration. Of
the steps at which it holds, the cheapest is kept, and the first of equally cheap ones. The cost is a step function of
the widths: a remainder has one limb or two, an accumulator fits a table or does not. A step that makes the circuit no
cheaper is not taken.
"""

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from zkinfer.circuit.program import Lookup, Program
from zkinfer.compiler.calibration.target import Judge
from zkinfer.compiler.lowering.cost import UNIT, CostFunction, ProgramCost, program_cost
from zkinfer.compiler.lowering.precision import MIN_BITS, MIN_TABLE_ENTRIES, Precision
from zkinfer.compiler.lowering.result import Lowered
from zkinfer.counts import counted
from zkinfer.errors import BoundsError, CompileError, ToleranceError
from zkinfer.terminal import LongName

MAX_CIRCUITS = 300
"""The search ends with the best circuit found after so many."""

MAX_TENSOR_STEPS = 4
"""By how many bits a single tensor is lowered at most, beyond those by which all are lowered."""

Lower = Callable[[Precision], Lowered]
"""Lowers a model at a precision, with fixed statistics."""


class Trade(msgspec.Struct, frozen=True):
    """One tensor before and after.

    Attributes:
        name: in the model.
        kind: "input", "weight" or "lookup".
        bits_before, bits_after: width of its integers, by its bounds.
        cost_before, cost_after: of its lookups' elements.
    """

    name: str
    kind: str
    bits_before: int
    bits_after: int
    cost_before: int
    cost_after: int


class Tuning(msgspec.Struct, frozen=True):
    """The result of tuning: figures, precision and cost before and after.

    Attributes:
        target: the target.
        samples: number of samples it was measured on, which were held out of calibration while the widths were chosen.
        before, after: figures of the circuit with the largest parameters allowed, and of the tuned one.
        precision_before, precision_after: the precision of each.
        cost_before, cost_after: cost of all lookups and tables of each.
        trades: every input, weight and looked-up tensor.
        circuits: how many circuits were tried.
    """

    target: str
    samples: int
    before: str
    after: str
    precision_before: Precision
    precision_after: Precision
    cost_before: int
    cost_after: int
    trades: tuple[Trade, ...]
    circuits: int

    def table(self) -> Table:
        """The trade as a table for a terminal."""
        saved = 1 - self.cost_after / self.cost_before if self.cost_before else 0.0
        entries = self.precision_before.max_table_entries, self.precision_after.max_table_entries
        title = f"{self.cost_before:,.0f} to {self.cost_after:,.0f} {UNIT}, {saved:.1%} less"
        caption = (
            f"{self.samples} held-out samples: {self.before} before, {self.after} after; tables of up to {entries[0]} "
            f"entries before, {entries[1]} after; {self.circuits} circuits tried"
        )
        table = Table(title=f"Tuned for {self.target}: {title}", caption=Text(caption))
        table.add_column("tensor")
        table.add_column("kind")
        for column in ("bits\nbefore", "after", f"{UNIT}\nbefore", "after", "share\nnow"):
            table.add_column(column, justify="right", no_wrap=True)
        for trade in self.trades:
            share = f"{trade.cost_after / self.cost_after:.1%}" if trade.cost_after else ""
            costs = (f"{cost:,.0f}" if trade.kind == "lookup" else "" for cost in (trade.cost_before, trade.cost_after))
            bits = str(trade.bits_before), str(trade.bits_after)
            table.add_row(LongName(trade.name), trade.kind, *bits, *costs, share)
        return table

    def __str__(self) -> str:
        buffer = io.StringIO()
        Console(file=buffer, width=140, no_color=True, force_terminal=False).print(self.table())
        return buffer.getvalue()


@dataclass(frozen=True)
class _Tried:
    precision: Precision
    cost: ProgramCost
    figures: tuple[float, ...]


class _Search:
    """The circuits tried, and those kept because they hold the target at a lower cost.

    Raises:
        ToleranceError: the target does not even hold for the first.
    """

    def __init__(self, lower: Lower, judge: Judge, start: Precision, cost: CostFunction) -> None:
        self._lower, self._judge, self._cost = lower, judge, cost
        self.tried: dict[bytes, _Tried | None] = {}
        first = self._measured(start)
        if not judge.holds(first.figures):
            raise not_reached(judge, first.figures, start)
        self.kept, self._seen = [first], 0

    def improves(self) -> bool:
        """Whether a circuit was kept since the last call; the first call is always true."""
        kept, self._seen = self._seen, len(self.kept)
        return len(self.kept) > kept

    @property
    def best(self) -> _Tried:
        """The last that was kept: the cheapest."""
        return self.kept[-1]

    def _measured(self, precision: Precision) -> _Tried:
        lowered = self._lower(precision)
        return _Tried(precision, self._cost(lowered.program), self._judge.figures(lowered))

    def _try(self, precision: Precision) -> _Tried | None:
        """The circuit of a precision if there is one and it holds the target."""
        key = msgspec.msgpack.encode(precision)
        if key not in self.tried:
            if len(self.tried) >= MAX_CIRCUITS:
                return None
            try:
                tried = self._measured(precision)
            except CompileError:  # too few bits, or too small tables
                self.tried[key] = None
            else:
                self.tried[key] = tried if self._judge.holds(tried.figures) else None
        return self.tried[key]

    def holding(self, steps: Iterable[Precision]) -> Iterator[_Tried]:
        """The circuits of the steps, up to the first that does not hold."""
        for tried in map(self._try, steps):
            if tried is None:
                return
            yield tried

    def least(self, steps: Sequence[Precision]) -> Iterator[_Tried]:
        """The circuits that hold among those which a bisection for the last holding step tries."""
        low, high = -1, len(steps)
        while high - low > 1:
            middle = (low + high) // 2
            tried = self._try(steps[middle])
            if tried is None:
                high = middle
            else:
                low = middle
                yield tried

    def keep_cheapest(self, candidates: Iterable[_Tried]) -> None:
        """Keep the cheapest of some circuits, if it is cheaper than the best so far."""
        cheapest = min(candidates, key=lambda tried: tried.cost.total, default=None)
        if cheapest is not None and cheapest.cost.total < self.best.cost.total:
            self.kept.append(cheapest)


def tune(
    lower: Lower, lower_all: Lower, judge: Judge, start: Precision, cost: CostFunction = program_cost
) -> tuple[Lowered, Tuning]:
    """The cheapest circuit found that holds a target.

    Args:
        lower: lowers the model with statistics of samples that the judge does not have.
        lower_all: lowers the model with statistics of all samples, as for the circuit that is returned.
        judge: measures circuits.
        start: the largest parameters allowed.
        cost: prices programs.

    Raises:
        ToleranceError: the target does not hold with `start`; the message has the figures.
        BoundsError: `start` gives no circuit.
    """
    search = _Search(lower, judge, start, cost)
    _lower_together(search)
    while search.improves():
        _lower_kinds(search)
        for name, is_weight in _tensors(lower(search.best.precision).program, search.best.cost):
            _lower_tensor(search, name, is_weight=is_weight)
    before = lower_all(start)
    # Statistics of all samples can make a format coarser, or a table too short. The result is the last step that holds.
    for step in reversed(search.kept):
        try:
            lowered = lower_all(step.precision)
        except BoundsError:
            continue
        figures = judge.figures(lowered)
        if judge.holds(figures):
            break
    else:
        raise not_reached(judge, figures, start)
    costs = cost(before.program), cost(lowered.program)
    tuning = Tuning(
        target=", ".join(str(requirement) for requirement in judge.requirements),
        samples=judge.samples,
        before=judge.described(judge.figures(before)),
        after=judge.described(figures),
        precision_before=start,
        precision_after=step.precision,
        cost_before=costs[0].total,
        cost_after=costs[1].total,
        trades=_trades((before.program, lowered.program), costs),
        circuits=len(search.tried) + 1,
    )
    return lowered, tuning


def not_reached(judge: Judge, figures: Sequence[float], precision: Precision) -> ToleranceError:
    """The error that a target does not hold even with the largest parameters allowed."""
    target = ", ".join(str(requirement) for requirement in judge.requirements)
    return ToleranceError(
        f"the target {target} is not reached: with {precision.activation_bits} activation bits, "
        f"{precision.weight_bits} weight bits and tables of "
        f"{counted(precision.max_table_entries, 'entry', 'entries')} it is "
        f"{judge.described(figures)}, on {judge.samples} held-out samples. Ask for less, hand in more calibration "
        "data, or allow more with precision"
    )


def _lower_together(search: _Search) -> None:
    """Lower activations and weights to one width, each width with tables as small as it allows."""
    start = search.best.precision
    for bits in range(max(start.activation_bits, start.weight_bits), MIN_BITS - 1, -1):
        fields = {"activation_bits": min(start.activation_bits, bits), "weight_bits": min(start.weight_bits, bits)}
        widest = list(search.holding([_changed(start, **fields)]))
        if not widest:
            return
        search.keep_cheapest([*widest, *search.least(list(_smaller_tables(widest[0].precision)))])


def _lower_kinds(search: _Search) -> None:
    """Lower all weights, then all activations, then all tables."""
    for field in ("weight_bits", "activation_bits"):
        start = search.best.precision
        bits = range(getattr(start, field) - 1, MIN_BITS - 1, -1)
        search.keep_cheapest(search.holding(_changed(start, **{field: fewer}) for fewer in bits))
    search.keep_cheapest(search.holding(_smaller_tables(search.best.precision)))


def _lower_tensor(search: _Search, name: str, *, is_weight: bool) -> None:
    start = search.best.precision
    bits = start.weight_bits_of(name) if is_weight else start.activation_bits_of(name)
    steps = range(bits - 1, max(bits - MAX_TENSOR_STEPS, MIN_BITS) - 1, -1)
    search.keep_cheapest(search.holding(_changed(start, tensors={**start.tensors, name: fewer}) for fewer in steps))


def _changed(precision: Precision, **fields: Any) -> Precision:
    """A precision with other values of some fields, validated."""
    return Precision(**{**msgspec.structs.asdict(precision), **fields})


def _smaller_tables(precision: Precision) -> Iterator[Precision]:
    """Precisions whose tables are halved repeatedly, down to the size that the activations need."""
    entries = precision.max_table_entries
    least = max(1 << (precision.activation_bits - 1), MIN_TABLE_ENTRIES)
    while (entries := entries // 2) >= least:
        yield _changed(precision, max_table_entries=entries)


def _tensors(program: Program, cost: ProgramCost) -> list[tuple[str, bool]]:
    """The tensors whose widths can be chosen, and whether each is a weight; the costliest first."""
    leaves = [(t.size, t.label, False) for t in program.inputs] + [(t.size, t.label, True) for t in program.weights]
    looked_up = sorted(cost.tensors, key=lambda name: (-cost.tensors[name], name))
    order = [(name, False) for name in looked_up] + [
        (name, is_weight) for _, name, is_weight in sorted(leaves, reverse=True)
    ]
    return list(dict.fromkeys(order))


def _trades(programs: tuple[Program, Program], costs: tuple[ProgramCost, ProgramCost]) -> tuple[Trade, ...]:
    """Every tensor that one of the programs has, before and after."""
    before, after = (_widths(program) for program in programs)
    return tuple(
        Trade(name, kind, before.get(key, 0), after.get(key, 0), *(c.tensors.get(name, 0) for c in costs))
        if kind == "lookup"
        else Trade(name, kind, before.get(key, 0), after.get(key, 0), 0, 0)
        for key in dict.fromkeys((*before, *after))
        for kind, name in (key,)
    )


def _widths(program: Program) -> dict[tuple[str, str], int]:
    """The widths of inputs, weights and looked-up tensors, by kind and label."""
    tensors = [("input", t) for t in program.inputs] + [("weight", t) for t in program.weights]
    tensors += [("lookup", node.out) for node in program.nodes if isinstance(node, Lookup)]
    widths: dict[tuple[str, str], int] = {}
    for kind, tensor in tensors:
        key = (kind, tensor.label)
        widths[key] = max(widths.get(key, 0), (tensor.hi - tensor.lo).bit_length())
    return widths
