"""Commitments that a verifier remembers: by all of their bytes, the last few, and none that is large."""

from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from zkinfer.circuit.encoding import encoded_pieces
from zkinfer.errors import MalformedCommitmentError
from zkinfer.files.commitment import Commitment
from zkinfer.verifier import remembered
from zkinfer.verifier.remembered import decoded, forget

DATA = (Path(__file__).parent / "vectors" / "gemm.zkc").read_bytes()
SIZE = len(DATA) + sum(map(len, encoded_pieces(Commitment.from_bytes(DATA).program)))


@pytest.fixture(autouse=True)
def nothing_known() -> Iterator[None]:
    forget()
    yield
    forget()


def others(count: int) -> list[bytes]:
    """Files of other commitments: their proofs about weights differ, which decoding does not check."""
    first = Commitment.from_bytes(DATA)
    return [Commitment(first.program, first.key, bytes([number])).to_bytes() for number in range(count)]


def test_equal_bytes_are_decoded_once() -> None:
    found = decoded(DATA)
    assert decoded(bytes(bytearray(DATA))) is found
    assert found == Commitment.from_bytes(DATA)


def test_nobody_else_has_the_object() -> None:
    assert Commitment.of(DATA) is not decoded(DATA)


@pytest.mark.parametrize("place", [0, 60, len(DATA) // 2, -1])
def test_bytes_that_differ_anywhere_are_read_anew(place: int) -> None:
    decoded(DATA)
    changed = bytearray(DATA)
    changed[place] ^= 1
    for _ in range(2):
        with pytest.raises(MalformedCommitmentError):
            decoded(bytes(changed))


def test_the_last_ones_are_remembered() -> None:
    first, *more = files = others(remembered.REMEMBERED + 1)
    found = [decoded(data) for data in files]
    assert [decoded(data) for data in more] == found[1:]
    assert all(decoded(data) is known for data, known in zip(more, found[1:], strict=True))
    assert decoded(first) is not found[0]


def test_what_was_asked_for_last_is_kept_longest() -> None:
    *files, one_more = others(remembered.REMEMBERED + 1)
    found = [decoded(data) for data in files]
    decoded(files[0])
    decoded(one_more)
    assert decoded(files[0]) is found[0]
    assert decoded(files[1]) is not found[1]


@pytest.mark.parametrize(("largest", "kept"), [(SIZE, True), (SIZE - 1, False)])
def test_large_ones_are_let_go(largest: int, kept: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program counts as it is unpacked: a short file may have a large one."""
    monkeypatch.setattr(remembered, "LARGEST", largest)
    assert (decoded(DATA) is decoded(DATA)) == kept


def test_threads_may_ask_at_once() -> None:
    files, found = others(remembered.REMEMBERED + 2), set[bool]()

    def ask() -> None:
        found.update(decoded(data).range_proof == bytes([number]) for number, data in enumerate(files))

    asking = [Thread(target=ask) for _ in range(4)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    assert found == {True}
