"""KZG commitments, recomputed from the values that they commit to and the structured reference string.

A column of 2**k rows holds 2**k - 6 values, row by row, zeros where values run out, and 1 in each of the last six
rows. Its commitment is the sum over rows of value times Lagrange point. ezkl cuts a vector of n values into
floor(n / (2**k - 6)) + 1 columns, the last of which may hold no value at all.

File of a structured reference string (halo2's): k as 4 bytes little-endian; 2**k powers; 2**k Lagrange points, 64
bytes each (x, y little-endian, times 2**256: Montgomery form); two points of G2, 128 bytes each.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from blake3 import blake3

from zkinfer.counts import counted
from zkinfer.errors import ArtifactError
from zkinfer.ezkl.verifier.bn254 import (
    BASE_MODULUS,
    SCALAR_MODULUS,
    G1Point,
    G2Point,
    Jacobian,
    add,
    add_affine,
    double,
    is_canonical_point,
    negate,
    to_affine,
)
from zkinfer.ezkl.verifying_key import POINT_BYTES, Srs
from zkinfer.files.reading import read_bounded

UNUSABLE_ROWS = 6
MAX_LOGROWS = 24
"""Beyond what plain Python sums in reasonable time; a string of this size is 2 GiB."""

_JACOBIAN_INFINITY: Jacobian = (1, 1, 0)
_BUCKET_BITS = 8
_MONTGOMERY_INVERSE = pow(1 << 256, -1, BASE_MODULUS)


def column_count(values: int, logrows: int) -> int:
    """How many columns (hence points) ezkl commits a vector of so many values in."""
    return values // ((1 << logrows) - UNUSABLE_ROWS) + 1


def srs_bytes(logrows: int) -> int:
    """Size of the file of a string for 2**logrows rows."""
    return 2 * POINT_BYTES * (1 << logrows) + 4 + 256


def coordinate_bytes(coordinate: int) -> bytes:
    """A coordinate as the file has it: 32 bytes, little-endian, in Montgomery form."""
    return (coordinate * (1 << 256) % BASE_MODULUS).to_bytes(32, "little")


def g2_bytes(point: G2Point) -> bytes:
    """A point of G2 as the file has it: 128 bytes."""
    x_imaginary, x_real, y_imaginary, y_real = point
    return b"".join(map(coordinate_bytes, (x_real, x_imaginary, y_real, y_imaginary)))


def read_srs(path: str | os.PathLike[str], expected: Srs) -> bytes:
    """The content of the file that a commitment was made with.

    Raises:
        ArtifactError: another size, another content, or not readable.
    """
    if not 1 <= expected.logrows <= MAX_LOGROWS:
        raise ArtifactError(f"a string for 2**{expected.logrows} rows; from 2 to 2**{MAX_LOGROWS} are supported here")
    size = srs_bytes(expected.logrows)
    try:
        data = read_bounded(path, max_bytes=size)
    except ArtifactError as error:
        raise ArtifactError(f"not a structured reference string for 2**{expected.logrows} rows: {error}") from None
    if len(data) != size or int.from_bytes(data[:4], "little") != expected.logrows:
        raise ArtifactError(f"{Path(path)} is not a structured reference string for 2**{expected.logrows} rows")
    if blake3(data).digest() != expected.digest:
        raise ArtifactError(f"{Path(path)} is not the structured reference string that the commitment was made with")
    return data


def _coordinate(data: bytes, start: int) -> int:
    return int.from_bytes(data[start : start + 32], "little") * _MONTGOMERY_INVERSE % BASE_MODULUS


def srs_rows(srs: bytes) -> int:
    """How many rows a string's content serves.

    Raises:
        ArtifactError: the content is cut off.
    """
    logrows = int.from_bytes(srs[:4], "little")
    if not 1 <= logrows <= MAX_LOGROWS or len(srs) != srs_bytes(logrows):
        raise ArtifactError("not a structured reference string, or cut off")
    return 1 << logrows


def lagrange_point(srs: bytes, row: int) -> G1Point:
    """The commitment of the column that holds 1 in this row and 0 elsewhere.

    Raises:
        ArtifactError: what stands there is not a point of the curve.
    """
    start = 4 + (srs_rows(srs) + row) * POINT_BYTES
    point = _coordinate(srs, start), _coordinate(srs, start + 32)
    if not is_canonical_point(*point):
        raise ArtifactError(f"structured reference string: Lagrange point {row} is not on the curve")
    return point


def multi_scalar(terms: Iterable[tuple[int, G1Point]]) -> G1Point:
    """The sum of scalar * point over pairs of an integer and an affine, finite point.

    Pippenger's bucket method, with signed scalars: small negative integers, which are large modulo r, stay cheap.
    """
    windows: dict[int, dict[int, Jacobian]] = {}
    for scalar, point in terms:
        magnitude = scalar % SCALAR_MODULUS
        if magnitude > SCALAR_MODULUS // 2:
            magnitude, point = SCALAR_MODULUS - magnitude, negate(point)
        window = 0
        while magnitude:
            digit = magnitude & (1 << _BUCKET_BITS) - 1
            if digit:
                buckets = windows.setdefault(window, {})
                buckets[digit] = add_affine(buckets.get(digit, _JACOBIAN_INFINITY), point)
            magnitude >>= _BUCKET_BITS
            window += 1
    total = _JACOBIAN_INFINITY
    for window in range(max(windows, default=-1), -1, -1):
        for _ in range(_BUCKET_BITS):
            total = double(total)
        total = add(total, _bucket_sum(windows.get(window, {})))
    return to_affine(total)


def _bucket_sum(buckets: dict[int, Jacobian]) -> Jacobian:
    """The sum of digit * bucket, by running sums from the largest digit down."""
    running = total = _JACOBIAN_INFINITY
    for digit in range(max(buckets, default=0), 0, -1):
        if digit in buckets:
            running = add(running, buckets[digit])
        total = add(total, running)
    return total


def weight_points(felts: Sequence[int], srs: bytes, logrows: int) -> tuple[bytes, ...]:
    """The points that commit to a vector of field elements.

    Args:
        felts: integers, taken modulo the scalar field's order; negative ones allowed.
        srs: content of the structured reference string, for exactly 2**logrows rows.
        logrows: row bits of the circuit.

    Returns:
        `column_count` points, 64 bytes each: x then y, big-endian.

    Raises:
        ArtifactError: the string serves another number of rows, or holds points that are not on the curve.
    """
    if srs_rows(srs) != 1 << logrows:
        raise ArtifactError(
            f"a structured reference string for {counted(srs_rows(srs), 'row')} where 2**{logrows} are needed"
        )
    usable = (1 << logrows) - UNUSABLE_ROWS
    blinds = [(1, lagrange_point(srs, row)) for row in range(usable, 1 << logrows)]
    points = []
    for start in range(0, usable * column_count(len(felts), logrows), usable):
        column = felts[start : start + usable]
        terms = [(felt, lagrange_point(srs, row)) for row, felt in enumerate(column) if felt % SCALAR_MODULUS]
        x, y = multi_scalar(terms + blinds)
        points.append(x.to_bytes(32, "big") + y.to_bytes(32, "big"))
    return tuple(points)
