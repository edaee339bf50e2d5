"""Copies of one matrix: docs/protocol/transcript-and-commitment.md, section 6."""

from blake3 import blake3

from zkinfer.errors import InvalidProofError, MalformedProofError
from zkinfer.files.native_key import NativeVerifyingKey
from zkinfer.protocol.field.scalar import ONE
from zkinfer.protocol.transcript import Transcript
from zkinfer.verifier.reference.channel import AffineForm
from zkinfer.verifier.reference.elements import BASE_BYTES, FIELD_SIZE, ByteReader, decode_base
from zkinfer.verifier.reference.merkle import DIGEST_BYTES, NODE_KEY
from zkinfer.verifier.reference.openings import ClaimGroup, MatrixRoot, RowClaim, u64

DOMAIN = b"zkinfer copies v1"
FREE_LOG_COPIES = 7
MASKS = 2
"""That a copy brings which is opened once."""


def masks_of(key: NativeVerifyingKey) -> int:
    """The masks of each copy."""
    return MASKS if key.log_copies and key.blinding < 2 * key.queries else 0


def find_copy(key: NativeVerifyingKey, number: int, branch: bytes) -> MatrixRoot:
    """The copy at the place that a proof names.

    Raises:
        VerificationError: there is none, or it is another one.
    """
    if not 0 <= number < 1 << key.log_copies:
        raise MalformedProofError("the proof opens a copy that there is not")
    if not key.log_copies:
        if branch:
            raise MalformedProofError("a matrix without copies has no branch")
        return MatrixRoot(key.root, key.rows, 0)
    reader = ByteReader(branch, "the branch of the copy")
    root = node = reader.take(DIGEST_BYTES)
    for level in range(key.log_copies):
        sibling = reader.take(DIGEST_BYTES)
        pair = node + sibling if number // 2**level % 2 == 0 else sibling + node
        node = blake3(pair, key=NODE_KEY).digest()
    reader.finish()
    if node != key.root:
        raise InvalidProofError("the copy is not the one that was committed there")
    return MatrixRoot(root, key.rows, masks_of(key))


def draw_link(key: NativeVerifyingKey) -> ClaimGroup | None:
    """The claim about every copy; None if there are none.

    Raises:
        VerificationError: the nonce does not show the work, or the value is not an element.
    """
    if not key.log_copies:
        return None
    transcript = Transcript(DOMAIN)
    code = (key.log_columns, key.blinding, key.log_length)
    transcript.absorb("copies", u64(*code, key.rows, masks_of(key), key.log_copies))
    transcript.absorb("root", key.root)
    transcript.check_grind("link grinding", _work(key.log_copies), key.link_nonce)
    rows = [*transcript.challenge_exts("row weights", key.rows - 1), ONE]
    point = tuple(transcript.challenge_exts("column point", key.log_columns))
    a, b, c = (decode_base(key.link[i : i + BASE_BYTES])[0] for i in range(0, 3 * BASE_BYTES, BASE_BYTES))
    return ClaimGroup(point, [RowClaim(rows, AffineForm((a, b, c)))])


def error_of_links(log_copies: int, log_columns: int) -> float:
    """The probability that two copies of different data satisfy the claim."""
    return float(2 ** (2 * log_copies - 1) * (1 + log_columns) / FIELD_SIZE / 2 ** _work(log_copies))


def _work(log_copies: int) -> int:
    return 2 * max(0, log_copies - FREE_LOG_COPIES)
