"""Lineages: what leads from the published commitment to another one, and every way in which it does not."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from support.example_programs import mlp
from support.rotations import DATA, KEY, Committed, committed, forged, rotated

from zkinfer.errors import (
    CommitmentMismatchError,
    InvalidProofError,
    MalformedCommitmentError,
    MalformedProofError,
    StatementError,
    VerificationError,
)
from zkinfer.files.commitment import Commitment
from zkinfer.files.native_key import NativeVerifyingKey
from zkinfer.files.rotation import Rotation, rotation_context
from zkinfer.protocol import security
from zkinfer.protocol.pcs import soundness
from zkinfer.verifier import rotation as rotation_check
from zkinfer.verifier.lineage import follow
from zkinfer.verifier.rotation import rotation_bits


@dataclass(frozen=True)
class Chain:
    """Four commitments to the same weights and the rotations between them."""

    links: tuple[Committed, ...]
    rotations: tuple[Rotation, ...]

    @property
    def published(self) -> Commitment:
        return self.links[0].commitment

    @property
    def last(self) -> Commitment:
        return self.links[-1].commitment


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    with tempfile.TemporaryDirectory() as name:
        links = tuple(committed(Path(name) / str(i)) for i in range(4))
        yield Chain(links, tuple(rotated(links[i], links[i + 1]) for i in range(3)))


class TestTrueLineages:
    @pytest.mark.parametrize("end", [0, 1, 2, 3])
    def test_lead_to_each_of_their_commitments(self, chain: Chain, end: int) -> None:
        wanted = chain.links[end].commitment
        assert follow(chain.published, chain.rotations, wanted.digest) == wanted
        assert follow(chain.published, chain.rotations[:end], wanted.digest) == wanted

    def test_come_as_objects_bytes_or_files(self, chain: Chain, tmp_path: Path) -> None:
        first, second, third = chain.rotations
        third.save(tmp_path / "third.zkr")
        forms: list[Any] = [first, second.to_bytes(), tmp_path / "third.zkr"]
        assert follow(chain.published, forms, chain.last.digest) == chain.last
        forms[2] = str(forms[2])
        assert follow(chain.published, forms, chain.last.digest) == chain.last

    def test_a_single_rotation_needs_no_list(self, chain: Chain) -> None:
        wanted = chain.links[1].commitment
        for form in (chain.rotations[0], chain.rotations[0].to_bytes()):
            assert follow(chain.published, form, wanted.digest) == wanted

    def test_an_empty_one_is_the_published_commitment(self, chain: Chain) -> None:
        assert follow(chain.published, [], bytes(32)) is chain.published

    def test_what_lies_beyond_is_not_looked_at(self, chain: Chain) -> None:
        steps: list[Any] = [chain.rotations[0], b"no rotation"]
        assert follow(chain.published, steps, chain.links[1].commitment.digest) == chain.links[1].commitment

    def test_those_that_end_elsewhere_end_there(self, chain: Chain) -> None:
        """The caller then finds that it is not the commitment of the proof."""
        assert follow(chain.published, chain.rotations, bytes(32)) == chain.last


class TestFalseLineages:
    def test_to_other_weights(self, chain: Chain, tmp_path: Path) -> None:
        other = DATA.copy()
        other[0, 0] += 1
        first = committed(tmp_path / "first")
        rotation = forged(first, other)
        wanted = rotation.apply(first.commitment)
        with pytest.raises(InvalidProofError, match="rotation 1 of the lineage: it does not show") as caught:
            follow(first.commitment, [rotation], wanted.digest)
        assert "the opened matrices" in str(caught.value.__cause__)

    def test_to_another_model_through_a_true_link(self, chain: Chain, tmp_path: Path) -> None:
        last = committed(tmp_path / "last")
        steps = [rotated(chain.links[0], last), forged(last, np.zeros_like(DATA))]
        wanted = steps[1].apply(last.commitment)
        with pytest.raises(InvalidProofError, match="rotation 2 of the lineage"):
            follow(chain.published, steps, wanted.digest)

    def test_the_proof_of_one_link_at_another(self, chain: Chain) -> None:
        first, second, _ = chain.rotations
        moved = msgspec.structs.replace(first, data=second.data)
        with pytest.raises(VerificationError, match="rotation 1"):
            follow(chain.published, [moved], chain.last.digest)

    def test_a_root_that_the_proof_is_not_about(self, chain: Chain) -> None:
        first = chain.rotations[0]
        with pytest.raises(VerificationError, match="rotation 1"):
            follow(chain.published, [msgspec.structs.replace(first, root=bytes(32))], chain.last.digest)

    def test_backwards(self, chain: Chain) -> None:
        """Equality goes both ways, a rotation goes one way."""
        with pytest.raises(CommitmentMismatchError, match="rotation 1"):
            follow(chain.last, chain.rotations[::-1], chain.published.digest)

    def test_a_link_is_missing(self, chain: Chain) -> None:
        with pytest.raises(CommitmentMismatchError, match=r"rotation 2 .* starts from another commitment"):
            follow(chain.published, [chain.rotations[0], chain.rotations[2]], chain.last.digest)

    def test_of_another_model(self, chain: Chain, tmp_path: Path) -> None:
        other = committed(tmp_path / "other", DATA[::-1])
        with pytest.raises(CommitmentMismatchError, match="rotation 1"):
            follow(other.commitment, chain.rotations, chain.last.digest)

    def test_of_another_program(self, chain: Chain) -> None:
        """The digests in rotations cover the program, so that equal weights do not join two architectures."""
        table = chain.published.program.tables[0]
        changed = msgspec.structs.replace(table, values=(*table.values[:-1], table.values[-1] - 1))
        program = msgspec.structs.replace(chain.published.program, tables=(changed,))
        with pytest.raises(CommitmentMismatchError, match="rotation 1"):
            follow(Commitment(program, chain.published.key_as(NativeVerifyingKey)), chain.rotations, chain.last.digest)

    def test_parameters_under_which_equality_is_easily_forged(self, tmp_path: Path) -> None:
        weak = msgspec.structs.replace(KEY, queries=100, blinding=450)
        old, new = committed(tmp_path / "old", key=weak), committed(tmp_path / "new", key=weak)
        with pytest.raises(InvalidProofError, match=r"less than the 2\*\*128 that are asked for"):
            follow(old.commitment, [rotated(old, new)], new.commitment.digest, min_bits=128)
        follow(old.commitment, [rotated(old, new)], new.commitment.digest)

    def test_only_the_context_ties_a_proof_to_the_keys(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Matrix, program and root are the same, but the commitments say otherwise how many proofs they are for."""
        few = msgspec.structs.replace(KEY, proofs=2)
        old, new = committed(tmp_path / "old"), committed(tmp_path / "new")
        true = rotated(old, new)
        posed = Commitment(old.commitment.program, msgspec.structs.replace(few, root=old.matrix.commitment.root))
        false = msgspec.structs.replace(true, old_digest=posed.digest)
        with pytest.raises(VerificationError, match="rotation 1"):
            follow(posed, [false], bytes(32))
        context = rotation_context(old.commitment, new.commitment, true.places)
        monkeypatch.setattr(rotation_check, "rotation_context", lambda *_: context)
        assert follow(posed, [false], bytes(32)).key_as(NativeVerifyingKey).root == true.root


