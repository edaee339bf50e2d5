"""Keccak-256, as Ethereum uses it: Keccak with capacity 512 and the original padding (0x01), before FIPS 202.

Reference: G. Bertoni, J. Daemen, M. Peeters, G. Van Assche, "The Keccak reference", version 3.0, 2011.
"""

import struct

RATE_BYTES = 136
_MASK = (1 << 64) - 1
_BLOCK = struct.Struct("<17Q")


def _round_constants() -> tuple[int, ...]:
    """The iota constants, from the reference's LFSR (x^8 + x^6 + x^5 + x^4 + 1)."""
    constants, state = [], 1
    for _ in range(24):
        constant = 0
        for j in range(7):
            if state & 1:
                constant |= 1 << ((1 << j) - 1)
            state = (state << 1) ^ (0x171 if state & 0x80 else 0)
        constants.append(constant)
    return tuple(constants)


def _rho_and_pi() -> tuple[tuple[int, int, int], ...]:
    """(destination lane, source lane, rotation): lane (x, y) is number x + 5 y."""
    moves = [(0, 0, 0)]
    x, y = 1, 0
    for t in range(24):
        moves.append((y + 5 * ((2 * x + 3 * y) % 5), x + 5 * y, (t + 1) * (t + 2) // 2 % 64))
        x, y = y, (2 * x + 3 * y) % 5
    return tuple(sorted(moves))


_CONSTANTS = _round_constants()
_MOVES = tuple((source, rotation, 64 - rotation) for _, source, rotation in _rho_and_pi())
_CHI = tuple((i, 5 * (i // 5) + (i + 1) % 5, 5 * (i // 5) + (i + 2) % 5) for i in range(25))
_COLUMN = tuple(i % 5 for i in range(25))


def keccak_f(lanes: list[int]) -> list[int]:
    """The permutation Keccak-f[1600] on 25 lanes of 64 bits."""
    for constant in _CONSTANTS:
        c0, c1, c2, c3, c4 = (lanes[x] ^ lanes[x + 5] ^ lanes[x + 10] ^ lanes[x + 15] ^ lanes[x + 20] for x in range(5))
        theta = (
            c4 ^ (c1 << 1 & _MASK | c1 >> 63),
            c0 ^ (c2 << 1 & _MASK | c2 >> 63),
            c1 ^ (c3 << 1 & _MASK | c3 >> 63),
            c2 ^ (c4 << 1 & _MASK | c4 >> 63),
            c3 ^ (c0 << 1 & _MASK | c0 >> 63),
        )
        mixed = [lane ^ theta[x] for lane, x in zip(lanes, _COLUMN, strict=True)]
        moved = [mixed[source] << left & _MASK | mixed[source] >> right for source, left, right in _MOVES]
        lanes = [moved[i] ^ (~moved[j] & moved[k]) for i, j, k in _CHI]
        lanes[0] ^= constant
    return lanes


def keccak256(data: bytes) -> bytes:
    """The 32-byte digest of `data`."""
    padding = bytearray(RATE_BYTES - len(data) % RATE_BYTES)
    padding[0] = 0x01
    padding[-1] |= 0x80
    padded = bytes(data) + padding
    lanes = [0] * 25
    for start in range(0, len(padded), RATE_BYTES):
        block = _BLOCK.unpack_from(padded, start)
        lanes = keccak_f([lane ^ word for lane, word in zip(lanes[:17], block, strict=True)] + lanes[17:])
    return struct.pack("<4Q", *lanes[:4])
