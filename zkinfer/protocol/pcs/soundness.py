"""How openings of committed matrices, and rotations between them, can fail: their terms of soundness and hiding."""

from collections.abc import Iterator

from zkinfer.protocol.pcs.levels import Level, choose_levels
from zkinfer.protocol.pcs.params import OpeningParameters
from zkinfer.protocol.security import FIELD_SIZE, HASH_BITS, SoundnessTerm, ground


def queries(parameters: OpeningParameters) -> SoundnessTerm:
    """A wrong combination meets no drawn column that shows it.

    Let the code have length n and dimension k, and e = floor((n - k) / 2). If the rows are codewords once some
    choice of at most e columns is ignored ("close"), these codewords are unique: two such agree on n - 2e >= k columns.

    Far: not close. Then (proximity, below) the combination of all rows is more than e columns away from every codeword,
    so that what the prover sends agrees with the columns in at most n - e - 1 places.
    Close, but a claim is wrong. Then (claims, below) what is sent is not the combination c of the codewords. It agrees
    with c in at most k - 1 places, and with the columns in those and in the at most e ignored ones; and k - 1 + e is at
    most n - e - 1.

    All t draws, uniform and independent, fall into the agreeing places with probability at most ((n - e - 1) / n)^t.
    They come after grinding.

    Source: Ames, Hazay, Ishai, Venkitasubramaniam 2017, Section 4; with e the full unique decoding radius.
    """
    error = agreement(parameters.code.dimension, parameters.code.length) ** parameters.queries
    return ground(SoundnessTerm("queries", error), parameters.query_grinding)


