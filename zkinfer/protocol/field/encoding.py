"""Bytes of field elements: one element, one encoding.

A base element is 7 bytes, its integer in [0, P) in little-endian order. An extension element is 21 bytes: its three
base elements c0, c1, c2 one after another. Decoding takes exactly the bytes that were asked for and rejects every
integer from P on.
"""

import math
from collections.abc import Iterable

import numpy as np

from zkinfer.counts import counted
from zkinfer.errors import MalformedProofError
from zkinfer.protocol.field.params import DEGREE, P
from zkinfer.protocol.field.scalar import Ext
from zkinfer.typing import ByteArray, IntArray

BASE_BYTES = 7
EXT_BYTES = DEGREE * BASE_BYTES


def encode_base(values: Iterable[int]) -> bytes:
    """BASE_BYTES for each canonical element.

    Raises:
        ValueError: an element is not in [0, P).
    """
    return b"".join(_checked(v).to_bytes(BASE_BYTES, "little") for v in values)


def encode_ext(values: Iterable[Ext]) -> bytes:
    """EXT_BYTES for each extension element.

    Raises:
        ValueError: a coordinate is not in [0, P).
    """
    return encode_base(c for value in values for c in value)


def decode_base(data: bytes, count: int) -> list[int]:
    """The `count` elements that make up `data`.

    Raises:
        MalformedProofError: not exactly `count` canonical elements.
    """
    if len(data) != count * BASE_BYTES:
        raise MalformedProofError(
            f"{count:,} field elements take {counted(count * BASE_BYTES, 'byte')}, not {len(data):,}"
        )
    values = [int.from_bytes(data[i : i + BASE_BYTES], "little") for i in range(0, len(data), BASE_BYTES)]
    if max(values, default=0) >= P:
        raise MalformedProofError("a field element is not canonical: its integer is not below the modulus")
    return values


def decode_ext(data: bytes, count: int) -> list[Ext]:
    """The `count` extension elements that make up `data`.

    Raises:
        MalformedProofError: not exactly `count` canonical elements.
    """
    flat = decode_base(data, DEGREE * count)
    return [(flat[i], flat[i + 1], flat[i + 2]) for i in range(0, len(flat), DEGREE)]


def encode_array(values: IntArray) -> ByteArray:
    """The same bytes as `encode_base`, for an array of any shape: the last axis grows BASE_BYTES times as long.

    Raises:
        ValueError: an element is not in [0, P).
    """
    if values.dtype != np.int64:
        raise ValueError(f"canonical elements are int64, not {values.dtype}")
    if values.size and (values.min() < 0 or values.max() >= P):
        raise ValueError("a field element is not in [0, P)")
    little = np.ascontiguousarray(values, dtype="<i8")
    octets = little.view(np.uint8).reshape(*values.shape, 8)[..., :BASE_BYTES]
    return octets.reshape(*values.shape[:-1], -1)


def decode_array(data: bytes, shape: tuple[int, ...]) -> IntArray:
    """The array that `encode_array` made these bytes from.

    Raises:
        MalformedProofError: not exactly that many canonical elements.
    """
    count = math.prod(shape)
    if len(data) != count * BASE_BYTES:
        raise MalformedProofError(
            f"{count:,} field elements take {counted(count * BASE_BYTES, 'byte')}, not {len(data):,}"
        )
    octets = np.zeros((count, 8), dtype=np.uint8)
    octets[:, :BASE_BYTES] = np.frombuffer(data, dtype=np.uint8).reshape(count, BASE_BYTES)
    values = octets.view("<i8").astype(np.int64).reshape(shape)
    if count and values.max() >= P:
        raise MalformedProofError("a field element is not canonical: its integer is not below the modulus")
    return values


def _checked(value: int) -> int:
    if not 0 <= value < P:
        raise ValueError(f"{value} is not a canonical field element")
    return value
