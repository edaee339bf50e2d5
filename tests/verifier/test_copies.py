"""Proofs under commitments over copies: what both verifiers accept, and provers who cheat with a copy."""

from pathlib import Path
from unittest import mock

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.example_programs import mlp
from support.single_copies import openings_a_copy

from zkinfer.circuit.qformat import dequantize
from zkinfer.errors import (
    MalformedCommitmentError,
    MalformedProofError,
    ProvingError,
    VerificationError,
)
from zkinfer.files.commitment import Commitment
from zkinfer.files.native_key import NativeVerifyingKey
from zkinfer.files.proof import Proof
from zkinfer.files.rotation import ROTATION_FILE, Rotation
from zkinfer.native import storage, weight_ranges
from zkinfer.native.keys import NativeKeys
from zkinfer.native.rotate import rotate
from zkinfer.native.setup import setup
from zkinfer.native.storage import Opened, StoredMatrix
from zkinfer.protocol.channel import PadConstraints
from zkinfer.protocol.native_proof.encoding import NativeProof, decode, encode
from zkinfer.protocol.pcs import soundness
from zkinfer.protocol.pcs.claims import ClaimGroup
from zkinfer.protocol.pcs.copies import CopiesCommitment, Link, Place, no_link
from zkinfer.protocol.pcs.params import MatrixCommitment
from zkinfer.protocol.pcs.prover import CommittedMatrix
from zkinfer.protocol.randomness import Randomness
from zkinfer.protocol.security import combine
from zkinfer.protocol.transcript import Transcript
from zkinfer.verifier import verify
from zkinfer.verifier.lineage import follow
from zkinfer.verifier.rotation import rotation_bits

EXAMPLE = mlp()
X = dequantize(EXAMPLE.x, EXAMPLE.program.inputs[0])
ENGINES = ("python", "reference")


@pytest.fixture(scope="module")
def keys() -> NativeKeys:
    """With copies that are opened once."""
    return setup(EXAMPLE.program, EXAMPLE.weights, proofs=20)


def key_of(commitment: Commitment) -> NativeVerifyingKey:
    return commitment.key_as(NativeVerifyingKey)


@pytest.mark.parametrize("each", [1, 2, 3])
def test_both_verifiers_accept_proofs_of_every_copy_and_of_rotated_ones(tmp_path: Path, each: int) -> None:
    with openings_a_copy(each):
        first = setup(EXAMPLE.program, EXAMPLE.weights, proofs=5)
        second = rotate(first, folder=tmp_path / "second")
    key = key_of(first.commitment)
    assert (key.log_copies, key.openings_a_copy, key.masks) == {1: (3, 1, 2), 2: (2, 2, 0), 3: (1, 3, 0)}[each]
    steps = [tmp_path / "second" / ROTATION_FILE]
    places = []
    for made, lineage in ((first, []), (second, steps)):
        for _ in range(made.proofs_left):
            proof = made.prove([EXAMPLE.x[None]], b"")
            places.append(decode(proof.data).copy)
            for engine in ENGINES:
                result = verify(proof, first.commitment, inputs=X, lineage=lineage, engine=engine)
                assert result.weights_in_bounds
                assert result.security_bits >= 128
    assert places[:4] == places[4:], "a rotation takes one of each"
    assert max(places.count(number) for number in places[:4]) <= 2 * each


@settings(max_examples=10, deadline=None)
@given(st.data())
def test_no_place_can_be_changed(keys: NativeKeys, data: st.DataObject) -> None:
    honest = made_once(keys)
    proof = decode(honest.data)
    if data.draw(st.booleans()):
        changed = msgspec.structs.replace(proof, copy=proof.copy ^ 1 << data.draw(st.integers(0, 19)))
    else:
        branch = bytearray(proof.branch)
        branch[data.draw(st.integers(0, len(branch) - 1))] ^= data.draw(st.integers(1, 255))
        changed = msgspec.structs.replace(proof, branch=bytes(branch))
    refused_by_both(keys.commitment, with_data(honest, encode(changed)))


MADE: dict[bytes, Proof] = {}


def made_once(keys: NativeKeys) -> Proof:
    """One proof of the keys."""
    if keys.commitment.digest not in MADE:
        MADE[keys.commitment.digest] = keys.prove([EXAMPLE.x[None]], b"")
    return MADE[keys.commitment.digest]


def with_data(proof: Proof, data: bytes) -> Proof:
    return Proof(proof.backend, proof.commitment_digest, proof.output_tensors, data, (), proof.stated)