def agreement(dimension: int, length: int) -> float:
    """The share of places in which a wrong combination agrees with the columns, at most: (n - e - 1) / n."""
    return (length - (length - dimension) // 2 - 1) / length


def proximity(parameters: OpeningParameters) -> SoundnessTerm:
    """A random combination of rows that are not close to codewords is close to one.

    The rows are words over F_P on a domain in F_P of size n, hence words over the extension field K, and the
    combination is a uniform point of the affine space mask + span(rows). If a uniform point of an affine space of words
    is within e <= (n - k) / 2 columns of the Reed-Solomon code with probability above n / |K|, then there are n - e
    columns on which all the words are codewords at once. A codeword over K with values in F_P at n - e >= k points of
    F_P is interpolated from them, so it is one over F_P. The coefficients are drawn after grinding.

    Source: Ben-Sasson, Carmon, Ishai, Kopparty, Saraf 2020 ("Proximity gaps for Reed-Solomon codes"), Theorem 1.6 with
    the bound of Theorem 1.2 in the unique decoding regime.
    """
    return ground(
        SoundnessTerm("proximity of the rows", parameters.code.length / FIELD_SIZE), parameters.weight_grinding
    )


def claims(parameters: OpeningParameters, groups: int) -> SoundnessTerm:
    """The weights of the claims cancel their errors.

    In the close case let c be the combination, mask plus weighted rows, of the unique codewords. The mask's value is
    sent before the weights are drawn, independent and uniform. With d the error of that value and d_i those of the
    claims, c passes the last check if and only if d + sum_i weight_i d_i = 0: probability 1 / |K| unless every d_i is
    zero. Hence, but for that, a wrong claim comes with another message than c. The term counts every group.
    """
    return ground(SoundnessTerm("weights of the claims", groups / FIELD_SIZE), parameters.weight_grinding)


def levels(parameters: OpeningParameters, groups: int) -> tuple[SoundnessTerm, ...]:
    """Combinations that are not sent are other ones than the columns, or their values, say; none if they are sent.

    The drawn columns and the groups' values are claims about the committed combinations, combined by products of powers
    of two challenges; that the committed rows are zero behind them is one more, of degree 1 in each coordinate of a
    point. The errors are coefficients of different monomials. Then, level by level, `_level`.
    """
    found = choose_levels(groups + 1, parameters.code.dimension)
    if not found:
        return ()
    degree = parameters.queries + 2 * groups + (parameters.code.dimension - 1).bit_length()
    batch = SoundnessTerm("levels: batch of columns and values", degree / FIELD_SIZE)
    return (batch, *(term for number, level in enumerate(found, start=1) for term in _level(number, level)))


def _level(number: int, level: Level) -> Iterator[SoundnessTerm]:
    """A false claim about a level's vector, or a matrix that is not close, leads to no false claim about the next.

    Let the code have length n and dimension c, and e = floor((n - c) / 2).

    Far: the matrix is not close. A fold joins pairs of rows (a, b) to a + r (b - a). If this is close for more than n
    values of r, the rows were: for each pair, Theorem 4.1 of Ben-Sasson and others 2020 gives codewords near both, on
    common columns, whose combination is the one near the fold; and each column in which some pair differs from its
    codewords makes some of them differ for all values of r but one, so that at most e + n / (n + 1) columns do. Hence,
    but for n / |K| for each fold, no codeword is within e columns of the fold.
    Close, but the claim is wrong: it stays wrong but for 2 / |K|, at most n / |K|, for each round of the sumcheck.

    Then the fold's codeword, as it is committed to next or sent, agrees with the folded columns in at most
    n - e - 1 places (as in `queries`), or is the fold, of which the claim is wrong. Each drawn column elsewhere is one
    more wrong claim, and the powers of a challenge combine wrong claims to a right one with probability t / |K|.
    """
    error = agreement(level.columns, level.length) ** level.queries
    yield ground(SoundnessTerm(f"level {number}: queries", error), level.query_grinding)
    yield ground(SoundnessTerm(f"level {number}: folds", level.folds * level.length / FIELD_SIZE), level.fold_grinding)
    yield SoundnessTerm(f"level {number}: batch", level.queries / FIELD_SIZE)


def opening(parameters: OpeningParameters, groups: int) -> tuple[SoundnessTerm, ...]:
    """All terms of one opening with that many column points."""
    return (queries(parameters), proximity(parameters), claims(parameters, groups), *levels(parameters, groups))


def rotation(parameters: OpeningParameters, groups: int = 1) -> tuple[SoundnessTerm, ...]:
    """A proof that two commitments are to equal data is accepted for different ones.

    Let D be the difference of the unique data, not zero. For independent uniform q the row sum_i q_i D_i is zero with
    probability at most 1 / |K|: some column of D is not zero, and one coefficient is determined by the others. If it is
    not zero, neither is its multilinear extension, of degree 1 in each of its variables, and it vanishes at a uniform
    point with probability at most log_columns / |K| (Schwartz and Zippel). Else the claim is false, and accepted
    with the probability of an opening with one column point.

    A chain of rotations adds nothing: each call of the hash belongs to one transcript, that of one link.

    Args:
        groups: column points of the opening: beside its own, one for each link of copies.
    """
    return (
        SoundnessTerm("rotation: row weights", 1 / FIELD_SIZE),
        SoundnessTerm("rotation: column point", parameters.code.log_columns / FIELD_SIZE),
        *opening(parameters, groups),
    )


def hiding(parameters: OpeningParameters, matrices: int) -> tuple[SoundnessTerm, ...]:
    """How far a proof is from what a simulator makes without the data, for each hash call of the observer.

    Opened columns (at most as many as there are random symbols a row) and combinations (each masked by a uniform row)
    have exactly the simulator's distribution. What is left: leaves that are not opened are hashed with a salt of 256
    bits each, which every call of the hash guesses with probability 2^-256 for each leaf; and salts, random symbols and
    masks come from BLAKE3 under a 256-bit key instead of from coins.
    """
    leaves = matrices * parameters.code.length
    size = 2.0**HASH_BITS
    return (
        SoundnessTerm("salts of unopened leaves", leaves / size),
        SoundnessTerm("keys of the randomness", matrices / size),
    )
