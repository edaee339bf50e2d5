"""Full stacks whose two lowest layers are never stored: the same messages as those of plain Python."""

import random

import numpy as np
import pytest

pytest.importorskip("numba")

from support import plain_lookup
from support.channels import prove_on_channel
from support.plain_lookup import PlainWitness, random_blocks

from zkinfer.jit.threads import threads
from zkinfer.protocol.field.kernels.arrays import from_ints
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, ZERO, Ext, ext_add, ext_sub
from zkinfer.protocol.lookup import columns, prover
from zkinfer.protocol.lookup.columns import SHORTEST, ColumnLeaves, meetings_of, runs_of
from zkinfer.protocol.lookup.params import Block, LookupInstance, Stack
from zkinfer.protocol.lookup.protocol import run_lookup
from zkinfer.protocol.lookup.prover import KernelWitness
from zkinfer.protocol.lookup.tables import ExplicitTable, LookupTable, RangeTable, step_table
from zkinfer.protocol.sumcheck import rounds
from zkinfer.protocol.sumcheck.tables import FactorTables
from zkinfer.protocol.transcript import Transcript

RANGE, STEP = RangeTable(16, 3), step_table(16, -8, 3)
WIDE = ExplicitTable((range(-20, 20), [P // 2, *(random.Random(1).randrange(-(P // 2), P // 2) for _ in range(39))]))
THREE = ExplicitTable(((1, 2, 3), (40, -50, 60), (0, 0, 1)))


def instance_of(*blocks: tuple[LookupTable, int]) -> LookupInstance:
    """Entries by their table, and the binary logarithms of how many there are."""
    tables = tuple(dict.fromkeys(table for table, _ in blocks))
    return LookupInstance(tables, tuple(Block(tables.index(table), k) for table, k in blocks))


def messages(instance: LookupInstance, seed: int = 5) -> tuple[bytes, bytes]:
    """Of the prover in kernels, and of the one in plain Python."""
    blocks = random_blocks(instance, seed)
    arrays = [[from_ints(np.array(c, dtype=np.int64)) for c in block] for block in blocks]
    fast = KernelWitness(instance, arrays, prover.multiplicities(instance, arrays))
    slow = PlainWitness(instance, blocks, plain_lookup.multiplicities(instance, blocks))
    return (
        prove_on_channel(lambda channel: run_lookup(instance, channel, fast))[0],
        prove_on_channel(lambda channel: run_lookup(instance, channel, slow))[0],
    )


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The variables of all layers of columns that are proven in a test."""
    found: list[int] = []
    meetings = columns.ColumnRounds.__init__

    def noted(self: columns.ColumnRounds, *arguments: object) -> None:
        meetings(self, *arguments)  # type: ignore[arg-type]
        found.append(self._variables)

    monkeypatch.setattr(columns.ColumnRounds, "__init__", noted)
    return found


@pytest.mark.parametrize(
    "blocks",
    [
        [(RANGE, 10)],
        [(WIDE, 10)],
        [(RANGE, 9), (WIDE, 9)],
        [(WIDE, 9), (STEP, 9)],
        [(RANGE, 9), (RangeTable(40), 9), (WIDE, 10)],
        [(WIDE, 11), (RANGE, 9), (STEP, 10), (WIDE, 9), (STEP, 3), (WIDE, 2)],
    ],
)
def test_every_mixture_of_tables(blocks: list[tuple[LookupTable, int]], used: list[int]) -> None:
    instance = instance_of(*blocks)
    fast, slow = messages(instance)
    assert fast == slow
    full = [e.stack.variables for e in instance.entries if e.stack.filled >= 2 * SHORTEST]
    assert sorted(used) == sorted([n - 1 for n in full] + [n - 2 for n in full])


@pytest.mark.parametrize("count", [1, 2, 3])
def test_threads_and_parts_change_nothing(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """2^13 entries: more than one range of places, and tables that are filled in several parts."""
    monkeypatch.setattr(rounds, "FILLED_PLACES", 512)
    monkeypatch.setattr(rounds, "FEW_PLACES", 512)
    monkeypatch.setattr(columns, "FEW_PLACES", 512)
    with threads(count):
        fast, slow = messages(instance_of((WIDE, 12), (RANGE, 12)))
    assert fast == slow


@pytest.mark.parametrize(
    ("label", "expected"), [("lookup layer", [8]), ("lookup child", [8, 9]), ("sumcheck point", [])]
)
def test_zero_challenges(label: str, expected: list[int], used: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers are made as tables where lambda (the leaves alone) or the point's first coordinate is zero."""
    draw = Transcript.challenge_ext
    monkeypatch.setattr(Transcript, "challenge_ext", lambda self, name: ZERO if name == label else draw(self, name))
    fast, slow = messages(instance_of((RANGE, 9), (WIDE, 9)))
    assert fast == slow
    assert used == expected


def vectors(instance: LookupInstance) -> tuple[Stack, columns.Vectors]:
    """The first stack, alpha being (9, 9, 9) and gamma (0, 1, 0)."""
    blocks = random_blocks(instance, 0)
    entries = instance.entries[0]
    found = []
    for number in entries.blocks:
        weights, constant = instance.fingerprint_weights((0, 1, 0), instance.blocks[number].table)
        arrays = [from_ints(np.array(column, dtype=np.int64)) for column in blocks[number]]
        found.append((arrays, weights, ext_sub((9, 9, 9), constant)))
    return entries.stack, found


@pytest.mark.parametrize(
    "instance",
    [
        instance_of((RANGE, 9)),
        instance_of((RANGE, 9), (RANGE, 8), (STEP, 8)),
        instance_of((THREE, 11)),
    ],
)
def test_short_vectors_and_many_columns_are_left_to_tables(instance: LookupInstance) -> None:
    assert runs_of(*vectors(instance)) is None
    fast, slow = messages(instance)
    assert fast == slow


def test_stacks_that_are_not_full_are_left_to_tables() -> None:
    stack, known = vectors(instance_of((RANGE, 10), (RANGE, 9), (RANGE, 9)))
    assert runs_of(stack, known) is not None
    assert runs_of(Stack(stack.sizes[:2]), known[:2]) is None


def test_short_neighbours_in_one_table_are_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    stack, known = vectors(instance_of((WIDE, 10), (WIDE, 9), (RANGE, 9), (WIDE, 10), (RANGE, 10)))
    assert [len(run.first) for run in runs_of(stack, known) or []] == [1024, 2048, 512, 512]
    monkeypatch.setattr(columns, "JOINED", 0)
    runs = runs_of(stack, known) or []
    assert [len(run.first) for run in runs] == [1024, 1024, 1024, 512, 512]
    assert [run.start for run in runs] == [0, 1024, 2048, 3072, 3584]


def test_both_halves_meet_run_by_run() -> None:
    stack, known = vectors(instance_of((WIDE, 10), (STEP, 9), (RANGE, 9)))
    found = meetings_of(runs_of(stack, known) or [], stack.filled)
    assert [(len(one.near.first), one.near.start, one.far.start) for one in found] == [(512, 0, 1024), (512, 512, 1536)]
    assert [one.far.wide for one in found] == [False, True]
    ends = np.concatenate([one.far.first for one in found])
    assert np.array_equal(ends, np.concatenate([known[1][0][0], known[2][0][0]]))


def test_nodes_are_the_fractions_of_their_entries() -> None:
    instance = instance_of((RANGE, 9), (WIDE, 9))
    stack, known = vectors(instance)
    leaves = ColumnLeaves(runs_of(stack, known) or [], stack.filled, lambda: pytest.fail("not made"))

    def leaf(entry: int) -> Ext:
        arrays, weights, constant = known[entry // 512]
        for array, (w0, w1, w2) in zip(arrays, weights, strict=True):
            value = int(array[entry % 512])
            constant = ext_sub(constant, (w0 * value % P, w1 * value % P, w2 * value % P))
        return constant

    for x in (0, 255, 256, 511):
        assert leaves.children(x) == ((ONE, leaf(2 * x)), (ONE, leaf(2 * x + 1)))
    for x in (0, 127, 128, 255):
        for child, node in enumerate(leaves.above().children(x)):
            assert node[0] == ext_add(leaf(4 * x + 2 * child), leaf(4 * x + 2 * child + 1))


def test_layers_that_are_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The third layer of large stacks is not kept while the tree is above it: the messages are the same."""
    instance, written = instance_of((WIDE, 11), (RANGE, 9), (STEP, 9), (RANGE, 10), (WIDE, 3)), list[int]()
    write = columns.ColumnNodes._write

    def noted(self: columns.ColumnNodes, start: int, stop: int, out: FactorTables) -> None:
        written.append(stop - start)
        write(self, start, stop, out)

    monkeypatch.setattr(columns.ColumnNodes, "_write", noted)
    kept = messages(instance)[0]
    whole = 1 << 12
    assert written == [whole]
    monkeypatch.setattr(columns, "KEPT_BYTES", 0)
    monkeypatch.setattr(columns, "PIECE", SHORTEST)
    fast, slow = messages(instance)
    assert fast == slow == kept
    assert written[1:] == [*[SHORTEST] * (whole // SHORTEST), whole], (
        "in pieces for what is above, then for its sumcheck"
    )
