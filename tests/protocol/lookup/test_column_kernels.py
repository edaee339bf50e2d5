"""The kernels of the two lowest layers against plain Python: random elements, and the largest that there are."""

from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

from support.field_elements import Elements
from support.plain_lookup import Fractions, tree

from zkinfer.protocol.field import kernels as field_kernels
from zkinfer.protocol.field.kernels.vector import LANES
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import (
    ONE,
    ZERO,
    Ext,
    ext_add,
    ext_between,
    ext_dot,
    ext_from_base,
    ext_mul,
    ext_scale,
    ext_sub,
)
from zkinfer.protocol.lookup import column_kernels
from zkinfer.protocol.lookup.column_kernels import BLOCK, SUMS
from zkinfer.protocol.lookup.columns import Run
from zkinfer.protocol.sumcheck.tables import FactorTables
from zkinfer.typing import Floats

HALF = P // 2

ENTRIES = 4 * BLOCK
"""Of a run: one block of places of layer 1, two of layer 0."""

KINDS = ["random", "largest", "smallest", "alternating"]
WIDTHS = [(False, False), (False, True), (True, False), (True, True)]


class Source:
    """Elements of one kind: random ones, or P / 2 with signs."""

    def __init__(self, kind: str) -> None:
        signs = {"largest": (1,), "smallest": (-1,), "alternating": (1, -1, -1)}
        self._random = Elements(5) if kind == "random" else None
        self._signs = cycle(signs.get(kind, ()))

    def base(self, count: int, sign: int = 1) -> list[int]:
        if self._random is not None:
            return self._random.base(count)
        return [sign * s * HALF % P for s in islice(self._signs, count)]

    def ext(self, count: int, sign: int = 1) -> list[Ext]:
        return list(zip(*(self.base(count, sign) for _ in range(3)), strict=True))


@dataclass
class Side:
    """A run of entries, for kernels and in integers."""

    run: Run
    first: list[int]
    second: list[int]

    @property
    def leaves(self) -> list[Ext]:
        pairs = zip(self.first, self.second, strict=True)
        own = ((ext_from_base(a), ext_scale(self.run.weight, d)) for a, d in pairs)
        return [ext_sub(ext_sub(self.run.constant, a), d) for a, d in own]

    @property
    def layers(self) -> list[Fractions]:
        """From the leaves upwards."""
        return tree(([ONE] * ENTRIES, self.leaves))[::-1]


def side(source: Source, sign: int, wide: bool) -> Side:
    first = source.base(ENTRIES, sign)
    second = source.base(ENTRIES, sign) if wide else [0] * ENTRIES
    constant, weight = source.ext(2, -sign)
    columns = field_kernels.from_ints(first), field_kernels.from_ints(second if wide else first)
    return Side(Run(0, *columns, wide, constant, weight if wide else ZERO), first, second)


def sides(kind: str, wide: tuple[bool, bool]) -> tuple[Source, Side, Side]:
    """Near entries and far ones, which differ as much as they can."""
    source = Source(kind)
    return source, side(source, 1, wide[0]), side(source, -1, wide[1])


def packed(*values: Ext) -> Floats:
    return np.ascontiguousarray(field_kernels.ext_from_ints(list(values)).T).reshape(-1)


def weights(source: Source, blocks: int) -> tuple[list[Ext], tuple[Any, ...]]:
    """What places weigh, and the two tables of which kernels make it, which begin with what is not read."""
    low, high = source.ext(3 + BLOCK), source.ext(1 + blocks)
    each = [ext_mul(h, v) for h in high[1:] for v in low[3:]]
    return each, (field_kernels.ext_from_ints(low), 3, field_kernels.ext_from_ints(high), 1)


def table(tables: FactorTables, k: int) -> list[Ext]:
    values = np.ascontiguousarray(tables.factor(k))
    assert field_kernels.is_balanced(values)
    return field_kernels.ext_to_ints(values)


def sums_of(found: Floats) -> list[Ext]:
    assert field_kernels.is_balanced(found)
    return field_kernels.ext_to_ints(np.ascontiguousarray(found.reshape(-1, 3).T))


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_layer_2_is_the_sum_of_four_leaves(kind: str, wide: bool) -> None:
    """Written where the run begins, beside what another run has written."""
    one = side(Source(kind), 1, wide)
    at = ENTRIES // 8
    out = FactorTables(4, (2 * at).bit_length() - 1)
    out.flat[:] = 7.0
    groups = ENTRIES // (8 * LANES)
    column_kernels.column_layer(*one.run.columns, one.run.constants, out.flat, out.stride, at, 0, groups)
    numerators, denominators = one.layers[2]
    expected = [numerators[::2], denominators[1::2], numerators[1::2], denominators[::2]]
    for k, values in enumerate(expected):
        found = table(out, k)
        assert found[:at] == [(7, 7, 7)] * at
        assert found[at:] == values


