"""The hash of many messages at once is the hash of each, as the blake3 package computes it."""

import numpy as np
import numpy.typing as npt
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from zkinfer.errors import ShapeError
from zkinfer.jit.threads import threads
from zkinfer.protocol.merkle.compression import CHUNK_BYTES, LANES
from zkinfer.protocol.merkle.kernels import GRAIN, MAX_BYTES, hash_messages

Octets = npt.NDArray[np.uint8]
KEY = bytes(range(32))
LANE = st.integers(0, LANES - 1)


def random_messages(count: int, size: int, seed: int = 0) -> Octets:
    return np.random.default_rng(seed).integers(0, 256, (count, size), dtype=np.uint8)


def digests_of(messages: Octets, key: bytes = KEY) -> list[bytes]:
    digests = np.full((len(messages), 32), 255, dtype=np.uint8)
    hash_messages(messages, key, digests)
    return [digest.tobytes() for digest in digests]


def one_by_one(messages: Octets, key: bytes = KEY) -> list[bytes]:
    return [blake3(message.tobytes(), key=key).digest() for message in messages]


def test_every_length() -> None:
    """From nothing to a whole chunk, with a lane more than the kernel takes at once."""
    for size in range(CHUNK_BYTES + 1):
        messages = random_messages(LANES + 1, size, seed=size)
        assert digests_of(messages) == one_by_one(messages), size


@pytest.mark.parametrize("chunks", [*range(1, 10), 15, 16, 17, 31, 33])
def test_trees_of_every_shape(chunks: int) -> None:
    """Around the end of each chunk: with one, two and more subtrees that wait for the last."""
    for more in (-65, -64, -63, -1, 0, 1, 63, 64, 65):
        messages = random_messages(LANES + 1, chunks * CHUNK_BYTES + more, seed=more + 65)
        assert digests_of(messages) == one_by_one(messages), more


def test_the_longest_message() -> None:
    messages = random_messages(2, MAX_BYTES)
    assert digests_of(messages) == one_by_one(messages)


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(0, 3 * LANES),
    size=st.integers(0, 6 * CHUNK_BYTES) | st.integers(0, 16).map(lambda blocks: 64 * blocks),
    key=st.binary(min_size=32, max_size=32),
    seed=st.integers(0, 2**32),
)
def test_any_messages_under_any_key(count: int, size: int, key: bytes, seed: int) -> None:
    messages = random_messages(count, size, seed)
    assert digests_of(messages, key) == one_by_one(messages, key)


@given(size=st.integers(1, 200), lane=LANE, at=st.integers(0, 199))
def test_lanes_do_not_mix(size: int, lane: int, at: int) -> None:
    """A changed byte changes the digest of its own message and no other."""
    messages = random_messages(LANES, size)
    before = digests_of(messages)
    messages[lane, at % size] ^= 1
    after = digests_of(messages)
    assert [i for i in range(LANES) if before[i] != after[i]] == [lane]


@pytest.mark.parametrize("size", [33, 64])
@pytest.mark.parametrize("count", [GRAIN, GRAIN + 1, 3 * GRAIN - LANES - 1])
def test_threads_share_the_messages(count: int, size: int) -> None:
    messages = random_messages(count, size)
    with threads(3):
        assert digests_of(messages) == one_by_one(messages)


def test_messages_that_cannot_be_written_to() -> None:
    messages = random_messages(20, 70)
    messages.flags.writeable = False
    assert digests_of(messages) == one_by_one(messages)
    assert not messages.flags.writeable


def test_the_messages_stay_as_they_are_and_can_still_be_written_to() -> None:
    messages = random_messages(20, 70)
    before = messages.copy()
    digests_of(messages)
    assert np.array_equal(messages, before)
    messages[0, 0] ^= 1


@pytest.mark.parametrize(
    "messages",
    [
        np.zeros((4, MAX_BYTES + 1), dtype=np.uint8),
        np.zeros((4, 8), dtype=np.int8),
        np.zeros((8, 4), dtype=np.uint8).T,
        np.zeros(32, dtype=np.uint8),
    ],
)
def test_messages_of_another_form_are_refused(messages: Octets) -> None:
    with pytest.raises(ShapeError, match="message"):
        hash_messages(messages, KEY, np.zeros((4, 32), dtype=np.uint8))


@pytest.mark.parametrize(
    "digests",
    [
        np.zeros((3, 32), dtype=np.uint8),
        np.zeros((4, 31), dtype=np.uint8),
        np.zeros((4, 32), dtype=np.int8),
        np.zeros((32, 4), dtype=np.uint8).T,
    ],
)
def test_digests_of_another_form_are_refused(digests: Octets) -> None:
    with pytest.raises(ShapeError, match="digests"):
        hash_messages(np.zeros((4, 8), dtype=np.uint8), KEY, digests)
