"""Copies of the weights: both verifiers find the copy that a proof names, and refuse every other place."""

import msgspec
import pytest

from zkinfer.errors import InvalidProofError, MalformedProofError, VerificationError
from zkinfer.files.native_key import NativeVerifyingKey
from zkinfer.protocol.merkle.paths import hash_node
from zkinfer.protocol.pcs.copies import Place
from zkinfer.verifier.reference.copies import draw_link, find_copy

A, B, C, D = (bytes([i]) * 32 for i in range(4))
LEFT, RIGHT = hash_node(A, B), hash_node(C, D)
FOUR = NativeVerifyingKey(hash_node(LEFT, RIGHT), 5, 3, 24, 6, 6, 0, 0, 3, 2, bytes(21), 0)
"""Four copies of five rows."""

ONE = msgspec.structs.replace(FOUR, log_copies=0, link=b"")


def found(key: NativeVerifyingKey, number: int, branch: bytes) -> bytes:
    """The root of the copy that both verifiers find.

    Raises:
        VerificationError: both refuse the place; the error is the fast one's.
        AssertionError: they differ.
    """
    try:
        root = key.copies.matrix(Place(number, branch)).root
    except VerificationError as error:
        with pytest.raises(type(error)):
            find_copy(key, number, branch)
        raise
    assert find_copy(key, number, branch).root == root
    return root


def test_each_copy_is_found_at_its_place() -> None:
    branches = (A + B + RIGHT, B + A + RIGHT, C + D + LEFT, D + C + LEFT)
    assert [found(FOUR, number, branch) for number, branch in enumerate(branches)] == [A, B, C, D]
    assert found(ONE, 0, b"") == ONE.root


@pytest.mark.parametrize("number", [-1, 4, 7, 1 << 40])
def test_a_number_of_no_copy_is_malformed(number: int) -> None:
    """Its last bits are those of the copy that the branch belongs to."""
    with pytest.raises(MalformedProofError):
        found(FOUR, number, D + C + LEFT if number & 3 == 3 else A + B + RIGHT)


@pytest.mark.parametrize("branch", [b"", A, A + B, A + B + RIGHT[:-1], A + B + RIGHT + b"x", A + B + RIGHT + RIGHT])
def test_a_branch_of_another_length_is_malformed(branch: bytes) -> None:
    with pytest.raises(MalformedProofError):
        found(FOUR, 0, branch)


@pytest.mark.parametrize(("number", "branch"), [(1, b""), (-1, b""), (0, FOUR.root), (0, b"x")])
def test_one_copy_has_one_place_and_no_branch(number: int, branch: bytes) -> None:
    with pytest.raises(MalformedProofError):
        found(ONE, number, branch)


@pytest.mark.parametrize(
    ("number", "branch"), [(1, A + B + RIGHT), (0, B + A + RIGHT), (0, A + B + LEFT), (2, A + B + RIGHT)]
)
def test_a_copy_that_does_not_hang_there_is_refused(number: int, branch: bytes) -> None:
    with pytest.raises(InvalidProofError):
        found(FOUR, number, branch)


def test_the_work_before_the_link_is_checked() -> None:
    """Of 2^9 copies it is four bits."""
    keys = [msgspec.structs.replace(FOUR, log_copies=9, link_nonce=nonce) for nonce in range(200)]

    def accepts(key: NativeVerifyingKey) -> bool:
        try:
            fast = key.copies.link()
        except InvalidProofError:
            with pytest.raises(InvalidProofError, match="4 bits of work"):
                draw_link(key)
            return False
        slow = draw_link(key)
        assert fast is not None
        assert slow is not None
        assert slow.column_point == fast.point
        return True

    accepted = sum(map(accepts, keys))
    assert 0 < accepted < 50
