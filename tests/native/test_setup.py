"""Making keys of the native backend: parameters that are secure, randomness that is never used twice."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from support.example_programs import Example, mlp, sums_of_sums

from zkinfer.circuit.program import Program
from zkinfer.errors import BoundsError, InvalidInputError, ProvingError, ResourceError
from zkinfer.files.native_key import DEFAULT_PROOFS, NativeVerifyingKey
from zkinfer.native import storage, weight_ranges
from zkinfer.native.keys import NativeKeys
from zkinfer.native.prove import header_for
from zkinfer.native.setup import (
    COLUMN_POINTS,
    ERROR_BITS,
    KeySizes,
    announcement,
    commit_weights,
    key_sizes,
    matrix_bytes,
    setup,
)
from zkinfer.protocol import security
from zkinfer.protocol.native_proof import protocol, shape
from zkinfer.protocol.native_proof.encoding import decode
from zkinfer.protocol.pcs import soundness
from zkinfer.protocol.pcs.prover import CommittedMatrix
from zkinfer.protocol.reduction import plan
from zkinfer.protocol.reduction.layout import weight_matrix
from zkinfer.protocol.reduction.weight_ranges import make_range_plan

SEED = bytes(range(32))


@pytest.fixture(scope="module")
def example() -> Example:
    return mlp()


def test_the_matrix_holds_the_weights(example: Example) -> None:
    keys = setup(example.program, example.weights, proofs=1)
    expected = weight_matrix(example.program, example.weights, keys.commitment.key_as(NativeVerifyingKey).log_columns)
    np.testing.assert_array_equal(keys.matrix.data, expected)
    keys.commitment.check()


@pytest.mark.parametrize("proofs", [1, DEFAULT_PROOFS])
def test_an_opening_is_secure_and_hides_the_weights_for_every_proof(example: Example, proofs: int) -> None:
    key = setup(example.program, example.weights, proofs=proofs).commitment.key_as(NativeVerifyingKey)
    assert security.combine(soundness.opening(key.opening, COLUMN_POINTS)).error <= 2**-ERROR_BITS
    assert key.proofs == proofs
    assert key.blinding == key.openings_a_copy * key.queries
    copies = KeySizes(key.opening, proofs).copies
    assert key.openings_a_copy * (copies - 1) < proofs + 1 <= key.openings_a_copy * copies, (
        "one opening shows that the weights keep their bounds"
    )


def test_the_same_seed_gives_the_same_commitment(example: Example) -> None:
    first = setup(example.program, example.weights, proofs=2, seed=SEED)
    again = setup(example.program, example.weights, proofs=2, seed=SEED)
    fresh = setup(example.program, example.weights, proofs=2)
    assert first.commitment == again.commitment
    assert fresh.commitment != first.commitment
    assert fresh.seed != setup(example.program, example.weights, proofs=2).seed


def test_one_seed_never_gives_two_commitments_the_same_random_symbols(example: Example) -> None:
    """For other weights, another program, number or size of proofs all of them are new, else they would cancel."""
    other = [example.weights[0], example.weights[1], -example.weights[2]]
    tensors = (msgspec.structs.replace(example.program.inputs[0], label="renamed"),)
    renamed = msgspec.structs.replace(example.program, inputs=tensors)
    made = [
        setup(example.program, example.weights, proofs=2, seed=SEED),
        setup(example.program, other, proofs=2, seed=SEED),
        setup(renamed, example.weights, proofs=2, seed=SEED),
        setup(example.program, example.weights, proofs=3, seed=SEED),
        setup(example.program, example.weights, proofs=2, seed=SEED, proof_size="small"),
    ]
    symbols = np.concatenate([np.unique(random_symbols(keys)) for keys in made])
    assert len(np.unique(symbols)) == len(symbols)
    salts = [copy.leaves[[0]][:, :32].tobytes() for keys in made for copy in copies_of(keys)]
    assert len(set(salts)) == len(salts)


def test_other_sizes_of_an_opening_have_other_random_symbols(example: Example, tmp_path: Path) -> None:
    """Work too, which the code does not depend on: challenges are others, and so are the columns that are shown."""
    opening, roots = key_sizes(example.program, 2).opening, set()
    for number, changed in enumerate(
        (opening, replace(opening, query_grinding=opening.query_grinding + 1), replace(opening, weight_grinding=9))
    ):
        made = commit_weights(example.program, example.weights, KeySizes(changed, 2), SEED, tmp_path / str(number))
        roots.add(made.commitment.root)
    assert len(roots) == 3


def copies_of(keys: NativeKeys) -> list[CommittedMatrix]:
    """All copies of the weights."""
    sizes = KeySizes(keys.commitment.key_as(NativeVerifyingKey).opening, keys.budget)
    return [keys.matrix.copy(number) for number in range(sizes.copies)]


def random_symbols(keys: NativeKeys) -> np.ndarray:
    """All that hides the weights: random symbols and masks of every copy, and their veil once."""
    copies = copies_of(keys)
    assert len(copies) > 1
    parts = [copies[0].veil.ravel()]
    for copy in copies:
        np.testing.assert_array_equal(copy.veil, copies[0].veil)
        parts += [copy.blinding.ravel(), copy.masks.ravel()]
    return np.concatenate(parts)


def test_no_two_copies_share_a_random_symbol(example: Example) -> None:
    """Nor the veil with any: it is the same in all copies, and shown in one combination."""
    symbols = random_symbols(setup(example.program, example.weights, proofs=5))
    assert len(np.unique(symbols)) == len(symbols)


def test_one_seed_gives_two_versions_of_the_protocol_nothing_in_common(
    example: Example, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their challenges differ: the same pads, masks or random symbols under both would show weights."""
    made = []
    for domain in (protocol.DOMAIN, b"zkinfer native proof of another version"):
        monkeypatch.setattr(protocol, "DOMAIN", domain)
        keys = setup(example.program, example.weights, proofs=2, seed=SEED)
        proof = decode(keys.commitment.range_proof)
        made.append([keys.matrix.commitment.root, *proof.roots, proof.masks, proof.pads])
        symbols = np.unique(random_symbols(keys))
        made[-1] += [number.tobytes() for number in symbols]
    assert not (set(made[0]) & set(made[1])) - {b""}


