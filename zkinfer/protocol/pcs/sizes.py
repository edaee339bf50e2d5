"""Bytes of openings: exactly what does not depend on which columns are drawn, at most, and as expected."""

import math
from collections.abc import Sequence

from zkinfer.protocol.field.encoding import BASE_BYTES, EXT_BYTES
from zkinfer.protocol.merkle.paths import DIGEST_BYTES, SALT_BYTES
from zkinfer.protocol.pcs.levels import choose_levels, expected_level_bytes, max_level_bytes
from zkinfer.protocol.pcs.params import OpeningParameters
from zkinfer.protocol.transcript import NONCE_BYTES


def fixed_opening_bytes(parameters: OpeningParameters, groups: int) -> int:
    """Bytes before the first column: mask values, nonces, and the combinations, or a root and their values."""
    dimension = parameters.code.dimension
    if choose_levels(groups + 1, dimension):
        return 2 * EXT_BYTES * groups + DIGEST_BYTES + 2 * NONCE_BYTES
    return EXT_BYTES * (groups + (groups + 1) * dimension) + 2 * NONCE_BYTES


def max_opening_bytes(parameters: OpeningParameters, symbols: Sequence[int], groups: int) -> int:
    """Bytes of an opening at most, of matrices with these columns: all drawn columns distinct, no paths shared."""
    levels = choose_levels(groups + 1, parameters.code.dimension)
    return fixed_opening_bytes(parameters, groups) + _leaf_bytes(parameters, symbols) + max_level_bytes(levels)


def expected_opening_bytes(parameters: OpeningParameters, symbols: Sequence[int], groups: int) -> int:
    """Bytes of an opening, nearly: as if drawn columns shared the upper log2(queries) levels of their paths."""
    shared = min(parameters.code.log_length, math.ceil(math.log2(parameters.queries)))
    saved = len(symbols) * min(parameters.queries, parameters.code.length) * DIGEST_BYTES * max(shared - 1, 0)
    levels = choose_levels(groups + 1, parameters.code.dimension)
    own = fixed_opening_bytes(parameters, groups) + _leaf_bytes(parameters, symbols) - saved
    return own + expected_level_bytes(levels)


def _leaf_bytes(parameters: OpeningParameters, symbols: Sequence[int]) -> int:
    columns = min(parameters.queries, parameters.code.length)
    path = DIGEST_BYTES * parameters.code.log_length
    return sum(columns * (SALT_BYTES + BASE_BYTES * s + path) for s in symbols)
