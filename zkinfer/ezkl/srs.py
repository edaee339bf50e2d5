"""Structured reference strings: a ceremony's file, or a local one that is good for tests only.

File format (halo2's, as ezkl reads it), all integers little-endian, coordinates in Montgomery form:

    4 bytes            k
    64 * 2**k bytes    tau^i G, affine
    64 * 2**k bytes    L_i(tau) G, affine, L_i the Lagrange basis over the 2**k-th roots of unity
    128 bytes          G2
    128 bytes          tau G2

The tau of the test string is derived from a public constant. So everyone can forge proofs under it; the string is
recognized wherever it is used; and it is the same on every machine, so that reference commitments can be reproduced.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from blake3 import blake3

from zkinfer.counts import counted
from zkinfer.errors import ArtifactError
from zkinfer.ezkl.verifier.bn254 import BASE_MODULUS, G2_GENERATOR, GENERATOR, SCALAR_MODULUS, G1Point, scale_g2
from zkinfer.ezkl.verifier.kzg import coordinate_bytes, g2_bytes, srs_bytes
from zkinfer.ezkl.verifying_key import Srs
from zkinfer.files.artifact import write_atomically
from zkinfer.files.hashing import parallel_hasher
from zkinfer.files.reading import open_regular
from zkinfer.progress import activity

TEST_SEED = b"zkinfer test-only structured reference string: everyone can forge proofs under it"
TWO_ADICITY = 28
ROOT_OF_UNITY = pow(7, (SCALAR_MODULUS - 1) >> TWO_ADICITY, SCALAR_MODULUS)
MAX_LOGROWS = 26
WINDOW_BITS = 8


def identify(path: Path, *, logrows: int, test_only: bool = False) -> Srs:
    """What a structured reference string file is; reads it once.

    Args:
        path: the file.
        logrows: the circuit's k; the file must be made for exactly this many rows.
        test_only: the caller knows that somebody could forge under it; the built-in test string is recognized.

    Raises:
        ArtifactError: no such file, or not one for 2**logrows rows.
    """
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            found = int.from_bytes(file.read(4), "little")
            hasher = parallel_hasher()
            file.seek(0)
            while chunk := file.read(1 << 22):
                hasher.update(chunk)
            file.seek(max(size - 128, 0))
            tail = file.read()
    except OSError as error:
        raise ArtifactError(f"cannot read the structured reference string {path}: {error.strerror}") from error
    if found != logrows or size != srs_bytes(logrows):
        raise ArtifactError(
            f"{path} is not a structured reference string for k = {logrows}: it says k = {found} and has "
            f"{counted(size, 'byte')}, {srs_bytes(logrows)} are needed; take the ceremony's file for this k"
        )
    return Srs(logrows, hasher.digest(), test_only or tail == g2_bytes(scale_g2(_test_tau())))


def forgeable_srs(logrows: int, folder: Path | None = None) -> Path:
    """The test-only string for 2**logrows rows, made when it is not there yet.

    Args:
        logrows: k, from 1 to `MAX_LOGROWS`.
        folder: where such files are kept; the user's cache folder by default.
    """
    folder = folder or Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "zkinfer"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"test-only-k{logrows}.srs"
    if not path.exists() or path.stat().st_size != srs_bytes(logrows):
        with activity(f"making a test-only structured reference string, k = {logrows}"):
            write_atomically(path, generate(logrows, _test_tau()))
    return path


def generate(logrows: int, tau: int) -> bytes:
    """The file for a given tau. With tau, proofs can be forged.

    Raises:
        ArtifactError: k is out of range.
    """
    if not 1 <= logrows <= MAX_LOGROWS:
        raise ArtifactError(f"k = {logrows} is out of range: 1 to {MAX_LOGROWS}")
    rows = 1 << logrows
    powers = [1]
    for _ in range(rows - 1):
        powers.append(powers[-1] * tau % SCALAR_MODULUS)
    points = multiply_generator([*powers, *_lagrange(logrows, tau)])
    body = b"".join(coordinate_bytes(x) + coordinate_bytes(y) for x, y in points)
    return logrows.to_bytes(4, "little") + body + g2_bytes(G2_GENERATOR) + g2_bytes(scale_g2(tau))


def _test_tau() -> int:
    tau: int = int.from_bytes(blake3(TEST_SEED).digest(), "big") % SCALAR_MODULUS
    return tau


def _lagrange(logrows: int, tau: int) -> list[int]:
    """L_i(tau) = w^i (tau^n - 1) / (n (tau - w^i)) for the n-th root of unity w."""
    rows = 1 << logrows
    omega = pow(ROOT_OF_UNITY, 1 << (TWO_ADICITY - logrows), SCALAR_MODULUS)
    roots = [1]
    for _ in range(rows - 1):
        roots.append(roots[-1] * omega % SCALAR_MODULUS)
    numerator = (pow(tau, rows, SCALAR_MODULUS) - 1) * pow(rows, -1, SCALAR_MODULUS) % SCALAR_MODULUS
    inverses = _invert_all([(tau - root) % SCALAR_MODULUS for root in roots], SCALAR_MODULUS)
    return [root * numerator * inverse % SCALAR_MODULUS for root, inverse in zip(roots, inverses, strict=True)]


def _invert_all(values: Sequence[int], modulus: int) -> list[int]:
    """Inverses of nonzero residues, by one inversion and three multiplications each (Montgomery's trick)."""
    prefix = [1]
    for value in values:
        prefix.append(prefix[-1] * value % modulus)
    inverse = pow(prefix[-1], -1, modulus)
    out = []
    for value, before in zip(reversed(values), reversed(prefix[:-1]), strict=True):
        out.append(inverse * before % modulus)
        inverse = inverse * value % modulus
    return out[::-1]


def _add_all(left: Sequence[G1Point | None], right: Sequence[G1Point | None]) -> list[G1Point | None]:
    """Pairwise sums of affine points (None is the identity), sharing one inversion."""
    q = BASE_MODULUS
    slopes: list[int] = []
    for a, b in zip(left, right, strict=True):
        if a is None or b is None:
            slopes.append(1)
        elif a[0] != b[0]:
            slopes.append((b[0] - a[0]) % q)
        else:
            slopes.append(2 * a[1] % q if a[1] == b[1] else 1)
    inverses = _invert_all(slopes, q)
    out: list[G1Point | None] = []
    for a, b, inverse in zip(left, right, inverses, strict=True):
        if a is None or b is None:
            out.append(b if a is None else a)
            continue
        if a[0] == b[0]:
            if a[1] != b[1]:
                out.append(None)
                continue
            slope = 3 * a[0] * a[0] * inverse % q
        else:
            slope = (b[1] - a[1]) * inverse % q
        x = (slope * slope - a[0] - b[0]) % q
        out.append((x, (slope * (a[0] - x) - a[1]) % q))
    return out


def multiply_generator(scalars: Sequence[int]) -> list[G1Point]:
    """Multiples of G1's generator, affine: all scalars at once, window by window.

    Args:
        scalars: residues modulo the group order, none of them 0.
    """
    bases: list[G1Point | None] = [GENERATOR]
    windows = -(-SCALAR_MODULUS.bit_length() // WINDOW_BITS)
    for _ in range(windows * WINDOW_BITS):
        bases += _add_all(bases[-1:], bases[-1:])
    sums: list[G1Point | None] = [None] * len(scalars)
    mask = (1 << WINDOW_BITS) - 1
    for window in range(windows):
        table: list[G1Point | None] = [None]
        for bit in range(WINDOW_BITS):
            table += _add_all(table, [bases[window * WINDOW_BITS + bit]] * len(table))
        digits = [(scalar >> (window * WINDOW_BITS)) & mask for scalar in scalars]
        sums = _add_all(sums, [table[digit] for digit in digits])
    points = [point for point in sums if point is not None]
    if len(points) != len(scalars):
        raise ValueError("a scalar is a multiple of the group order")
    return points
