"""Compiles the prover's kernels ahead of the first proof. Needs numba."""

import itertools

import numpy as np

from zkinfer.protocol import field
from zkinfer.protocol.channel import ZERO_FORM, ProverChannel, Writer
from zkinfer.protocol.field.kernels.vector import LANES
from zkinfer.protocol.field.scalar import ONE, ZERO
from zkinfer.protocol.lookup.columns import SHORTEST
from zkinfer.protocol.lookup.params import Block, LookupInstance
from zkinfer.protocol.lookup.protocol import run_lookup
from zkinfer.protocol.lookup.prover import KernelWitness, multiplicities
from zkinfer.protocol.lookup.tables import RangeTable, step_table
from zkinfer.protocol.merkle.columns import SaltedColumns
from zkinfer.protocol.merkle.tree import build_tree
from zkinfer.protocol.sumcheck.params import Batch, Instance, Monomial, Point
from zkinfer.protocol.sumcheck.protocol import run_sumcheck
from zkinfer.protocol.sumcheck.prover import kernel_witness
from zkinfer.protocol.sumcheck.tables import FactorTables
from zkinfer.protocol.transcript import Transcript


def warmup() -> None:
    """Compiles the kernels of field, trees, sumcheck and lookup that this machine has not compiled yet, and loads them.

    The first time on a machine this takes about half a minute of one core; later processes find the code on disk (see
    `zkinfer.jit.compiling`) and are ready in a second or two. Without it, each kernel is compiled when it is first
    called.
    """
    field.warmup()
    build_tree(np.zeros((2, 1), dtype=np.uint8))
    build_tree(SaltedColumns(np.zeros((1, 2)), np.zeros((2, 0), dtype=np.uint8)))
    Transcript(b"warmup").solve("work", 1)
    _sumchecks()
    _lookups()


def _sumchecks() -> None:
    """Products of two and longer ones, of base elements and of others, with a weight and without."""
    base, ext = np.ones(2 * LANES), np.ones((3, 2 * LANES))
    variables = (2 * LANES).bit_length() - 1
    point: Point = (ONE,) * variables
    for kind, weight, terms in itertools.product((base, ext), (None, point), ((ONE, (0, 1)), ((1, 1, 1), (0, 0, 1)))):
        batch = Batch((Instance(variables, 2, (Monomial(*terms),)),), weight)
        witness = kernel_witness(batch, [FactorTables.of([kind, ext])])
        run_sumcheck(batch, [ZERO_FORM], _channel(batch.message_elements), witness)


def _lookups() -> None:
    """A stack that is kept as columns, of one and of two, and one that is too short for that."""
    step = step_table(SHORTEST, 0, 3)
    for size in (SHORTEST, SHORTEST // 4):
        inputs, variables = np.arange(float(size)) % 3, size.bit_length() - 1
        instance = LookupInstance((RangeTable(4), step), (Block(0, variables), Block(1, variables)))
        blocks = [[inputs], [inputs, np.zeros(size)]]
        witness = KernelWitness(instance, blocks, multiplicities(instance, blocks))
        run_lookup(instance, _channel(instance.message_elements), witness)


def _channel(elements: int) -> ProverChannel:
    """Padded, so that no check is decided: the sums are claimed to be anything."""
    return ProverChannel(Transcript(b"warmup"), Writer(), [ZERO] * elements)
