"""The proof about pads: one text for prover and verifier.

Claim: the root commits to pads for which all of `PadConstraints` hold: the linear ones and every product.

Messages after the commitment and after everything that the constraints depend on:

1. coefficients are drawn: one for each linear constraint, one for each product;
2. the check polynomial, which is a line in the point if all constraints hold: its two coefficients;
3. work; the point is drawn; the second word plus the point times the first;
4. work; columns are drawn, and opened.

Checks: the word is the columns' at every column drawn, and gives the check polynomial's value at the point.

Sources: Dittmer, Ishai and Ostrovsky 2021, "Line-point zero knowledge" (ePrint 2020/1446); Yang, Sarkar, Weng and Wang
2021, "QuickSilver" (ePrint 2021/076), Section 4. The line is committed to as in Ames, Hazay, Ishai and
Venkitasubramaniam 2017, "Ligero" (ePrint 2022/1608).
"""

from collections.abc import Sequence
from functools import partial
from typing import Protocol

import numpy as np

from zkinfer.counts import counted
from zkinfer.errors import InvalidInputError, InvalidProofError
from zkinfer.protocol.channel import PadConstraints, Wire, exchange_work
from zkinfer.protocol.field import modular
from zkinfer.protocol.field.encoding import EXT_BYTES, decode_array, decode_ext
from zkinfer.protocol.field.params import DEGREE, P
from zkinfer.protocol.field.scalar import Ext, ext_add, ext_mul
from zkinfer.protocol.merkle.paths import DIGEST_BYTES, SALT_BYTES, check_leaves, sibling_count
from zkinfer.protocol.pads.params import LEAF_BYTES, WORDS, Coefficients, PadSizes, draw_coefficients
from zkinfer.protocol.transcript import Transcript
from zkinfer.typing import IntArray

CONSTRAINT_CHECK = "the pads satisfy the constraints"
COLUMN_CHECK = "the word about the pads agrees with the committed columns"


class PadsWitness(Protocol):
    """Committed pads, as the prover of the proof about them needs them."""

    def check(self, constraints: PadConstraints) -> None:
        """Refuses constraints that the committed pads do not satisfy."""

    def line(self, drawn: Coefficients) -> bytes:
        """The check polynomial's coefficients, of the point's powers 0 and 1."""

    def word(self, point: Ext) -> bytes:
        """The second word plus the point times the first."""

    def columns(self, indices: Sequence[int]) -> bytes:
        """Salted columns of both words."""

    def paths(self, indices: Sequence[int]) -> bytes:
        """The Merkle paths of these columns."""


def absorb_root(transcript: Transcript, root: bytes) -> None:
    """Binds the commitment to the pads: before the first padded message."""
    transcript.absorb("pads root", root)


def run_pads_proof(
    sizes: PadSizes,
    root: bytes,
    constraints: PadConstraints,
    transcript: Transcript,
    wire: Wire,
    witness: PadsWitness | None = None,
) -> None:
    """Show, or check, that the pads under `root` satisfy the constraints.

    Args:
        sizes: for as many variables as the constraints have.
        root: the commitment; absorbed with `absorb_root` before the first padded message.
        constraints: what the padded messages leave.
        transcript: has absorbed all padded messages.
        wire: where the proof travels.
        witness: of the prover's side.

    Raises:
        MalformedProofError: the bytes are not a proof of these sizes.
        InvalidProofError: a check fails; proving, the constraints do not hold.
        InvalidInputError: the sizes are for another number of variables; proving, the constraints have other variables
            than were committed.
    """
    if len(constraints.variables) != sizes.variables:
        raise InvalidInputError(
            f"sizes for {counted(sizes.variables, 'variable')}, not for {len(constraints.variables):,}"
        )
    if witness is not None:
        witness.check(constraints)
    drawn = draw_coefficients(constraints, transcript)
    line = wire.exchange(2 * EXT_BYTES, None if witness is None else partial(witness.line, drawn))
    transcript.absorb("pads line", line)
    exchange_work(transcript, wire, "pads point grinding", sizes.point_grinding)
    point = transcript.challenge_ext("pads point")
    word = wire.exchange(EXT_BYTES * sizes.dimension, None if witness is None else partial(witness.word, point))
    transcript.absorb("pads word", word)
    exchange_work(transcript, wire, "pads query grinding", sizes.query_grinding)
    indices = sorted(set(transcript.challenge_indices("pads queries", sizes.length, sizes.queries)))
    columns = wire.exchange(LEAF_BYTES * len(indices), None if witness is None else partial(witness.columns, indices))
    siblings = DIGEST_BYTES * sibling_count(sizes.log_length, indices)
    paths = wire.exchange(siblings, None if witness is None else partial(witness.paths, indices))
    wire.finish()
    if wire.reads:
        leaves = [columns[LEAF_BYTES * i : LEAF_BYTES * (i + 1)] for i in range(len(indices))]
        check_leaves(root, sizes.log_length, indices, leaves, paths)
        _check(sizes, drawn, line, point, word, indices, leaves)


def _check(
    sizes: PadSizes,
    drawn: Coefficients,
    line: bytes,
    point: Ext,
    word: bytes,
    indices: Sequence[int],
    leaves: Sequence[bytes],
) -> None:
    start, slope = decode_ext(line, 2)
    elements = np.ascontiguousarray(decode_array(word, (sizes.dimension, DEGREE)).T)
    require(CONSTRAINT_CHECK, drawn.check_value(elements, point) == ext_add(start, ext_mul(point, slope)))
    symbols = decode_array(b"".join(leaf[SALT_BYTES:] for leaf in leaves), (len(indices), WORDS, DEGREE))
    expected = joined(symbols.transpose(1, 2, 0), point)
    require(COLUMN_CHECK, np.array_equal(modular.evaluate(elements, sizes.points[indices]), expected))


def joined(words: IntArray, point: Ext) -> IntArray:
    """Of two words, or columns of them, shape (2, 3, ...): the second plus the point times the first."""
    result: IntArray = (words[1] + modular.ext_mul(words[0], modular.from_exts([point]))) % P
    return result


def require(check: str, holds: bool) -> None:
    """Refuses the proof unless the check holds.

    Raises:
        InvalidProofError: it does not.
    """
    if not holds:
        raise InvalidProofError(f"the check {check!r} fails")
