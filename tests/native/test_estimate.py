"""Estimates: sizes are near what a proof has, counts are those of what is done, costs grow with the work."""

import dataclasses

import msgspec
import numpy as np
import pytest
from support.example_programs import mlp

from zkinfer.circuit.program import Lookup, Program
from zkinfer.errors import InvalidInputError
from zkinfer.native.cost import PICOSECONDS, Counts, seconds
from zkinfer.native.estimate import LayerCost, NativeEstimate, _range_proof, estimate, range_counts
from zkinfer.native.setup import key_sizes, setup

EXAMPLE = mlp()
PROOFS = 3


def estimated(runs: int) -> NativeEstimate:
    return estimate(EXAMPLE.program, EXAMPLE.weights, runs=runs, proofs=PROOFS)


@pytest.mark.parametrize("runs", [1, 5, 64])
def test_the_size_of_a_proof_is_known_beforehand(runs: int) -> None:
    """But for how many drawn columns coincide, and share paths: many, where codewords are as short as here."""
    keys = setup(EXAMPLE.program, EXAMPLE.weights, proofs=PROOFS)
    (tensor,) = EXAMPLE.program.inputs
    proof = keys.prove([np.zeros((runs, *tensor.shape), dtype=np.int64)], b"")
    assert len(proof.to_bytes()) == pytest.approx(estimated(runs).proof_bytes, rel=0.2)


