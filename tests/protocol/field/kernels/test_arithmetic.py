"""The lazy operations at the extremes of what they accept: the right residue class, and within the stated bound."""

import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")
from numba import njit

from zkinfer.protocol.field.kernels import arithmetic
from zkinfer.protocol.field.kernels.arithmetic import ANCHOR, HALF, INV, MAGIC, MAGIC_EVEN
from zkinfer.protocol.field.kernels.vector import LANES, load, splat, store, transpose
from zkinfer.protocol.field.params import P
from zkinfer.typing import Floats

H = int(HALF)
Ints = list[int]


def test_the_facts_that_the_bounds_rest_on() -> None:
    eps = Fraction(1, 2**53)
    assert abs(Fraction(INV) * P - 1) <= Fraction(554, 1000) * eps
    assert Fraction(99995, 100000) * 2**50 < P < 2**50
    # reduce: |x| <= 7 P gives P / 2 + 0.49 at most, and the next integer after H is P / 2 + 1 / 2.
    assert 7 * P * Fraction(554, 1000) * eps < Fraction(49, 100)
    # mul_lazy: quotient, and rounding of the product, for |h| < 2^101 and |h| < 2^100.
    assert 2 * P**2 < 2**101
    assert Fraction(1, 2) + 2 * P * Fraction(554, 1000) * eps + Fraction(2**47, P) < Fraction(77, 100)
    assert Fraction(1, 2) + P * Fraction(554, 1000) * eps + Fraction(2**46, P) < Fraction(64, 100)
    # sum_of_products: t stays in one binade, and all that is added up stays below 7 P.
    assert 4 * P**2 + 3 * 2**50 < 2**102
    assert Fraction(ANCHOR) - 2**102 == 2**103
    assert 1 + 4 * P * Fraction(554, 1000) * eps + Fraction(3 * 2**50, P) + Fraction(27, 10) < 7
    # The magic numbers: spacing 1 up to 2^51 to either side, spacing 2 up to 2^52.
    assert Fraction(MAGIC) - 2**51 == 2**52
    assert Fraction(MAGIC_EVEN) - 2**52 == 2**53


def column(values: Ints) -> Floats:
    """Integers as float64, exactly, repeated up to a whole number of Vectors."""
    padded = values + values[:1] * (-len(values) % LANES)
    array = np.array(padded, dtype=np.float64)
    assert [int(v) for v in array] == padded
    return array


def runner(function: Any, arity: int, results: int) -> Callable[..., list[Floats]]:
    """Applies a function of so many numbers to arrays: on Vectors, and checks that single numbers give the same."""
    names = [f"a{k}" for k in range(arity)]
    outs = [f"o{k}" for k in range(results)]
    targets = ", ".join(f"r{k}" for k in range(results))

    def body(like: str) -> str:
        loads = ", ".join(f"load({n}, i, {like})" for n in names)
        stores = "\n        ".join(f"store({o}, i, r{k})" for k, o in enumerate(outs))
        return f"        {targets} = function({loads})\n        {stores}\n"

    source = (
        f"def packed({', '.join(names + outs)}):\n    for i in range(0, a0.size, {LANES}):\n{body('splat(0.0)')}"
        f"def single({', '.join(names + outs)}):\n    for i in range(a0.size):\n{body('0.0')}"
    )
    space: dict[str, Any] = {"function": function, "load": load, "store": store, "splat": splat}
    exec(source, space)
    packed, single = njit(space["packed"]), njit(space["single"])

    def run(*columns: Floats) -> list[Floats]:
        first = [np.empty_like(columns[0]) for _ in outs]
        second = [np.empty_like(columns[0]) for _ in outs]
        packed(*columns, *first)
        single(*columns, *second)
        for x, y in zip(first, second, strict=True):
            assert np.array_equal(x, y)
        return first

    return run


@pytest.fixture(scope="module")
def reduce() -> Callable[..., list[Floats]]:
    return runner(arithmetic.reduce, 1, 1)


@pytest.fixture(scope="module")
def mul_lazy() -> Callable[..., list[Floats]]:
    return runner(arithmetic.mul_lazy, 2, 1)


@pytest.fixture(scope="module")
def mul() -> Callable[..., list[Floats]]:
    return runner(arithmetic.mul, 2, 1)


@pytest.fixture(scope="module")
def sum_of_products() -> Callable[..., list[Floats]]:
    return runner(arithmetic.sum_of_products, 7, 1)


@pytest.fixture(scope="module")
def ext_mul_add() -> Callable[..., list[Floats]]:
    return runner(arithmetic.ext_mul_add, 9, 3)


def check(results: Floats, expected: Ints, bound: Fraction | int) -> None:
    """The results are integers, congruent to what is expected, and within the bound."""
    for result, value in zip(results.tolist(), expected, strict=False):
        assert result.is_integer()
        assert (int(result) - value) % P == 0
        assert abs(int(result)) <= bound


