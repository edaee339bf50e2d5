"""Commitments recomputed in plain Python: against the golden vectors, against ezkl, and on bad strings."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from zkinfer.errors import ArtifactError
from zkinfer.ezkl.verifier.bn254 import (
    BASE_MODULUS,
    GENERATOR,
    INFINITY,
    SCALAR_MODULUS,
    add,
    scale,
    to_affine,
    to_jacobian,
)
from zkinfer.ezkl.verifier.kzg import (
    UNUSABLE_ROWS,
    column_count,
    lagrange_point,
    multi_scalar,
    read_srs,
    srs_bytes,
    srs_rows,
    weight_points,
)
from zkinfer.ezkl.verifying_key import Srs

LOGROWS = 4
CAPACITY = (1 << LOGROWS) - UNUSABLE_ROWS
SECRET = 0x1234567
ROOT = pow(7, (SCALAR_MODULUS - 1) >> LOGROWS, SCALAR_MODULUS)


def montgomery(coordinate: int) -> bytes:
    return (coordinate * 2**256 % BASE_MODULUS).to_bytes(32, "little")


def lagrange(row: int) -> int:
    """L_row(SECRET) over the 2**LOGROWS-th roots of unity, from its definition as a product."""
    value = 1
    for other in range(1 << LOGROWS):
        if other != row:
            root, own = pow(ROOT, other, SCALAR_MODULUS), pow(ROOT, row, SCALAR_MODULUS)
            value = value * (SECRET - root) * pow(own - root, -1, SCALAR_MODULUS) % SCALAR_MODULUS
    return value


@pytest.fixture(scope="module")
def srs() -> bytes:
    """A reference string with a known secret; the G2 part is not read here."""
    rows = 1 << LOGROWS
    scalars = [pow(SECRET, i, SCALAR_MODULUS) for i in range(rows)] + [lagrange(i) for i in range(rows)]
    points = b"".join(montgomery(c) for s in scalars for c in scale(GENERATOR, s))
    return LOGROWS.to_bytes(4, "little") + points + bytes(256)


def committed(columns: list[list[int]]) -> tuple[bytes, ...]:
    """What the columns' commitments are, by the secret."""
    points = []
    for column in columns:
        rows = column + [0] * (CAPACITY - len(column)) + [1] * UNUSABLE_ROWS
        x, y = scale(GENERATOR, sum(value * lagrange(i) for i, value in enumerate(rows)))
        points.append(x.to_bytes(32, "big") + y.to_bytes(32, "big"))
    return tuple(points)


@pytest.mark.parametrize("count", [0, 1, CAPACITY - 1, CAPACITY, CAPACITY + 1, 2 * CAPACITY])
def test_points_commit_to_columns(srs: bytes, count: int) -> None:
    values = [(-1) ** i * i * i for i in range(count)]
    columns = [values[i : i + CAPACITY] for i in range(0, count + 1, CAPACITY)]
    assert len(columns) == column_count(count, LOGROWS)
    assert weight_points(values, srs, LOGROWS) == committed(columns)


def test_every_value_counts(srs: bytes) -> None:
    values = list(range(1, 15))
    points = weight_points(values, srs, LOGROWS)
    for i in range(len(values)):
        changed = values.copy()
        changed[i] += 1
        assert weight_points(changed, srs, LOGROWS) != points


def test_values_are_residues(srs: bytes) -> None:
    assert weight_points([-5], srs, LOGROWS) == weight_points([SCALAR_MODULUS - 5], srs, LOGROWS)


SCALARS = st.integers(-300, 300) | st.integers(0, SCALAR_MODULUS) | st.sampled_from([SCALAR_MODULUS // 2, 255, 256])


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(SCALARS, st.integers(1, 50)), max_size=12))
def test_sum_agrees_with_one_by_one(terms: list[tuple[int, int]]) -> None:
    points = [(scalar, scale(GENERATOR, factor)) for scalar, factor in terms]
    total = INFINITY
    for scalar, point in points:
        total = to_affine(add(to_jacobian(total), to_jacobian(scale(point, scalar))))
    assert multi_scalar(points) == total


def test_sum_that_cancels_is_infinity() -> None:
    point = scale(GENERATOR, 9)
    assert multi_scalar([(7, point), (-7, point)]) == INFINITY
    assert multi_scalar([]) == INFINITY


def test_string_for_other_rows_is_refused(srs: bytes) -> None:
    with pytest.raises(ArtifactError, match=r"16 rows where 2\*\*5"):
        weight_points([1], srs, 5)