class TestWhatIsNoLineage:
    @pytest.mark.parametrize("step", [b"", b"zkinfer", bytes(1000), 3, None, ["nested"]])
    def test_a_step_that_is_no_rotation(self, chain: Chain, step: Any) -> None:
        with pytest.raises(MalformedProofError, match="rotation 1"):
            follow(chain.published, [step], bytes(32))

    @pytest.mark.parametrize("steps", [None, 3, {"a": 1}, iter(())])
    def test_no_list(self, chain: Chain, steps: Any) -> None:
        with pytest.raises(StatementError, match="a list of rotations is needed"):
            follow(chain.published, steps, bytes(32))

    def test_too_many(self, chain: Chain) -> None:
        with pytest.raises(StatementError, match="257 rotations are more than the 256"):
            follow(chain.published, [chain.rotations[0]] * 257, chain.last.digest)

    def test_a_published_commitment_that_contradicts_itself(self, chain: Chain) -> None:
        key = msgspec.structs.replace(chain.published.key_as(NativeVerifyingKey), rows=KEY.rows + 1)
        with pytest.raises(MalformedCommitmentError, match="weights fill"):
            follow(Commitment(mlp().program, key), chain.rotations, chain.last.digest)


def test_bits_are_those_of_a_rotation(chain: Chain) -> None:
    terms = security.combine(soundness.rotation(KEY.opening))
    assert rotation_bits(chain.published) == terms.bits > 100