def test_reduce_at_all_edges_up_to_7p(reduce: Any) -> None:
    near = (-2, -1, 0, 1, 2)
    values = [k * P + edge + d for k in range(-7, 8) for edge in (-H, 0, H) for d in near]
    values = [v for v in values if abs(v) <= 7 * P]
    (results,) = reduce(column(values))
    check(results, values, H)


def test_reduce_at_random(reduce: Any) -> None:
    values = np.random.default_rng(1).integers(-7 * P, 7 * P + 1, 1 << 16).tolist()
    (results,) = reduce(column(values))
    check(results, values, H)


CORNERS = [sign * v for v in (1, 2, H, H + 1, P - 1, P) for sign in (1, -1)] + [0]
WIDE_CORNERS = CORNERS + [sign * v for v in (2 * P, 4 * P - 1, 4 * P) for sign in (1, -1)]


def test_products_at_all_corners(mul_lazy: Any, mul: Any) -> None:
    pairs = [(a, b) for a, b in product(WIDE_CORNERS, repeat=2) if abs(a * b) <= 2 * P**2]
    assert (4 * P, H) in pairs
    assert (2 * P, P) in pairs
    a, b = column([x for x, _ in pairs]), column([y for _, y in pairs])
    expected = [x * y for x, y in pairs]
    (lazy,) = mul_lazy(a, b)
    check(lazy, expected, Fraction(77, 100) * P)
    small = [abs(e) <= P**2 for e in expected]
    check(lazy[: len(small)][small], [e for e in expected if abs(e) <= P**2], Fraction(64, 100) * P)
    (balanced,) = mul(a, b)
    check(balanced, expected, H)


def test_products_whose_residues_are_next_to_p_half(mul: Any) -> None:
    """Where the quotient is hardest to round: a is chosen such that a b = H + d modulo P."""
    rng = np.random.default_rng(2)
    pairs = []
    for b in rng.integers(1, P, 2000).tolist():
        for d in (-1, 0, 1, 2):
            a = (H + d) * pow(b, -1, P) % P
            pairs.append((a - P if rng.integers(2) else a, b - P if rng.integers(2) else b))
    (results,) = mul(column([a for a, _ in pairs]), column([b for _, b in pairs]))
    check(results, [a * b for a, b in pairs], H)


def columns_of(rows: list[tuple[int, ...]]) -> list[Floats]:
    return [column([row[k] for row in rows]) for k in range(len(rows[0]))]


