"""Structured reference strings: the forgeable one is what it says, and files are recognized."""

from pathlib import Path

import pytest
from py_ecc.optimized_bn128 import G1, curve_order, multiply, normalize

from zkinfer.errors import ArtifactError
from zkinfer.ezkl.srs import (
    forgeable_srs,
    generate,
    identify,
    multiply_generator,
)
from zkinfer.ezkl.verifier.kzg import lagrange_point, multi_scalar, srs_bytes

TAU = 123456789


def test_multiples_of_the_generator_agree_with_py_ecc() -> None:
    scalars = [1, 2, 255, 256, curve_order - 1, curve_order // 2, 3**150 % curve_order]
    assert multiply_generator(scalars) == [tuple(int(c) for c in normalize(multiply(G1, s))) for s in scalars]


def test_lagrange_points_commit_to_the_same_polynomials_as_powers() -> None:
    """The polynomial X in Lagrange form (its values at the roots of unity) commits to tau G."""
    logrows = 4
    data = generate(logrows, TAU)
    omega = pow(7, (curve_order - 1) >> logrows, curve_order)
    terms = [(pow(omega, row, curve_order), lagrange_point(data, row)) for row in range(1 << logrows)]
    assert multi_scalar(terms) == multiply_generator([TAU])[0]


def test_ezkl_reads_it(tmp_path: Path) -> None:
    """ezkl's own string of the same size differs only in its secret."""
    import ezkl

    ezkl.gen_srs(str(tmp_path / "own.srs"), 6)
    own, ours = (tmp_path / "own.srs").read_bytes(), generate(6, TAU)
    assert len(own) == len(ours) == srs_bytes(6)
    assert own[:68] == ours[:68]
    assert own[-256:-128] == ours[-256:-128]


def test_the_forgeable_string_is_the_same_everywhere_and_labelled(tmp_path: Path) -> None:
    path = forgeable_srs(6, tmp_path)
    again = forgeable_srs(6, tmp_path / "elsewhere")
    assert path.read_bytes() == again.read_bytes()
    srs = identify(path, logrows=6)
    assert srs.test_only
    assert srs.digest.hex() == "45d3293c17d05dc6039c9c64eb104ea9e0b3b81b5b4170648d5d61f2575bf61e"


def test_another_string_is_not_called_test_only(tmp_path: Path) -> None:
    path = tmp_path / "ceremony.srs"
    path.write_bytes(generate(6, TAU))
    assert not identify(path, logrows=6).test_only


def test_a_cut_off_cache_is_made_again(tmp_path: Path) -> None:
    path = forgeable_srs(6, tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:1000])
    assert forgeable_srs(6, tmp_path).read_bytes() == whole


@pytest.mark.parametrize("damage", [lambda d: d[:-1], lambda d: d + b"\0", lambda d: b"", lambda d: b"\x07" + d[1:]])
def test_a_file_of_the_wrong_size_is_refused(tmp_path: Path, damage: object) -> None:
    path = tmp_path / "bad.srs"
    path.write_bytes(damage(generate(5, TAU)))  # type: ignore[operator]
    with pytest.raises(ArtifactError, match="k = 5"):
        identify(path, logrows=5)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="nowhere"):
        identify(tmp_path / "nowhere.srs", logrows=5)