@pytest.mark.parametrize("content", [b"", b"\x04\0\0\0", bytes(srs_bytes(0)), b"\xff\xff\xff\xff" + bytes(300)])
def test_content_that_is_no_string(content: bytes) -> None:
    with pytest.raises(ArtifactError, match="not a structured reference string"):
        srs_rows(content)


def test_point_off_the_curve_is_named(srs: bytes) -> None:
    start = 4 + 64 * ((1 << LOGROWS) + 3)
    broken = srs[:start] + b"\1" + srs[start + 1 :]
    assert lagrange_point(broken, 2) == scale(GENERATOR, lagrange(2))
    with pytest.raises(ArtifactError, match="point 3 is not on the curve"):
        weight_points([0, 0, 0, 1], broken, LOGROWS)


def test_reading_demands_the_very_file(srs: bytes, tmp_path: Path) -> None:
    path = tmp_path / "srs"
    path.write_bytes(srs)
    expected = Srs(LOGROWS, blake3(srs).digest(), True)
    assert read_srs(path, expected) == srs
    with pytest.raises(ArtifactError, match="not the structured reference string that the commitment"):
        read_srs(path, Srs(LOGROWS, bytes(32), True))
    with pytest.raises(ArtifactError, match=r"not a structured reference string for 2\*\*5"):
        read_srs(path, Srs(5, expected.digest, True))
    with pytest.raises(ArtifactError, match="supported"):
        read_srs(path, Srs(25, expected.digest, True))
    with pytest.raises(ArtifactError, match="cannot read"):
        read_srs(tmp_path / "missing", expected)
    with pytest.raises(ArtifactError, match="cannot read"):
        read_srs("nul\0byte", expected)
    for content in (srs + b"\0", srs[:-1], b"\x05" + srs[1:]):
        path.write_bytes(content)
        with pytest.raises(ArtifactError, match="not a structured reference string for"):
            read_srs(path, Srs(LOGROWS, blake3(content).digest(), True))


def test_endless_file_is_read_no_further_than_a_string() -> None:
    with pytest.raises(ArtifactError, match="not a structured reference string"):
        read_srs("/dev/zero", Srs(LOGROWS, bytes(32), True))


def test_golden_commitment_is_that_of_its_weights(columns: Any) -> None:
    """The published points of the vector with three columns, from the weights and salt of `make_vectors.py`."""
    from zkinfer.ezkl.salting import SaltedVector, salt_from_seed
    from zkinfer.ezkl.srs import forgeable_srs

    key = columns.commitment.key
    rng = np.random.default_rng(3)
    weights = rng.integers(-9, 10, (20, 30)).ravel().tolist()
    layout = SaltedVector(len(weights), key.salt_count, key.srs.logrows)
    values = layout.fill(weights, salt_from_seed(bytes(32), layout.salt_count))
    srs = read_srs(forgeable_srs(key.srs.logrows), key.srs)
    assert weight_points(values, srs, key.srs.logrows) == key.weight_points
    values[7] += 1
    assert weight_points(values, srs, key.srs.logrows) != key.weight_points


def test_agrees_with_ezkl(dense: Any, tmp_path: Path) -> None:
    """`ezkl.kzg_commit` on mixed values, for counts around the capacity of a column."""
    from zkinfer.ezkl.runner import EzklCall, run
    from zkinfer.ezkl.srs import forgeable_srs

    key = dense.commitment.key
    srs_path = forgeable_srs(key.srs.logrows)
    (tmp_path / "vk").write_bytes(key.verifying_key)
    (tmp_path / "settings.json").write_bytes(key.settings)
    capacity = (1 << key.srs.logrows) - UNUSABLE_ROWS
    cases = [[(-3) ** (i % 170) for i in range(count)] for count in (1, capacity - 1, capacity, capacity + 1)]
    calls = [
        EzklCall(
            "kzg_commit",
            ([(v % SCALAR_MODULUS).to_bytes(32, "little").hex() for v in case], "vk", "settings.json", str(srs_path)),
        )
        for case in cases
    ]
    results = run(calls, folder=tmp_path, what="committing").results
    srs = read_srs(srs_path, key.srs)
    for case, points in zip(cases, results, strict=True):
        expected = tuple(bytes.fromhex(x)[::-1] + bytes.fromhex(y)[::-1] for x, y in points)
        assert weight_points(case, srs, key.srs.logrows) == expected


def test_size_of_a_string() -> None:
    assert srs_bytes(17) == 128 * 2**17 + 260