def test_one_seed_gives_proofs_about_weights_of_other_sizes_nothing_in_common(
    example: Example, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cost model that chooses another header leads to other challenges, as another version does."""
    made = []
    honest = header_for(make_range_plan(example.program))
    for header in (honest, msgspec.structs.replace(honest, query_grinding=honest.query_grinding + 1)):
        monkeypatch.setattr(weight_ranges, "header_for", lambda plan, header=header: header)
        keys = setup(example.program, example.weights, proofs=2, seed=SEED)
        proof = decode(keys.commitment.range_proof)
        assert proof.header == header
        made.append({*proof.roots, proof.masks, proof.pads} - {b""})
    assert len(made[0]) > 1
    assert not made[0] & made[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"proofs": 0}, "proofs = 0 is out of range"),
        ({"proofs": -3}, "proofs = -3 is out of range"),
        ({"proofs": 1 << 20}, "proofs = 1,048,576 is out of range: from 1 to 1,048,575"),
        ({"seed": b"short"}, "a seed has 32 bytes, not 5"),
        ({"seed": bytes(33)}, "a seed has 32 bytes, not 33"),
    ],
)
def test_arguments_out_of_range(example: Example, arguments: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=message):
        setup(example.program, example.weights, folder=tmp_path / "keys", **arguments)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_weights_out_of_bounds_are_refused(example: Example) -> None:
    with pytest.raises(BoundsError):
        setup(example.program, [w * 100 for w in example.weights])


def without_weights(program: Program) -> Program:
    return msgspec.structs.replace(program, weights=(), nodes=(), tables=(), outputs=(0,))


def test_a_model_without_weights_has_nothing_to_hide(example: Example) -> None:
    with pytest.raises(ProvingError, match="no weights"):
        setup(without_weights(example.program), [])


def test_values_too_large_for_the_field_are_refused(example: Example) -> None:
    """The message names the tensor, and nothing is made."""
    (*nodes, last) = example.program.nodes
    wide = msgspec.structs.replace(last, out=msgspec.structs.replace(last.out, lo=-(2**50), hi=2**50))
    program = msgspec.structs.replace(example.program, nodes=(*nodes, wide))
    with pytest.raises(ProvingError, match="y: values of 51 bits and a sign do not fit the field"):
        setup(program, example.weights)


def test_an_existing_folder_is_left_alone(example: Example, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("keep")
    with pytest.raises(InvalidInputError, match="exists"):
        setup(example.program, example.weights, folder=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_failed_setup_leaves_nothing(example: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage, "_write_durably", full)
    with pytest.raises(ResourceError, match="No space left"):
        setup(example.program, example.weights, folder=tmp_path / "keys", proofs=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("proofs", [1, 10, 1000, 10**6])
def test_a_larger_budget_makes_more_copies_and_no_longer_ones(example: Example, proofs: int) -> None:
    """A copy of a small model hides one opening, whatever the budget is: proofs cost the same."""
    sizes = key_sizes(example.program, proofs)
    assert sizes.copies == proofs + 1
    assert sizes.opening == key_sizes(example.program, 1).opening


def test_large_models_have_few_copies_of_long_rows(example: Example) -> None:
    wide = tuple(msgspec.structs.replace(tensor, shape=(1 << 12, 1 << 12)) for tensor in example.program.weights)
    program = msgspec.structs.replace(example.program, weights=wide)
    few, many = (key_sizes(program, proofs) for proofs in (100, 10_000))
    assert few.copies == 1
    assert 10 < many.copies < 100


@dataclass
class Disk:
    """What is free on it."""

    free: int


def test_keys_that_do_not_fit_on_the_disk_are_refused_before_they_are_made(
    example: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Disk(free=100))
    with pytest.raises(ResourceError, match=r"keys for 3 proofs take about .* on disk, and .* has 100 bytes free"):
        setup(example.program, example.weights, proofs=3, folder=tmp_path / "new" / "keys")
    assert not list(tmp_path.iterdir())


def test_the_bytes_of_the_stored_matrix_are_known_beforehand(example: Example, tmp_path: Path) -> None:
    keys = setup(example.program, example.weights, proofs=3, folder=tmp_path / "keys")
    stored = sum(path.stat().st_size for path in (keys.folder / "matrix").rglob("*") if path.is_file())
    header = (keys.folder / "matrix" / "header.json").stat().st_size
    assert stored - header == pytest.approx(matrix_bytes(example.program, key_sizes(example.program, 3)), rel=0.2)


def test_sums_of_sums_that_are_read_in_too_many_places_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check would go through n^2 of them. They are refused before keys are made, not at the first proof."""
    example = sums_of_sums(20)
    setup(example.program, example.weights, proofs=2)
    monkeypatch.setattr(plan, "FREE_PULLED", 0)
    monkeypatch.setattr(plan, "PULLED_PER_SOURCE", 2)
    shape.shape_of.cache_clear()
    with pytest.raises(ProvingError, match=r"sum \d+: sums of sums are read in too many places.*put a function"):
        setup(example.program, example.weights, proofs=2, folder=tmp_path / "keys")
    assert not (tmp_path / "keys").exists()


def test_copies_that_take_long_are_announced(example: Example) -> None:
    """With what fewer proofs would take less of; keys of small models, or of one copy, are just made."""
    wide = tuple(msgspec.structs.replace(tensor, shape=(1 << 13, 1 << 12)) for tensor in example.program.weights[:1])
    large = msgspec.structs.replace(example.program, weights=wide)
    many = key_sizes(large, 2000)
    assert announcement(large, many).startswith(f"making keys for 2,000 proofs: {many.copies} copies of the weights, ")
    assert announcement(large, key_sizes(large, 50)) == "making keys"
    assert announcement(example.program, key_sizes(example.program, 2000)) == "making keys"
