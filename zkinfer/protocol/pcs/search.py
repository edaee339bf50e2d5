"""The choice of parameters: the cheapest that are secure enough, for a stated cost."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from zkinfer.counts import counted
from zkinfer.errors import InvalidInputError
from zkinfer.protocol import security
from zkinfer.protocol.field.encoding import BASE_BYTES
from zkinfer.protocol.field.params import DEGREE
from zkinfer.protocol.merkle.paths import DIGEST_BYTES, SALT_BYTES
from zkinfer.protocol.pcs import soundness
from zkinfer.protocol.pcs.levels import choose_levels
from zkinfer.protocol.pcs.params import MAX_LOG_LENGTH, Code, OpeningParameters, symbols_of
from zkinfer.protocol.pcs.sizes import expected_opening_bytes

DEFAULT_ERROR_BITS = 130
"""Half of the error that 128 bits of security allow, 2^-129: the other half is for the rest of a protocol."""

MAX_QUERIES = 4096

LEVELS_ERROR = 2.0**-132.8
"""At most what the levels of any opening add to its error, which does not depend on the number of queries otherwise."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What is minimized: nanoseconds of the prover for each proof, plus a price for each byte of it.

    The figures of the parts are of one core and want to be in proportion only.

    Args:
        encode: for each symbol of a codeword and each level of its transform.
        store: for each symbol of a codeword: conversion to bytes and hashing.
        leaf: for each column, besides its bytes: two calls of the hash.
        combine: for each symbol of a message and each combination.
        fold: for each element of a vector that is folded, its functionals and its fold.
        grind: for each attempt.
        proof_byte: the price of a byte of proof: a link of 3 MB a second takes as long.
    """

    encode: float = 0.33
    store: float = 2.0
    leaf: float = 60.0
    combine: float = 0.4
    fold: float = 55.0
    grind: float = 12.0
    proof_byte: float = 350.0


@dataclass(frozen=True, slots=True)
class Choice:
    """Parameters and what they cost.

    Args:
        rows: of data, of the matrix that the search was for.
        proof_bytes: of an opening, expected.
        cost: nanoseconds, by the `Cost` that was asked for.
    """

    parameters: OpeningParameters
    rows: int
    proof_bytes: int
    cost: float


def search(
    cells: int,
    groups: int,
    *,
    proofs: int = 1,
    error_bits: float = DEFAULT_ERROR_BITS,
    max_grinding: int = security.MAX_GRINDING_IN_DEFAULT,
    min_log_columns: int = 0,
    max_log_columns: int = MAX_LOG_LENGTH,
    cost: Cost = Cost(),
    kept: bool = False,
    committing: float = 0.0,
    below: float = math.inf,
) -> Choice:
    """The cheapest parameters for a matrix.

    All rates up to 1/2, all row lengths and all bits of grinding are tried; the number of queries is the least, and
    the number of random symbols a row is what the queries of all proofs need.

    Args:
        cells: of data.
        groups: distinct column points of an opening.
        proofs: 1 for a matrix that is committed for each proof, whose cost holds the commitment; more for one that is
            committed once, whose cost is that of an opening and of the matrix that brings the masks.
        error_bits: the terms of the opening sum to at most 2^-error_bits.
        kept: the matrix is committed before the proofs. If it serves one alone, it brings the masks itself.
        committing: what committing to a kept matrix counts in the cost, times its nanoseconds.
        below: the cost has to be less.

    Raises:
        InvalidInputError: nothing within the limits is secure enough, or costs less.
    """
    best: Choice | None = None
    bound = below
    widths = range(min_log_columns, min(max_log_columns, (cells - 1).bit_length()) + 1)
    # Widths of about a square come first, so that most others are seen at once to cost more; the choice is the same.
    square = ((cells - 1).bit_length() + 1) // 2
    for log_columns in sorted(widths, key=lambda width: abs(width - square)):
        rows = -(-cells // (1 << log_columns))
        for log_length, weight_grinding in _lengths(log_columns, groups, error_bits, max_grinding):
            made = committing * _commit_time(symbols_of(rows, groups + 1), log_length, cost) if kept else 0.0
            least = made + _work(1 << log_columns, log_length, rows, groups, proofs, cost, kept)
            symbols = _symbols(rows, groups, proofs)
            for query_grinding in range(max_grinding + 1):
                grinding = (query_grinding, weight_grinding)
                if least + _grinding_time(grinding, cost) > bound:
                    break
                # A query is worth less than a bit.
                columns = _least_bytes(max(error_bits - query_grinding, 1.0), log_length, symbols)
                if least + cost.proof_byte * columns > bound:
                    continue
                parameters = _fewest_queries(log_columns, log_length, grinding, groups, proofs, error_bits)
                if parameters is None:
                    continue
                choice = _priced(parameters, rows, groups, proofs, cost, kept)
                choice = replace(choice, cost=choice.cost + made)
                if choice.cost < bound or (
                    best is not None and (choice.cost, log_columns) < (best.cost, best.parameters.code.log_columns)
                ):
                    best, bound = choice, choice.cost
    if best is None:
        raise InvalidInputError(
            f"nothing within these limits gives {error_bits} bits for {counted(cells, 'cell')} and "
            f"{counted(proofs, 'proof')}: allow fewer proofs, or longer rows"
        )
    return best


def _lengths(log_columns: int, groups: int, error_bits: float, max_grinding: int) -> Iterator[tuple[int, int]]:
    """The lengths of a code for rows of that length, each with the bits of work before the weights are drawn."""
    for log_length in range(log_columns + 1, MAX_LOG_LENGTH + 1):
        # The least work that brings the proximity and claims terms below a quarter of the allowed error.
        excess = math.log2(((1 << log_length) + groups) / security.FIELD_SIZE) + error_bits + 2
        weight_grinding = max(0, math.ceil(excess))
        if weight_grinding > max_grinding:
            return
        yield log_length, weight_grinding


@lru_cache(maxsize=1 << 14)
def _fewest_queries(
    log_columns: int, log_length: int, work: tuple[int, int], groups: int, proofs: int, error_bits: float
) -> OpeningParameters | None:
    """The least number t of queries that suffices, although their random symbols lower what each query gives.

    t suffices if and only if t >= needed(t), the number of queries at the rate that t queries lead to. `needed` does
    not decrease, so that iterating it from 1 climbs to the least such t and never past it.
    """
    columns, length = 1 << log_columns, 1 << log_length
    if 2 * columns >= length:
        return None
    others = OpeningParameters(Code(log_columns, 0, log_length), 1, *work)
    left = 2.0**-error_bits - LEVELS_ERROR
    left -= soundness.proximity(others).error + soundness.claims(others, groups).error
    if left <= 0:
        return None
    bits, queries = -math.log2(left) - work[0], 1
    while True:
        dimension = columns + queries * proofs
        if 2 * dimension > length or queries > MAX_QUERIES:
            return None
        needed = math.ceil(-bits / math.log2(soundness.agreement(dimension, length)))
        if needed <= queries:
            parameters = OpeningParameters(Code(log_columns, queries * proofs, log_length), queries, *work)
            return parameters if _can_be_opened(parameters, groups) else None
        queries = needed


def _symbols(rows: int, groups: int, proofs: int) -> list[int]:
    """Of a column of each matrix that an opening is of."""
    return [symbols_of(rows, groups + 1)] if proofs == 1 else [rows, symbols_of(0, groups + 1)]


def _least_bytes(queries: float, log_length: int, symbols: list[int]) -> float:
    """Of the columns of so many queries or more with their paths, at least, as `expected_opening_bytes` counts them.

    That rounds the log of the number of queries up, of which this is the bound; it grows with that number as long as
    there are fewer queries than half a codeword has symbols.
    """
    path = DIGEST_BYTES * (log_length - math.log2(queries))
    return sum(queries * (SALT_BYTES + BASE_BYTES * count + path) for count in symbols)


def _commit_time(rows: int, log_length: int, cost: Cost) -> float:
    """Nanoseconds for committing to a matrix that is kept."""
    symbols = rows * (cost.encode * log_length + cost.store)
    return (symbols + cost.leaf) * (1 << log_length)


def _work(dimension: int, log_length: int, rows: int, groups: int, proofs: int, cost: Cost, kept: bool) -> float:
    """Nanoseconds for encoding, hashing and combining: what every choice of these sizes costs at least."""
    masks = DEGREE * (groups + 1)
    combined = (rows + masks) * dimension * cost.combine * (groups + 1)
    if kept and proofs == 1:
        return combined
    encoded = rows + masks if proofs == 1 else masks
    return (
        encoded * (1 << log_length) * (cost.encode * log_length + cost.store) + (1 << log_length) * cost.leaf + combined
    )


def _grinding_time(work: tuple[int, int], cost: Cost) -> float:
    return cost.grind * (2.0 ** work[0] + 2.0 ** work[1])


def _can_be_opened(parameters: OpeningParameters, groups: int) -> bool:
    try:
        choose_levels(groups + 1, parameters.code.dimension)
    except InvalidInputError:
        return False
    return True


def _priced(
    parameters: OpeningParameters, rows: int, groups: int, proofs: int, cost: Cost, kept: bool = False
) -> Choice:
    code = parameters.code
    proof_bytes = expected_opening_bytes(parameters, _symbols(rows, groups, proofs), groups)
    time = _work(code.dimension, code.log_length, rows, groups, proofs, cost, kept)
    time += _grinding_time((parameters.query_grinding, parameters.weight_grinding), cost)
    time += _level_time(parameters, groups, cost)
    return Choice(parameters, rows, proof_bytes, time + cost.proof_byte * proof_bytes)


def _level_time(parameters: OpeningParameters, groups: int, cost: Cost) -> float:
    """Of committing to combinations and folding them."""
    code, total = parameters.code, 0.0
    levels = choose_levels(groups + 1, code.dimension)
    transformed = code.length * code.log_length
    for level in levels:
        symbols = DEGREE * len(level.rows) * level.length
        total += symbols * (cost.encode * level.log_length + cost.store) + level.length * cost.leaf
        total += cost.encode * DEGREE * transformed + cost.fold * 2**level.variables
        total += cost.grind * (2**level.query_grinding + level.folds * 2**level.fold_grinding)
        transformed = level.length * level.log_length
    return total