def refused_by_both(commitment: Commitment, proof: Proof) -> None:
    for engine in ENGINES:
        with pytest.raises(VerificationError):
            verify(proof, commitment, inputs=X, engine=engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_opening_without_a_whole_column_is_refused_before_the_link_is_drawn(keys: NativeKeys, engine: str) -> None:
    """Drawing it takes memory in proportion to the rows, whose number a hostile commitment names."""
    honest = made_once(keys)
    proof = decode(honest.data)
    short = with_data(honest, encode(msgspec.structs.replace(proof, weights=proof.weights[:1])))
    assert key_of(keys.commitment).rows > 1
    verify(honest, keys.commitment, inputs=X, engine=engine)  # checks the proof about the weights, once in a process
    drawn = AssertionError("the link was drawn")
    with (
        mock.patch.object(CopiesCommitment, "link", side_effect=drawn),
        mock.patch("zkinfer.verifier.reference.proof.draw_link", side_effect=drawn),
        pytest.raises(MalformedProofError),
    ):
        verify(short, keys.commitment, inputs=X, engine=engine)


# Copies of other weights.

OTHER = [-weights for weights in EXAMPLE.weights]


@pytest.fixture
def dishonest(tmp_path: Path) -> NativeKeys:
    """Keys whose first copy holds the weights, and whose others hold other ones."""
    honest = storage._Maker.made
    with mock.patch.object(storage._Maker, "made", lambda maker, number: swapped(maker, number, honest)):
        keys = setup(EXAMPLE.program, EXAMPLE.weights, proofs=3, folder=tmp_path / "keys")
    return NativeKeys(keys.folder, keys.commitment, keys._secrets)


def swapped(maker: storage._Maker, number: int, honest: object) -> CommittedMatrix:
    assert callable(honest)
    data = maker._data
    if number:
        maker._data = np.negative(data)
    try:
        made = honest(maker, number)
        assert isinstance(made, CommittedMatrix)
        return made
    finally:
        maker._data = data


def prove_with_others(keys: NativeKeys) -> Proof:
    """A proof whose messages are honest, for the outputs that the other weights give."""
    honest = storage._Maker.made
    with (
        mock.patch.object(storage._Maker, "made", lambda maker, number: swapped(maker, number, honest)),
        mock.patch.object(NativeKeys, "_narrow_weights", return_value=OTHER),
        mock.patch.object(PadConstraints, "check"),
    ):
        return keys.prove([EXAMPLE.x[None]], b"")


def test_a_copy_of_other_weights_is_refused(dishonest: NativeKeys) -> None:
    proof = prove_with_others(dishonest)
    assert decode(proof.data).copy == 1
    refused_by_both(dishonest.commitment, proof)


def test_without_the_link_it_would_serve(dishonest: NativeKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same proof of other outputs is accepted where the link claims nothing."""
    code = key_of(dishonest.commitment).opening.code
    nothing = no_link(code, key_of(dishonest.commitment).rows, 2).group
    monkeypatch.setattr(Link, "group", property(lambda self: ClaimGroup(self.point, nothing.claims)))
    keys = relinked(dishonest)
    proof = prove_with_others(keys)
    verified = verify(proof, keys.commitment, inputs=X)
    assert not np.array_equal(np.asarray(verified.outputs), np.asarray(honest_outputs()))


def relinked(keys: NativeKeys) -> NativeKeys:
    """The keys with the proof about the weights made again, under the link of now."""
    bare = Commitment(keys.program, keys.commitment.key)
    fresh = Commitment(keys.program, bare.key, weight_ranges.prove_ranges(bare, keys.matrix, keys.seed))
    return NativeKeys(keys.folder, fresh, keys._secrets)


def honest_outputs() -> object:
    return made_once(setup(EXAMPLE.program, EXAMPLE.weights, proofs=1)).outputs


def test_another_value_of_the_link_is_refused(keys: NativeKeys) -> None:
    """That of another commitment, with which its own proof about the weights does not agree either."""
    other = setup(EXAMPLE.program, EXAMPLE.weights, proofs=20)
    key = msgspec.structs.replace(key_of(keys.commitment), link=key_of(other.commitment).link)
    posed = Commitment(keys.program, key, keys.commitment.range_proof)
    with pytest.raises(MalformedCommitmentError, match="within their bounds is refused"):
        verify(repointed(made_once(keys), posed), posed, inputs=X)


def repointed(proof: Proof, commitment: Commitment) -> Proof:
    return Proof(proof.backend, commitment.digest, proof.output_tensors, proof.data, (), proof.stated)


def foreign_copy(keys: NativeKeys) -> tuple[NativeProof, Proof]:
    """A proof of a copy with the weights and the veil, and random symbols that were not committed to."""
    honest = StoredMatrix.take

    def take(matrix: StoredMatrix) -> Opened:
        opened = honest(matrix)
        maker = storage._Maker(matrix.folder, matrix.commitment, matrix.data, matrix.stream)
        with mock.patch.object(maker, "randomness", return_value=Randomness()):
            made = maker.made(0)
        return Opened(made, Place(opened.place.number, made.commitment.root + opened.place.branch[32:]))

    with mock.patch.object(StoredMatrix, "take", take):
        proof = keys.prove([EXAMPLE.x[None]], b"")
    return decode(proof.data), proof


def test_a_copy_that_was_not_committed_is_refused(keys: NativeKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    """It could hold data that were chosen for the link; and its columns are hidden by nothing that was counted."""
    _, proof = foreign_copy(keys)
    refused_by_both(keys.commitment, proof)
    key = key_of(keys.commitment)
    monkeypatch.setattr(
        CopiesCommitment, "matrix", lambda self, place: MatrixCommitment(place.branch[:32], key.rows, key.masks)
    )
    verify(proof, keys.commitment, inputs=X)


def test_a_number_out_of_range_is_refused(keys: NativeKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would give one copy two names."""
    honest, beyond = StoredMatrix.take, 1 << key_of(keys.commitment).log_copies

    def take(matrix: StoredMatrix) -> Opened:
        opened = honest(matrix)
        return Opened(opened.matrix, Place(opened.place.number + beyond, opened.place.branch))

    with monkeypatch.context() as patch:
        patch.setattr(StoredMatrix, "take", take)
        proof = keys.prove([EXAMPLE.x[None]], b"")
    refused_by_both(keys.commitment, proof)
    within = CopiesCommitment.matrix
    monkeypatch.setattr(
        CopiesCommitment, "matrix", lambda self, place: within(self, Place(place.number % beyond, place.branch))
    )
    verify(proof, keys.commitment, inputs=X)


def test_copies_need_the_proof_about_the_first_of_them(keys: NativeKeys) -> None:
    """All others are compared with it, and no other proof has to open it."""
    bare = Commitment(keys.program, keys.commitment.key)
    for engine in ENGINES:
        with pytest.raises(MalformedCommitmentError, match="does not carry the proof about its weights"):
            verify(made_once(keys), bare, inputs=X, engine=engine)


def test_the_proof_about_the_weights_is_about_the_first_copy(keys: NativeKeys) -> None:
    """An honest proof in all else."""
    bare = Commitment(keys.program, keys.commitment.key)
    with mock.patch.object(StoredMatrix, "take_reserved", lambda self: self._opened(1)):
        other = weight_ranges.prove_ranges(bare, keys.matrix, bytes(32))
    posed = Commitment(keys.program, keys.commitment.key, other)
    for engine in ENGINES:
        with pytest.raises(MalformedCommitmentError) as caught:
            verify(made_once(keys), posed, inputs=X, engine=engine)
        assert isinstance(caught.value.__cause__, MalformedProofError)
        assert "not about their first copy" in str(caught.value.__cause__)


# Rotations.


@pytest.fixture(scope="module")
def rotation(keys: NativeKeys, tmp_path_factory: pytest.TempPathFactory) -> Rotation:
    folder = tmp_path_factory.mktemp("rotated") / "keys"
    rotate(keys, folder=folder)
    return Rotation.load(folder / ROTATION_FILE)


@pytest.mark.parametrize("field", ["root", "link", "link_nonce", "old_copy", "old_branch", "new_copy", "new_branch"])
def test_no_part_of_a_rotation_can_be_changed(keys: NativeKeys, rotation: Rotation, field: str) -> None:
    honest = rotation.apply(keys.commitment)
    assert follow(keys.commitment, [rotation], honest.digest).digest == honest.digest
    value = getattr(rotation, field)
    changed = bytes([value[0] ^ 1]) + value[1:] if isinstance(value, bytes) else value ^ 1
    with pytest.raises(VerificationError):
        follow(keys.commitment, [msgspec.structs.replace(rotation, **{field: changed})], bytes(32))


def test_a_rotation_without_a_whole_column_is_refused_before_anything_is_drawn(
    keys: NativeKeys, rotation: Rotation
) -> None:
    """As for proofs: neither its own row weights nor the links, nor those of the bits that it would be worth."""
    rows = key_of(keys.commitment).rows
    assert len(rotation.data) > rows > 1
    short = msgspec.structs.replace(rotation, data=rotation.data[: rows - 1])
    with (
        mock.patch.object(Transcript, "challenge_exts", side_effect=AssertionError("something was drawn")),
        pytest.raises(MalformedProofError, match=f"columns of {rows} elements"),
    ):
        follow(keys.commitment, [short], short.apply(keys.commitment).digest, min_bits=128)


def test_a_rotation_of_copies_is_worth_what_it_and_both_links_are(keys: NativeKeys) -> None:
    key = key_of(keys.commitment)
    link = key.copies.link()
    assert link is not None
    terms = combine(soundness.rotation(key.opening, 3), link.term, link.term)
    assert rotation_bits(keys.commitment) == terms.bits > 128


def test_a_rotation_shows_the_links_of_both(keys: NativeKeys, tmp_path: Path) -> None:
    """Else copies of other weights could be handed on: here the old one that is opened is such a copy."""
    honest = storage._Maker.made
    with mock.patch.object(storage._Maker, "made", lambda maker, number: swapped(maker, number, honest)):
        old = setup(EXAMPLE.program, EXAMPLE.weights, proofs=3, folder=tmp_path / "old")
        with (
            mock.patch("zkinfer.protocol.pcs.rotation_prover._same_data", return_value=True),
            pytest.raises(ProvingError, match="the opened matrices have the claimed values"),
        ):
            rotate(old, folder=tmp_path / "new")
