"""Copies of one matrix under one commitment, each with random symbols of its own, of which an opening shows one.

The commitment is a Merkle root over the roots of the copies. Each copy has one row more than the data: the veil, of
uniform cells that are the same in all copies. After all roots are fixed, row weights q and a column point z are drawn,
and the owner publishes

    sum_i q_i row_i(z) + veil(z) = value,

which the veil makes uniform. Every opening of a copy shows this of that copy, as one claim more (`Link`). Copies whose
data differ do not both satisfy it, but with the probability that `link_term` gives. A copy that hides one opening
brings the masks of that opening.
docs/protocol/transcript-and-commitment.md, section 6, has the argument.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from zkinfer.counts import counted
from zkinfer.errors import InvalidProofError, MalformedProofError
from zkinfer.protocol.channel import AffineForm
from zkinfer.protocol.field.modular import from_exts
from zkinfer.protocol.field.params import DEGREE
from zkinfer.protocol.field.scalar import ONE, Ext
from zkinfer.protocol.merkle.paths import DIGEST_BYTES, hash_node
from zkinfer.protocol.pcs.claims import ClaimGroup, RowClaim
from zkinfer.protocol.pcs.params import Code, MatrixCommitment
from zkinfer.protocol.security import FIELD_SIZE, SoundnessTerm, ground
from zkinfer.protocol.transcript import Transcript
from zkinfer.typing import IntArray

DOMAIN = b"zkinfer copies v1"

MAX_LOG_COPIES = 20
FREE_LOG_COPIES = 7
"""Up to 2^7 copies the point is drawn without work; each doubling, which makes four times as many pairs of copies, asks
for two bits."""

MIN_LOG_COLUMNS = 3
"""With eight cells a veil's value is uniform but for about one column point in 2^197: see the argument."""

VEIL_ROWS = 1
COPY_MASKS = 2
"""Of a copy that hides one opening: one of proximity, one for the only column point."""


def link_grinding(log_copies: int) -> int:
    """Bits of work before the point is drawn."""
    return 2 * max(0, log_copies - FREE_LOG_COPIES)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a copy hangs in the tree over all of them.

    Attributes:
        number: of the copy, from 0 on.
        branch: of several copies, the root of this one, then the siblings on the way up; 32 bytes each.
    """

    number: int = 0
    branch: bytes = b""

    def to_bytes(self) -> bytes:
        """What a transcript absorbs."""
        return self.number.to_bytes(8, "little") + self.branch


ONLY = Place()
"""That of a matrix without copies."""


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """The claim that each opening of a copy shows of it.

    Attributes:
        rows: weights of the rows, the veil's last: canonical, shape (3, rows).
        point: the column point.
        value: what was published.
        log_copies: there are 2^log_copies.
    """

    rows: IntArray
    point: tuple[Ext, ...]
    value: Ext
    log_copies: int

    @property
    def group(self) -> ClaimGroup:
        """The claim as an opening takes it."""
        return ClaimGroup(self.point, (RowClaim(self.rows, AffineForm(self.value)),))

    @property
    def term(self) -> SoundnessTerm:
        """See `link_term`."""
        return link_term(self.log_copies, len(self.point))


def link_term(log_copies: int, log_columns: int) -> SoundnessTerm:
    """Two copies have other data, and the same value: there are fewer than 2^(2 log_copies - 1) pairs.

    The difference of the two sides is sum_i q_i D_i(z) + V(z), D_i not zero for some i. For a uniform z D_i(z) is
    zero with probability at most log_columns / |K|; if it is not, one q_i makes the sum zero.
    """
    error = (1 << (2 * log_copies - 1)) * (1 + log_columns) / FIELD_SIZE
    return ground(SoundnessTerm("copies: link", error), link_grinding(log_copies))


def no_link(code: Code, rows: int, log_copies: int) -> Link:
    """A link of zeros: for what depends on the sizes alone."""
    zero = (0, 0, 0)
    return Link(np.zeros((DEGREE, rows), dtype=np.int64), (zero,) * code.log_columns, zero, log_copies)


@dataclass(frozen=True, slots=True)
class CopiesCommitment:
    """What a verifier holds of a matrix that is opened again and again.

    Attributes:
        code: of the rows.
        rows: of each copy, without masks; of several copies with the veil.
        masks: of each copy: none, or `COPY_MASKS`.
        log_copies: there are 2^log_copies at most; 0 for a matrix alone, without a veil.
        root: over all copies.
        value: of the link; all zero where there is none.
        nonce: of the work before the link's point.
    """

    code: Code
    rows: int
    masks: int
    log_copies: int
    root: bytes
    value: Ext = (0, 0, 0)
    nonce: int = 0

    def matrix(self, place: Place) -> MatrixCommitment:
        """The copy at a place that a prover names.

        Raises:
            MalformedProofError: there is no such place.
            InvalidProofError: the commitment has another copy there.
        """
        siblings = DIGEST_BYTES * (self.log_copies + 1) if self.log_copies else 0
        if len(place.branch) != siblings or not 0 <= place.number < 1 << self.log_copies:
            raise MalformedProofError(
                f"{1 << self.log_copies:,} copies have no place {place.number} with a branch of "
                f"{counted(len(place.branch), 'byte')}"
            )
        root = node = place.branch[:DIGEST_BYTES] or self.root
        for level in range(self.log_copies):
            sibling = place.branch[DIGEST_BYTES * (level + 1) : DIGEST_BYTES * (level + 2)]
            node = hash_node(sibling, node) if place.number >> level & 1 else hash_node(node, sibling)
        if node != self.root:
            raise InvalidProofError("the copy of the matrix is not one of those that were committed")
        return MatrixCommitment(root, self.rows, self.masks)

    def link(self) -> Link | None:
        """The claim about each copy; None where there are no copies.

        Raises:
            InvalidProofError: the nonce does not show the work.
        """
        return _draw_link(self) if self.log_copies else None


def link_transcript(commitment: CopiesCommitment) -> Transcript:
    """Binds all copies, before the work for the link."""
    transcript, code = Transcript(DOMAIN), commitment.code
    sizes = (code.log_columns, code.blinding, code.log_length, commitment.rows, commitment.masks, commitment.log_copies)
    transcript.absorb("copies", b"".join(size.to_bytes(8, "little") for size in sizes))
    transcript.absorb("root", commitment.root)
    return transcript


@lru_cache(maxsize=8)
def _draw_link(commitment: CopiesCommitment) -> Link:
    transcript = link_transcript(commitment)
    transcript.check_grind("link grinding", link_grinding(commitment.log_copies), commitment.nonce)
    weights = [*transcript.challenge_exts("row weights", commitment.rows - VEIL_ROWS), ONE]
    point = tuple(transcript.challenge_exts("column point", commitment.code.log_columns))
    return Link(from_exts(weights), point, commitment.value, commitment.log_copies)