@pytest.mark.parametrize("hidden", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("runs", [1, 64])
def test_the_room_for_a_proof_is_enough_and_not_wasteful(hidden: tuple[bool, bool], runs: int) -> None:
    keys = setup(EXAMPLE.program, EXAMPLE.weights, proofs=PROOFS)
    (tensor,) = EXAMPLE.program.inputs
    options = dict(zip(("private_inputs", "private_outputs"), hidden, strict=True))
    proof = keys.prove([np.zeros((runs, *tensor.shape), dtype=np.int64)], b"", **options)
    assert 1 <= keys.proof_bytes(runs, **options) / len(proof.to_bytes()) <= 1.6


def test_the_size_of_keys_is_known_beforehand() -> None:
    keys = setup(EXAMPLE.program, EXAMPLE.weights, proofs=PROOFS)
    files = sum(path.stat().st_size for path in keys.folder.rglob("*") if path.is_file())
    assert files == pytest.approx(estimated(1).disk_bytes, rel=0.2)


def test_layers_are_the_lookups_of_the_program() -> None:
    lookups = [node for node in EXAMPLE.program.nodes if isinstance(node, Lookup)]
    layers = estimated(7).layers
    assert [(layer.label, layer.elements) for layer in layers] == [(n.out.label, 7 * n.out.size) for n in lookups]
    assert sum(layer.entries for layer in layers) == estimated(7).counts.lookups
    assert all(layer.entries >= layer.elements for layer in layers)


def test_a_table_that_only_rounds_is_called_so() -> None:
    found = dataclasses.replace(estimated(1), layers=(LayerCost("hidden", 3_000, 4_096, "x", 16),))
    cells = [[str(cell) for cell in column.cells] for column in found.table().columns]
    assert cells == [["hidden"], ["rounding"], ["3,000"], ["4,096"], ["16"]]


def test_a_proof_is_as_secure_as_all_are() -> None:
    assert estimated(1).security_bits >= 128


def test_the_proof_about_the_weights_is_counted_once_for_the_keys() -> None:
    """However many runs a proof covers; and it takes longer for wider bounds, whose distances have more limbs."""
    assert estimated(1).range_seconds == estimated(64).range_seconds > 0
    sizes = key_sizes(EXAMPLE.program, 3)
    wide = [msgspec.structs.replace(tensor, lo=-(1 << 30), hi=1 << 30) for tensor in EXAMPLE.program.weights]
    wider = _range_proof(msgspec.structs.replace(EXAMPLE.program, weights=tuple(wide)), sizes)
    assert wider > _range_proof(EXAMPLE.program, sizes)
    assert estimated(1).setup_seconds > estimated(1).range_seconds
    assert "of which the proof about the weights" in dict(estimated(1).rows())


def test_limbs_of_weights_and_multiplicities_are_counted() -> None:
    """Weights of small bounds are looked up as they are committed; of wide ones the limbs are committed as well."""
    sizes = key_sizes(EXAMPLE.program, 3)
    cells = sum(1 << (tensor.size - 1).bit_length() for tensor in EXAMPLE.program.weights)
    narrow = range_counts(EXAMPLE.program, sizes)
    assert narrow.lookups == cells
    assert narrow.table_rows == 16 + 64, "of two bounds for three weights"
    wide = [msgspec.structs.replace(tensor, lo=-(1 << 30), hi=1 << 30) for tensor in EXAMPLE.program.weights]
    limbs = range_counts(msgspec.structs.replace(EXAMPLE.program, weights=tuple(wide)), sizes)
    assert limbs.lookups > 2 * narrow.lookups
    assert limbs.symbols > narrow.symbols
    assert narrow.elements == narrow.multiplications == 0, "nothing is executed"


def test_an_estimate_says_which_proof_it_is_of() -> None:
    assert "idle core" in estimated(1).title
    assert "it also reads keys and kernels" in estimated(1).title


def test_a_budget_has_its_price_in_time_memory_and_disk() -> None:
    """Of setup alone, where copies are small: proofs cost the same, and keys keep a root and a byte for each."""
    few, many = (estimate(EXAMPLE.program, EXAMPLE.weights, proofs=proofs) for proofs in (100, 10_000))
    assert many.prove_seconds == few.prove_seconds
    assert abs(many.proof_bytes - few.proof_bytes) < 1000
    assert 50 < (many.setup_seconds - many.range_seconds) / (few.setup_seconds - few.range_seconds) < 200
    assert 10_000 < many.disk_bytes - few.disk_bytes < 3_000_000
    assert dict(many.rows())["proofs that the keys make"] == "10,000"


def test_the_setup_of_large_weights_is_shown_beside_that_of_keys_for_fewer_proofs() -> None:
    """Each copy of them takes as long again, and a hundred proofs need one or a few."""
    wide = tuple(msgspec.structs.replace(tensor, shape=(1 << 12, 1 << 11)) for tensor in EXAMPLE.program.weights[:1])
    program = Program(1, EXAMPLE.program.inputs, wide, (), (), (0,))
    weights = [np.zeros(wide[0].shape, dtype=np.int64)]
    many, few = (estimate(program, weights, proofs=proofs) for proofs in (2000, 100))
    assert many.small_setup_seconds == few.setup_seconds < many.setup_seconds / 3
    row = "with keys for 100 proofs it would take"
    assert row in dict(many.rows())
    assert row not in dict(few.rows())
    assert row not in dict(estimated(1).rows())


def test_long_rows_have_their_price_in_every_proof() -> None:
    """Where the matrix is large, a copy serves many proofs, whose masks are as long as its rows."""
    wide = tuple(msgspec.structs.replace(tensor, shape=(1 << 11, 1 << 11)) for tensor in EXAMPLE.program.weights)
    program = msgspec.structs.replace(EXAMPLE.program, weights=wide)
    few, many = (key_sizes(program, proofs).opening.code.dimension for proofs in (10, 1000))
    assert few < many


def test_more_runs_cost_more() -> None:
    small, large = estimated(1), estimated(4096)
    assert small.prove_seconds < large.prove_seconds
    assert small.memory_bytes < large.memory_bytes
    assert small.disk_bytes == large.disk_bytes


@pytest.mark.parametrize("field", dataclasses.fields(Counts))
def test_every_count_is_priced(field: "dataclasses.Field[int]") -> None:
    nothing = Counts(*(0 for _ in dataclasses.fields(Counts)))
    some = dataclasses.replace(nothing, **{field.name: 10**6})
    assert seconds(nothing) == 0
    assert seconds(some) == pytest.approx(1e-6 * getattr(PICOSECONDS, field.name))
    assert seconds(some, some) == pytest.approx(1)


def test_no_runs_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="one run at least"):
        estimated(0)
