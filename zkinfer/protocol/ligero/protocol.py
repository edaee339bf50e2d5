"""The proof about pads: one text for prover and verifier.

Claim: the root commits to pads for which all of `PadConstraints` hold: the linear ones, each factor equal to the
variable that it stands for, and every product.

Messages after the commitment and after everything that the constraints depend on:

1. coefficients are drawn: one for each word but the first mask; one for each linear constraint, then for each first and
   each second factor; one for each word of products;
2. three polynomials: the first mask plus the combination of all other words (k coefficients); the sum over words of
   word * weights, plus a mask; the sum of (first * second - product), plus a mask (2k - 1 coefficients each);
3. columns are drawn, and opened.

Checks: the second polynomial adds up to the right side over the data points; the third vanishes on them; at every
column drawn all three are what the column gives.

Source: Ames, Hazay, Ishai and Venkitasubramaniam 2017, "Ligero" (ePrint 2022/1608), Section 4.
"""

from collections.abc import Sequence
from functools import partial
from typing import Protocol

import numpy as np

from zkinfer.errors import InvalidProofError
from zkinfer.protocol.channel import PadConstraints, Wire
from zkinfer.protocol.field import modular
from zkinfer.protocol.field.encoding import EXT_BYTES, decode_array
from zkinfer.protocol.field.params import DEGREE
from zkinfer.protocol.ligero.pads import (
    Coefficients,
    PadParameters,
    Tableau,
    draw_coefficients,
    evaluate,
    interpolate,
    layout,
    polynomial_values,
)
from zkinfer.protocol.merkle.paths import DIGEST_BYTES, SALT_BYTES, check_leaves, sibling_numbers
from zkinfer.protocol.transcript import Transcript
from zkinfer.typing import IntArray

LINEAR_CHECK = "the pads satisfy the linear constraints"
PRODUCT_CHECK = "every variable is the product that it stands for"
COLUMN_CHECK = "the polynomials agree with the committed columns"


class PadsWitness(Protocol):
    """Committed pads, as the prover of the proof about them needs them."""

    def check(self, constraints: PadConstraints) -> None:
        """Refuses constraints that the committed pads do not satisfy."""

    def polynomials(self, drawn: Coefficients) -> bytes:
        """The three polynomials' coefficients, lowest first, one after another."""

    def columns(self, indices: Sequence[int]) -> bytes:
        """Salted columns of all words."""

    def paths(self, indices: Sequence[int]) -> bytes:
        """The Merkle paths of these columns."""


def absorb_root(transcript: Transcript, root: bytes) -> None:
    """Binds the commitment to the pads: before the first padded message."""
    transcript.absorb("pads root", root)


def run_pads_proof(
    parameters: PadParameters,
    root: bytes,
    constraints: PadConstraints,
    transcript: Transcript,
    wire: Wire,
    witness: PadsWitness | None = None,
) -> None:
    """Show, or check, that the pads under `root` satisfy the constraints.

    Args:
        parameters: sizes.
        root: the commitment; absorbed with `absorb_root` before the first padded message.
        constraints: what the padded messages leave.
        transcript: has absorbed all padded messages.
        wire: where the proof travels.
        witness: of the prover's side.

    Raises:
        MalformedProofError: the bytes are not a proof of these sizes.
        InvalidProofError: a check fails; proving, the constraints do not hold.
        InvalidInputError: proving, the constraints have other variables than were committed.
    """
    if witness is not None:
        witness.check(constraints)
    tableau = layout(constraints.variables, parameters)
    drawn = draw_coefficients(tableau, constraints, transcript)
    make = None if witness is None else partial(witness.polynomials, drawn)
    head = wire.exchange(EXT_BYTES * sum(_sizes(parameters)), make)
    transcript.absorb("pads polynomials", head)
    indices = sorted(set(transcript.challenge_indices("pads queries", parameters.length, parameters.queries)))
    columns = wire.exchange(
        tableau.leaf_bytes * len(indices), None if witness is None else partial(witness.columns, indices)
    )
    siblings = DIGEST_BYTES * len(sibling_numbers(parameters.log_length, indices))
    paths = wire.exchange(siblings, None if witness is None else partial(witness.paths, indices))
    wire.finish()
    if wire.reads:
        _check(tableau, drawn, root, head, indices, columns, paths)


def _sizes(parameters: PadParameters) -> list[int]:
    """Coefficients of the three polynomials."""
    return [parameters.dimension, parameters.product_size, parameters.product_size]


def _check(
    tableau: Tableau,
    drawn: Coefficients,
    root: bytes,
    head: bytes,
    indices: Sequence[int],
    columns: bytes,
    paths: bytes,
) -> None:
    parameters, size = tableau.parameters, tableau.leaf_bytes
    leaves = [columns[size * i : size * (i + 1)] for i in range(len(indices))]
    check_leaves(root, parameters.log_length, indices, leaves, paths)
    polynomials = _decode_polynomials(parameters, head)
    words = decode_array(b"".join(leaf[SALT_BYTES:] for leaf in leaves), (len(indices), tableau.words, DEGREE))
    at_data = evaluate(polynomials[1:], parameters.coset[: parameters.data])
    require(LINEAR_CHECK, modular.to_exts(modular.sum_axis(at_data[0], 1)) == [drawn.right_side])
    require(PRODUCT_CHECK, not at_data[1].any())
    points = parameters.points[indices]
    weights = evaluate(interpolate(parameters, drawn.weights), points)
    expected = polynomial_values(tableau, drawn, words.transpose(1, 2, 0), weights, points)
    require(COLUMN_CHECK, np.array_equal(evaluate(polynomials, points), expected))


def _decode_polynomials(parameters: PadParameters, head: bytes) -> IntArray:
    """The three polynomials, shape (3, 3, product_size), zeros behind the shorter one."""
    sizes = _sizes(parameters)
    coefficients = decode_array(head, (sum(sizes), DEGREE)).T
    polynomials = np.zeros((len(sizes), DEGREE, parameters.product_size), dtype=np.int64)
    for number, end in enumerate(np.cumsum(sizes)):
        polynomials[number, :, : sizes[number]] = coefficients[:, end - sizes[number] : end]
    return polynomials


def require(check: str, holds: bool) -> None:
    """Raises InvalidProofError if a check of the proof about the pads does not hold."""
    if not holds:
        raise InvalidProofError(f"proof about the pads: it is not so that {check}")
