"""Where data and salt lie in a committed vector, and that the salt hides what it should."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from py_ecc.optimized_bn128 import curve_order

from zkinfer.errors import ResourceError
from zkinfer.ezkl.keys import EzklKeys
from zkinfer.ezkl.salting import SaltedVector, capacity, salt_from_seed
from zkinfer.ezkl.verifier.kzg import column_count
from zkinfer.ezkl.verifying_key import EzklVerifyingKey


@given(count=st.integers(0, 700), salt=st.integers(1, 200), logrows=st.integers(8, 10))
def test_data_is_found_where_the_layout_says(count: int, salt: int, logrows: int) -> None:
    layout = SaltedVector(count, salt, logrows)
    vector = layout.fill(list(range(1, count + 1)), tuple(range(10**6, 10**6 + layout.salt_count)))
    assert len(vector) == layout.length
    assert [vector[i] for i in layout.data_positions] == list(range(1, count + 1))


@given(count=st.integers(0, 700), salt=st.integers(1, 200), logrows=st.integers(8, 10))
def test_every_column_holds_its_salt(count: int, salt: int, logrows: int) -> None:
    layout = SaltedVector(count, salt, logrows)
    vector = layout.fill([0] * count, (1,) * layout.salt_count)
    size = capacity(logrows)
    columns = [vector[i : i + size] for i in range(0, len(vector), size)]
    assert [sum(column) for column in columns] == [salt] * layout.columns


def test_salt_that_fills_a_column_is_refused() -> None:
    with pytest.raises(ResourceError, match="fewer proofs"):
        SaltedVector(1, capacity(8), 8)


def test_negative_data_becomes_residues() -> None:
    assert SaltedVector(1, 1, 8).fill([-1], (5,)) == [curve_order - 1, 5]


def test_salt_is_reproducible_and_differs_by_seed_and_place() -> None:
    salt = salt_from_seed(b"a" * 32, 100)
    assert salt == salt_from_seed(b"a" * 32, 100)
    assert salt[:10] == salt_from_seed(b"a" * 32, 10)
    assert len({*salt, *salt_from_seed(b"b" * 32, 100)}) == 200
    assert all(0 <= element < curve_order for element in salt)


def test_openings_of_a_salted_column_are_independent_of_the_data() -> None:
    """With s elements of salt, the commitment and s - 1 openings can take any value whatever the data are.

    The equations' coefficients at the salt's rows are Lagrange polynomials at the points opened; full rank means
    that for any data and any observed values exactly one salt explains them.
    """
    logrows, salt = 5, 4
    rows, start = 1 << logrows, 9
    omega = pow(pow(7, (curve_order - 1) >> 28, curve_order), 1 << (28 - logrows), curve_order)
    points = [12345, 67890, 13579, 24680]
    matrix = [
        [
            pow(omega, row, curve_order)
            * (pow(x, rows, curve_order) - 1)
            * pow(rows * (x - pow(omega, row, curve_order)), -1, curve_order)
            % curve_order
            for row in range(start, start + salt)
        ]
        for x in points
    ]
    assert _rank(matrix) == salt
    assert _rank([*matrix, [1, 2, 3, 4]]) == salt, "one more opening is determined by the others and the data"


def test_a_proof_opens_each_committed_column_at_one_point(keys: EzklKeys) -> None:
    """What the budget counts on. The committed columns are the first; no gate reads them, in this row or another.

    They are opened for the permutation argument alone, at the one point at which it is checked.
    """
    key = keys.commitment.key_as(EzklVerifyingKey)
    committed = json.loads(key.settings)["module_sizes"]["polycommit"]
    columns = sum(column_count(length, key.srs.logrows) for length in committed)
    read = {int(column) for column in re.findall(r"let a_(\d+)[a-z_0-9]* :=", key.artifact.decode())}
    assert columns >= 2
    assert min(read) == columns


def _rank(matrix: list[list[int]]) -> int:
    rows, rank = [row[:] for row in matrix], 0
    for column in range(len(rows[0])):
        pivot = next((i for i in range(rank, len(rows)) if rows[i][column]), None)
        if pivot is None:
            continue
        rows[rank], rows[pivot] = rows[pivot], rows[rank]
        inverse = pow(rows[rank][column], -1, curve_order)
        for i in range(rank + 1, len(rows)):
            factor = rows[i][column] * inverse % curve_order
            rows[i] = [(a - factor * b) % curve_order for a, b in zip(rows[i], rows[rank], strict=True)]
        rank += 1
    return rank