@pytest.mark.parametrize("wide", WIDTHS)
@pytest.mark.parametrize("kind", KINDS)
def test_sums_of_base_elements(kind: str, wide: tuple[bool, bool]) -> None:
    source, near, far = sides(kind, wide)
    each, (low, low_at, high, high_at) = weights(source, 2)
    runs = (*near.run.columns, *far.run.columns)
    found = sums_of(column_kernels.leaf_sums(*runs, low, low_at, high, high_at, 0, 2))
    rows: list[list[int]] = []
    for x in range(ENTRIES // 2):
        (a, b), (d, e) = near.first[2 * x : 2 * x + 2], near.second[2 * x : 2 * x + 2]
        (fa, fb), (fd, fe) = far.first[2 * x : 2 * x + 2], far.second[2 * x : 2 * x + 2]
        ga, gb, gd, ge = fa - a, fb - b, fd - d, fe - e
        ours = [a + b, a * b, ga + gb, ga * gb]
        rows.append([*ours, d + e, a * e + b * d, d * e, gd + ge, ga * ge + gb * gd, gd * ge, BLOCK])
    assert len(found) == SUMS
    for number, values in enumerate(zip(*rows, strict=True)):
        if number < SUMS - 1:
            assert found[number] == ext_dot(each, [ext_from_base(v % P) for v in values]), number
    total = field_kernels.ext_to_ints(np.ascontiguousarray(high[:, 1:]))
    assert found[SUMS - 1] == ext_add(*total)


@pytest.mark.parametrize("wide", WIDTHS)
@pytest.mark.parametrize("kind", KINDS)
def test_leaves_bound_to_a_challenge(kind: str, wide: tuple[bool, bool]) -> None:
    source, near, far = sides(kind, wide)
    constants = source.ext(5)
    out = FactorTables(2, (ENTRIES // 2).bit_length() - 1)
    arguments = (*near.run.columns, *far.run.columns, packed(*constants), out.flat, out.stride, 0)
    column_kernels.leaf_fold(*arguments, 0, ENTRIES // 2 // LANES)
    for parity in (0, 1):
        lines = (near.first, far.first, near.second, far.second)
        expected = []
        for a, fa, d, fd in zip(*(line[parity::2] for line in lines), strict=True):
            value = constants[0]
            for constant, factor in zip(constants[1:], (a, fa - a, d, fd - d), strict=True):
                value = ext_sub(value, ext_scale(constant, factor % P))
            expected.append(value)
        assert table(out, parity) == expected


def factors(one: Side, mix: Ext) -> list[list[Ext]]:
    """p0 + mix q0, q1, p1, q0 of layer 1."""
    numerators, denominators = one.layers[1]
    first = [ext_add(p, ext_mul(mix, q)) for p, q in zip(numerators[::2], denominators[::2], strict=True)]
    return [first, denominators[1::2], numerators[1::2], denominators[::2]]


def both_products(values: list[Ext]) -> Ext:
    return ext_add(ext_mul(values[0], values[1]), ext_mul(values[2], values[3]))


@pytest.mark.parametrize("wide", WIDTHS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_first_round_of_layer_1(kind: str, wide: tuple[bool, bool]) -> None:
    source, near, far = sides(kind, wide)
    (mix,) = source.ext(1)
    each, (low, low_at, high, high_at) = weights(source, 1)
    runs = (*near.run.columns, near.run.constants, *far.run.columns, far.run.constants)
    found = sums_of(column_kernels.node_sums(*runs, packed(mix), low, low_at, high, high_at, 0, 1))
    ours, others = (list(zip(*factors(one, mix), strict=True)) for one in (near, far))
    gaps = [[ext_sub(b, a) for a, b in zip(one, other, strict=True)] for one, other in zip(ours, others, strict=True)]
    expected = [ext_dot(each, [both_products(list(values)) for values in lines]) for lines in (ours, gaps)]
    assert found == expected


@pytest.mark.parametrize("wide", WIDTHS)
@pytest.mark.parametrize("kind", KINDS)
def test_layer_1_bound_to_a_challenge(kind: str, wide: tuple[bool, bool]) -> None:
    source, near, far = sides(kind, wide)
    mix, challenge = source.ext(2)
    out = FactorTables(4, (ENTRIES // 4).bit_length() - 1)
    runs = (*near.run.columns, near.run.constants, *far.run.columns, far.run.constants)
    arguments = (*runs, packed(mix), packed(challenge), out.flat, out.stride, 0)
    column_kernels.node_fold(*arguments, 0, ENTRIES // 4 // LANES)
    for k, (ours, others) in enumerate(zip(factors(near, mix), factors(far, mix), strict=True)):
        assert table(out, k) == [ext_between(a, b, challenge) for a, b in zip(ours, others, strict=True)]
