"""Security in bits, as a sum of named terms, computed from the parameters in use.

What is bounded: the probability that a prover who makes Q calls of the hash ever holds an accepted proof of a false
statement. All hashes (Merkle trees, transcript, grinding) are one BLAKE3, taken for a random oracle of 256 bits. The
protocol made non-interactive then fails with probability at most

    Q * (sum of the terms) + Q^2 / 2^257.

A term bounds the chance that one challenge of the verifier turns a false state of the protocol into a true one
(round-by-round soundness: Canetti, Chen, Holmgren, Lombardi, Rothblum, Rothblum, Wichs 2019; the transformation is
that of Ben-Sasson, Chiesa, Spooner 2016); each hash call gives the prover one such chance, in one round. Adding the
terms of all rounds is more than is needed. The quadratic term is that of a collision, without which trees and chained
states have one opening each.

Security is b bits if every prover with Q <= 2^b succeeds with probability at most Q / 2^b: for terms that sum to e
this is e + 2^(b - 257) <= 2^-b, so that 128 bits need e <= 2^-129, and no e gives more than 128.5.

The terms of openings are in `pcs.soundness`, that of the proof about pads in `pads.params`.

Only proven bounds are used. The commitment is analysed within the unique decoding radius; beyond it, up to the Johnson
bound, codewords near a word are no longer one, and an argument for many claims, long-lived matrices and lists is not
stated here, so it is not relied on.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from zkinfer.errors import InvalidInputError
from zkinfer.protocol.field.params import DEGREE, P

FIELD_SIZE = P**DEGREE
HASH_BITS = 256
DEFAULT_BITS = 128
MAX_GRINDING_IN_DEFAULT = 20


@dataclass(frozen=True, slots=True)
class SoundnessTerm:
    """One way for a false statement to be accepted.

    Args:
        name: of the step that fails.
        error: probability for each call of the hash.
        grinding: bits of work counted in `error`.
    """

    name: str
    error: float
    grinding: int = 0

    @property
    def bits(self) -> float:
        return -math.log2(self.error) if self.error else math.inf


def ground(term: SoundnessTerm, bits: int) -> SoundnessTerm:
    """The same step, its challenge being drawn after that many bits of work.

    A nonce is good with probability 2^-bits, independently of the challenge that it leads to, so that a call of the
    hash leads to a good nonce and a lucky challenge with the product of the probabilities.
    """
    return SoundnessTerm(term.name, term.error * 2.0**-bits, term.grinding + bits)


@dataclass(frozen=True, slots=True)
class Security:
    """The terms of one protocol."""

    terms: tuple[SoundnessTerm, ...]

    @property
    def error(self) -> float:
        return math.fsum(term.error for term in self.terms)

    @property
    def bits(self) -> float:
        """The largest b with error + 2^(b - 257) <= 2^-b: the positive root of x^2 / 2^257 + error x = 1, x = 2^b."""
        collision = 2.0 ** -(HASH_BITS + 1)
        return 1 + -math.log2(self.error + math.sqrt(self.error**2 + 4 * collision))

    @property
    def grinding(self) -> int:
        """Bits of work that the weakest ground step relies on."""
        return max((term.grinding for term in self.terms), default=0)


def sumcheck(name: str, rounds: int, degree: int) -> SoundnessTerm:
    """A wrong round polynomial agrees with the true one at the challenge.

    Two different polynomials of degree d agree at no more than d points, in each round.
    Source: Lund, Fortnow, Karloff, Nisan 1992.
    """
    return SoundnessTerm(name, rounds * degree / FIELD_SIZE)


def batching(name: str, combined: int) -> SoundnessTerm:
    """Powers of a challenge cancel the errors of claims that are combined.

    sum_i x^i d_i, with some d_i not zero, is a polynomial of degree below the number of claims.
    """
    return SoundnessTerm(name, max(combined - 1, 0) / FIELD_SIZE)


def point(name: str, variables: int) -> SoundnessTerm:
    """Two tensors that differ have extensions that agree at a random point.

    Their difference is a nonzero multilinear polynomial in that many variables: of degree 1 in each, so that each
    challenge in turn makes it zero with probability at most 1 / |K| (Schwartz and Zippel).
    """
    return SoundnessTerm(name, variables / FIELD_SIZE)


def logup(name: str, lookups: int, table_rows: int, columns: int) -> SoundnessTerm:
    """Different multisets give equal fractional sums at the challenges.

    A row (c_0, ..., c_(w-1)) of table t stands for the denominator a - sum_k b^k c_k - b^w t, a polynomial in (a, b)
    of total degree at most D = max(1, w); different rows are different irreducible polynomials. If a row looked up is
    in no table, the sum over the lookups of 1 / denominator, less the sum over the tables of multiplicity over
    denominator, has a pole there: its coefficient counts lookups, which are fewer than P. Multiplied by all
    denominators it is a nonzero polynomial of total degree at most D (N + T), zero at the challenges with probability
    at most that over |K| (Schwartz and Zippel). Denominators that vanish do not matter: the products of all of them are
    checked to be invertible.
    Source: Haboeck 2022 ("Multivariate lookups based on logarithmic derivatives"), Lemma 5.

    Args:
        lookups: N.
        table_rows: T, of all tables.
        columns: w, of the widest table.

    Raises:
        InvalidInputError: so many lookups that their count wraps around.
    """
    if lookups >= P:
        raise InvalidInputError(f"{lookups} lookups: their count would wrap around modulo {P}")
    return SoundnessTerm(name, max(1, columns) * (lookups + table_rows) / FIELD_SIZE)


def fractional_sums(name: str, depth: int, trees: int) -> SoundnessTerm:
    """A wrong layer of trees of fraction sums, proven together, passes its sumcheck.

    In the layer of i variables one challenge joins the numerator and the denominator of each tree (degree 1), one the
    trees (degree trees - 1), i rounds of a sumcheck of degree 2 follow, its eq factor taken out, and one challenge
    joins the claims on the two halves of each tree (degree 1). Summed over i = 0, ..., depth - 1.
    Source: Papini and Haboeck 2023 ("Improving logarithmic derivative lookups using GKR"); Gruen 2024 for the degree.
    """
    return SoundnessTerm(name, (depth * (depth - 1) + (3 * trees - 1) * depth) / FIELD_SIZE)


def combine(*terms: SoundnessTerm | Iterable[SoundnessTerm]) -> Security:
    """The security of a protocol with these terms."""
    return Security(tuple(t for item in terms for t in ((item,) if isinstance(item, SoundnessTerm) else item)))


def report(security: Security) -> str:
    """The terms and their sum, one a line."""
    lines = [f"{'step':<40} {'bits':>7}  grinding"]
    lines += [f"{t.name:<40} {t.bits:7.1f}  {t.grinding or ''}".rstrip() for t in security.terms]
    lines.append(f"{'sum of the steps':<40} {-math.log2(security.error) if security.error else math.inf:7.1f}")
    lines.append(f"{'collision of the 256-bit hash':<40} {HASH_BITS / 2:7.1f}")
    lines.append(f"{'security, unique decoding, proven':<40} {security.bits:7.1f}  of which {security.grinding}")
    return "\n".join(lines)
