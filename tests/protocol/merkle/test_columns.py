"""The hash of columns is that of their bytes, as the blake3 package computes it, whatever a leaf's number of chunks."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from zkinfer.errors import ShapeError
from zkinfer.jit.threads import threads
from zkinfer.protocol.field import kernels
from zkinfer.protocol.field.encoding import encode_array
from zkinfer.protocol.field.params import P
from zkinfer.protocol.merkle.columns import GROUP, STAGE, TILE, ColumnHasher, SaltedColumns, hash_columns
from zkinfer.protocol.merkle.compression import LANES
from zkinfer.protocol.merkle.tree import build_tree

KEY = bytes(range(32))
EXTREMES = (0, 1, P - 1, P // 2, P // 2 + 1)
"""Canonical elements whose balanced numbers are zero, beside it, and largest of either sign."""


def random_columns(rows: int, count: int, salt_bytes: int, seed: int = 0) -> SaltedColumns:
    """Columns in which extreme elements are as frequent as others."""
    rng = np.random.default_rng(seed)
    elements = np.where(
        rng.random((rows, count)) < 0.5, rng.choice(EXTREMES, (rows, count)), rng.integers(0, P, (rows, count))
    )
    return SaltedColumns(kernels.from_ints(elements), rng.integers(0, 256, (count, salt_bytes), dtype=np.uint8))


def leaves_of(columns: SaltedColumns) -> list[bytes]:
    """The leaves, from the definition of their bytes."""
    elements = kernels.to_ints(columns.codewords)
    return [
        salt.tobytes() + encode_array(np.ascontiguousarray(column)).tobytes()
        for salt, column in zip(columns.salts, elements.T, strict=True)
    ]


def digests_of(columns: SaltedColumns) -> list[bytes]:
    digests = np.full((len(columns), 32), 255, dtype=np.uint8)
    hash_columns(columns, KEY, digests)
    return [digest.tobytes() for digest in digests]


def one_by_one(columns: SaltedColumns) -> list[bytes]:
    return [blake3(leaf, key=KEY).digest() for leaf in leaves_of(columns)]


@pytest.mark.parametrize("salt_bytes", [0, 32])
def test_every_number_of_rows_of_two_chunks(salt_bytes: int) -> None:
    """All ways in which groups, stages, blocks and the first two chunks end, from no row on."""
    for rows in range(2 * 1024 // 7 + 2):
        columns = random_columns(rows, LANES, salt_bytes, seed=rows)
        assert digests_of(columns) == one_by_one(columns), rows


@pytest.mark.parametrize("salt_bytes", [0, 32])
@pytest.mark.parametrize("chunks", range(3, 18))
def test_trees_of_chunks(chunks: int, salt_bytes: int) -> None:
    """The last chunk has as few bytes as can be, or as many."""
    for rows in ((1024 * (chunks - 1) - salt_bytes) // 7 + 1, (1024 * chunks - salt_bytes) // 7):
        columns = random_columns(rows, LANES, salt_bytes, seed=rows)
        assert digests_of(columns) == one_by_one(columns)


@settings(max_examples=60, deadline=None)
@given(rows=st.integers(0, 3 * STAGE), count=st.integers(1, TILE + 2 * LANES), salt_bytes=st.sampled_from((0, 32)))
def test_any_number_of_columns(rows: int, count: int, salt_bytes: int) -> None:
    columns = random_columns(rows, count, salt_bytes)
    assert digests_of(columns) == one_by_one(columns)


def in_pieces(columns: SaltedColumns, pieces: Sequence[int]) -> list[bytes]:
    """The digests, the rows coming so many groups at a time, in turns."""
    hasher, start, turn = ColumnHasher(len(columns.codewords), columns.salts, KEY), 0, 0
    while start < len(columns.codewords):
        stop = start + GROUP * pieces[turn % len(pieces)]
        hasher.absorb(np.ascontiguousarray(columns.codewords[start:stop]))
        start, turn = stop, turn + 1
    return [digest.tobytes() for digest in hasher.digests]


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 18 * 1024 // 7),
    pieces=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    salt_bytes=st.sampled_from((0, 32)),
)
def test_rows_may_come_in_any_pieces(rows: int, pieces: list[int], salt_bytes: int) -> None:
    columns = random_columns(rows, LANES + 3, salt_bytes, seed=rows)
    assert in_pieces(columns, pieces) == digests_of(columns)


@pytest.mark.parametrize("count", [TILE, TILE + LANES, 4 * TILE + 1])
def test_threads_share_the_columns_of_pieces(count: int) -> None:
    columns = random_columns(3 * STAGE + 3, count, 32)
    with threads(3):
        assert in_pieces(columns, [1, 9]) == one_by_one(columns)


def test_pieces_that_are_no_part_of_the_leaves_are_refused() -> None:
    hasher = ColumnHasher(2 * GROUP, np.zeros((32, 32), np.uint8), KEY)
    for shape in ((GROUP - 1, 32), (GROUP, 31), (3 * GROUP, 32), (GROUP,)):
        with pytest.raises(ShapeError):
            hasher.absorb(np.zeros(shape))
    hasher.absorb(np.zeros((GROUP, 32)))
    with pytest.raises(ShapeError, match="16 rows, of which 8 came"):
        _ = hasher.digests
    with pytest.raises(ShapeError, match="salts"):
        ColumnHasher(8, np.zeros((32, 31), np.uint8), KEY)


@pytest.mark.parametrize("count", [TILE, TILE + LANES, 4 * TILE])
def test_threads_share_the_columns(count: int) -> None:
    columns = random_columns(STAGE + 3, count, 32)
    with threads(3):
        assert digests_of(columns) == one_by_one(columns)


def test_leaves_that_are_opened() -> None:
    columns = random_columns(20, 64, 32)
    leaves = leaves_of(columns)
    assert [leaf.tobytes() for leaf in columns[[63, 0, 7]]] == [leaves[63], leaves[0], leaves[7]]
    assert len(columns) == 64


def test_the_tree_is_that_of_the_leaves() -> None:
    columns = random_columns(20, 64, 32)
    written = np.frombuffer(b"".join(leaves_of(columns)), dtype=np.uint8).reshape(64, -1)
    assert np.array_equal(build_tree(columns), build_tree(written))


@pytest.mark.parametrize(
    ("codewords", "salts", "digests", "message"),
    [
        (np.zeros(32), np.zeros((32, 0), np.uint8), np.zeros((32, 32), np.uint8), "codewords"),
        (np.zeros((2, 32), np.float32), np.zeros((32, 0), np.uint8), np.zeros((32, 32), np.uint8), "codewords"),
        (np.zeros((32, 2)).T, np.zeros((32, 0), np.uint8), np.zeros((32, 32), np.uint8), "codewords"),
        (np.zeros((2, 32)), np.zeros((32, 31), np.uint8), np.zeros((32, 32), np.uint8), "salts"),
        (np.zeros((2, 32)), np.zeros((31, 32), np.uint8), np.zeros((32, 32), np.uint8), "salts"),
        (np.zeros((2, 32)), np.zeros((32, 32), np.int8), np.zeros((32, 32), np.uint8), "salts"),
        (np.zeros((2, 32)), np.zeros((32, 32), np.uint8), np.zeros((31, 32), np.uint8), "digests"),
        (np.zeros((2, 32)), np.zeros((32, 32), np.uint8), np.zeros((32, 32), np.int8), "digests"),
    ],
)
def test_arrays_of_another_form_are_refused(codewords: Any, salts: Any, digests: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        hash_columns(SaltedColumns(codewords, salts), KEY, digests)