def test_sums_of_three_products_at_all_corners(sum_of_products: Any) -> None:
    s_corners = (0, H, -(27 * P // 10), 27 * P // 10)
    factors = list(product((-(P - 1), -H, -1, 0, 1, P - 1), repeat=6))
    rows = [(s_corners[k % 4], *f) for k, f in enumerate(factors)]
    (results,) = sum_of_products(*columns_of(rows))
    check(results, [s + a * b + c * d + e * f for s, a, b, c, d, e, f in rows], H)


def test_sums_of_three_products_at_the_largest_sums(sum_of_products: Any) -> None:
    """4 P^2, in one product and in several, all signs, with the largest s."""
    shapes = [(4 * P, P, 0, 0, 0, 0), (2 * P, P, P, P, P, P), (2 * P, P, 2 * P, P, 0, 0), (P, 2 * P, P, P, P, P)]
    rows = [
        (s, *(sign * v for sign, v in zip(signs, shape, strict=True)))
        for s in (0, -(27 * P // 10), 27 * P // 10)
        for shape in shapes
        for signs in product((1, -1), repeat=6)
    ]
    (results,) = sum_of_products(*columns_of(rows))
    check(results, [s + a * b + c * d + e * f for s, a, b, c, d, e, f in rows], H)


def test_sums_of_three_products_at_random_near_the_largest(sum_of_products: Any) -> None:
    """Factors with all their bits in use: where a partial sum left its binade, low bits would be lost."""
    rng = np.random.default_rng(4)
    rows = []
    for limits in ((P, P, P, P, P, P), (2 * P, P, P, P, P, P), (4 * P, P, 0, 0, 0, 0), (1, 1, 2 * P, 2 * P, 0, 0)):
        factors = [limit - rng.integers(0, 1 << 20, 4000) if limit > 1 else np.full(4000, limit) for limit in limits]
        signs = rng.choice([1, -1], (6, 4000))
        s = rng.integers(-27 * P // 10, 27 * P // 10, 4000)
        signed = [s.tolist(), *((factor * sign).tolist() for factor, sign in zip(factors, signs, strict=True))]
        rows += [row for row in zip(*signed, strict=True) if sum_of_magnitudes(row[1:]) <= 4 * P**2]
    assert len(rows) > 8000
    (results,) = sum_of_products(*columns_of(rows))
    check(results, [s + a * b + c * d + e * f for s, a, b, c, d, e, f in rows], H)


def sum_of_magnitudes(factors: tuple[int, ...]) -> int:
    a, b, c, d, e, f = factors
    return abs(a * b) + abs(c * d) + abs(e * f)


def ext_expected(row: tuple[int, ...]) -> tuple[int, int, int]:
    s0, s1, s2, a0, a1, a2, b0, b1, b2 = row
    return (
        s0 + a0 * b0 + 2 * (a1 * b2 + a2 * b1),
        s1 + a0 * b1 + a1 * b0 + 2 * a2 * b2,
        s2 + a0 * b2 + a1 * b1 + a2 * b0,
    )


def test_extension_products_at_all_corners(ext_mul_add: Any) -> None:
    """One factor a difference of balanced elements, in (-P, P); the other balanced."""
    s_corners = (0, -H, H, 27 * P // 10)
    factors = product(product((-(P - 1), -1, 0, 1, P - 1), repeat=3), product((-H, -1, 0, 1, H), repeat=3))
    rows = [(*[s_corners[k % 4]] * 3, *a, *b) for k, (a, b) in enumerate(factors)]
    results = ext_mul_add(*columns_of(rows))
    for k in range(3):
        check(results[k], [ext_expected(row)[k] for row in rows], H)


def test_extension_products_at_the_largest_factors(ext_mul_add: Any) -> None:
    """|a_i| |b_j| = 0.8 P^2: one factor 1.6 P and the other balanced, or P and 0.8 P."""
    rows = [
        (s, s, s, *(sign * a for sign in signs[:3]), *(sign * b for sign in signs[3:]))
        for a, b in ((8 * P // 5, H), (P, 4 * P // 5))
        for s in (0, 27 * P // 10, -(27 * P // 10))
        for signs in product((1, -1), repeat=6)
    ]
    results = ext_mul_add(*columns_of(rows))
    for k in range(3):
        check(results[k], [ext_expected(row)[k] for row in rows], H)


def test_transpose() -> None:
    def transposed(square: Floats, out: Floats) -> None:
        zero = splat(0.0)
        rows = (
            load(square, 0, zero), load(square, 8, zero), load(square, 16, zero), load(square, 24, zero),
            load(square, 32, zero), load(square, 40, zero), load(square, 48, zero), load(square, 56, zero),
        )  # fmt: skip
        columns = transpose(rows)
        for k in range(LANES):
            store(out, k * LANES, columns[k])

    square, out = np.arange(64.0), np.empty(64)
    njit(transposed)(square, out)
    assert np.array_equal(out.reshape(8, 8), square.reshape(8, 8).T)


PROCESSORS = {
    "as it is": {},
    "AVX2 without AVX-512": {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx,+avx2,+fma"},
    "no multiply-add": {"NUMBA_CPU_NAME": "nehalem", "NUMBA_CPU_FEATURES": "+sse2"},
}
"""The name alone would leave numba with the features of the machine that it finds itself on."""


@pytest.mark.parametrize("processor", PROCESSORS)
def test_two_million_operations_agree_with_the_oracle(processor: str) -> None:
    """In a process of its own, because numba settles on instructions once and for all."""
    if processor != "as it is" and not has_fma():
        pytest.skip("this machine cannot play a processor with AVX2")
    command = [sys.executable, str(Path(__file__).parents[1] / "agreement.py")]
    done = subprocess.run(command, env=os.environ | PROCESSORS[processor], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    count, registers = done.stdout.split()
    assert int(count) >= 2_000_000
    if processor != "as it is":
        assert registers == {"AVX2 without AVX-512": "ymm", "no multiply-add": "none"}[processor]


def has_fma() -> bool:
    """Whether this is an x86 processor with AVX2 and FMA, as far as the system says."""
    info = Path("/proc/cpuinfo")
    return platform.machine() == "x86_64" and info.exists() and bool(re.search(r"\bfma\b.*\bavx2\b", info.read_text()))


@pytest.mark.skipif(not has_fma(), reason="looks for instructions that this processor lacks")
def test_multiply_adds_are_packed_instructions() -> None:
    """The compiled extension product holds fused multiply-adds on whole registers, and calls no library for them."""

    def products(a: Floats, b: Floats) -> None:
        zero = splat(0.0)
        for i in range(0, a.size, LANES):
            x, y = load(a, i, zero), load(b, i, zero)
            store(a, i, arithmetic.sum_of_products(x, x, y, y, x, x, x))

    compiled = njit(products)
    compiled(np.zeros(LANES), np.zeros(LANES))
    (assembly,) = compiled.inspect_asm().values()
    fused = re.findall(r"\bvfn?m(?:add|sub)\w+pd\b.*?%?([yz])mm", assembly)
    assert len(fused) >= 10
    assert not re.search(r"call\w*\s.*\bfma\b", assembly)
