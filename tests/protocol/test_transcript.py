"""The transcript: golden vectors, an independent plain implementation, and that everything is bound."""

from collections.abc import Callable
from typing import Any

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from zkinfer.errors import InvalidInputError, InvalidProofError
from zkinfer.protocol.field.params import P
from zkinfer.protocol.transcript import MAX_GRINDING_BITS, Transcript

Call = tuple[Any, ...]
"""The name of a method and its arguments."""


def run(domain: bytes, calls: list[Call]) -> list[Any]:
    transcript = Transcript(domain)
    return [getattr(transcript, name)(*arguments) for name, *arguments in calls]


def plain(domain: bytes, calls: list[Call]) -> list[Any]:
    """The transcript again, from its description alone: one stream of bytes read bit by bit, no shared code."""
    state = blake3(domain, derive_key_context="zkinfer 2026 transcript v1").digest()
    results: list[Any] = []

    def le(value: int, size: int) -> bytes:
        return bytes((value >> (8 * i)) & 255 for i in range(size))

    def call(operation: int, label: str, payload: bytes) -> bytes:
        text = label.encode("utf-8")
        return blake3(bytes([operation]) + le(len(text), 4) + text + payload, key=state).digest(1 << 16)

    def draw(stream: bytes, size: int, bound: int, count: int) -> list[int]:
        found: list[int] = []
        position = 32
        while len(found) < count:
            value = sum(byte << (8 * i) for i, byte in enumerate(stream[position : position + size]))
            value %= 1 << len(bin(bound - 1).lstrip("0b"))
            position += size
            if value < bound:
                found.append(value)
        return found

    for name, label, *rest in calls:
        if name == "absorb":
            output = call(1, label, rest[0])
            results.append(None)
        elif name == "absorb_base":
            output = call(1, label, b"".join(le(v, 7) for v in rest[0]))
            results.append(None)
        elif name == "absorb_ext":
            output = call(1, label, b"".join(le(c, 7) for v in rest[0] for c in v))
            results.append(None)
        elif name == "challenge_exts":
            output = call(2, label, le(rest[0], 8))
            flat = draw(output, 7, P, 3 * rest[0])
            results.append([tuple(flat[i : i + 3]) for i in range(0, len(flat), 3)])
        elif name == "challenge_indices":
            output = call(3, label, le(rest[0], 8) + le(rest[1], 8))
            results.append(draw(output, 8, rest[0], rest[1]))
        elif name == "grind":
            nonce = 0
            while draw(output := call(4, label, le(rest[0], 4) + le(nonce, 8)), 8, 1 << rest[0], 1) != [0]:
                nonce += 1
            results.append(nonce)
        state = output[:32]
    return results


GOLDEN_CALLS: list[Call] = [
    ("absorb", "statement", b"zkinfer"),
    ("absorb", "", b""),
    ("absorb_base", "row", [0, 1, P - 1]),
    ("absorb_ext", "message", [(1, 2, 3), (P - 1, 0, P - 2)]),
    ("challenge_exts", "point", 2),
    ("challenge_indices", "columns", 1000, 4),
    ("grind", "work", 8),
    ("challenge_indices", "columns", 1 << 20, 3),
    ("challenge_exts", "none", 0),
    ("challenge_exts", "last", 1),
]

GOLDEN_RESULTS: list[Any] = [
    None,
    None,
    None,
    None,
    [(84034992239237, 472553360646170, 912518544350784), (245178622439864, 522035564244388, 497590585731357)],
    [438, 405, 744, 421],
    188,
    [319901, 767626, 305388],
    [],
    [(269174987734146, 1012325977090849, 549806235847137)],
]


def test_golden_vector() -> None:
    assert run(b"golden", GOLDEN_CALLS) == GOLDEN_RESULTS


def test_pieces_are_absorbed_as_one_message() -> None:
    whole, pieces, split = Transcript(b"pieces"), Transcript(b"pieces"), Transcript(b"pieces")
    whole.absorb("message", b"one two")
    pieces.absorb("message", b"one", b"", b" two")
    for part in (b"one", b" two"):
        split.absorb("message", part)
    drawn = [transcript.challenge_ext("point") for transcript in (whole, pieces, split)]
    assert drawn[0] == drawn[1] != drawn[2]


labels = st.text(max_size=6)
base = st.integers(0, P - 1)
calls = st.lists(
    st.one_of(
        st.tuples(st.just("absorb"), labels, st.binary(max_size=40)),
        st.tuples(st.just("absorb_base"), labels, st.lists(base, max_size=3)),
        st.tuples(st.just("absorb_ext"), labels, st.lists(st.tuples(base, base, base), max_size=3)),
        st.tuples(st.just("challenge_exts"), labels, st.integers(0, 5)),
        st.tuples(st.just("challenge_indices"), labels, st.integers(1, 1 << 40), st.integers(0, 5)),
        st.tuples(st.just("grind"), labels, st.integers(0, 5)),
    ),
    max_size=8,
)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=9), calls)
def test_agrees_with_the_plain_implementation(domain: bytes, script: list[Call]) -> None:
    assert run(domain, script) == plain(domain, script)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=9), calls, st.data())
def test_every_call_before_a_challenge_changes_it(domain: bytes, script: list[Call], data: st.DataObject) -> None:
    """Dropped, repeated, swapped, relabelled: each one gives another challenge."""
    end = [("challenge_exts", "end", 1)]
    honest = run(domain, script + end)[-1]
    assert run(domain + b"\0", script + end)[-1] != honest
    if not script:
        return
    i = data.draw(st.integers(0, len(script) - 1))
    before, call, after = script[:i], script[i], script[i + 1 :]
    assert run(domain, before + after + end)[-1] != honest
    assert run(domain, [*before, call, call, *after, *end])[-1] != honest
    assert run(domain, [*before, (call[0], call[1] + "'", *call[2:]), *after, *end])[-1] != honest
    if after and after[0] != call:
        assert run(domain, [*before, after[0], call, *after[1:], *end])[-1] != honest or _same_frame(after[0], call)


def _same_frame(a: Call, b: Call) -> bool:
    """Two absorbs of equal bytes are one message in three spellings: the caller's labels tell the types apart."""
    both = [plain(b"", [c, ("challenge_exts", "x", 1)])[-1] for c in (a, b)]
    return bool(both[0] == both[1])


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=1, max_size=64), st.data())
def test_every_bit_of_a_message_changes_every_later_challenge(message: bytes, data: st.DataObject) -> None:
    bit = data.draw(st.integers(0, 8 * len(message) - 1))
    flipped = bytearray(message)
    flipped[bit // 8] ^= 1 << bit % 8
    ends = [("challenge_exts", "a", 1), ("challenge_indices", "b", 1 << 60, 1), ("challenge_exts", "c", 1)]
    honest = run(b"", [("absorb", "m", message), *ends])
    changed = run(b"", [("absorb", "m", bytes(flipped)), *ends])
    assert all(x != y for x, y in zip(honest[1:], changed[1:], strict=True))


def test_the_border_between_label_and_data_is_bound() -> None:
    end = ("challenge_exts", "end", 1)
    assert run(b"", [("absorb", "ab", b"c"), end])[-1] != run(b"", [("absorb", "a", b"bc"), end])[-1]
    assert (
        run(b"", [("absorb", "a", b"b"), ("absorb", "a", b"c"), end])[-1] != run(b"", [("absorb", "a", b"bc"), end])[-1]
    )


def test_the_counts_asked_for_are_bound() -> None:
    """One draw of two elements is not two draws of one, and the bound of indices matters."""
    end = ("challenge_exts", "end", 1)
    one_by_one = [("challenge_exts", "x", 1), ("challenge_exts", "x", 1), end]
    assert run(b"", [("challenge_exts", "x", 2), end])[-1] != run(b"", one_by_one)[-1]
    narrow = run(b"", [("challenge_indices", "x", 8, 1), end])[-1]
    assert narrow != run(b"", [("challenge_indices", "x", 16, 1), end])[-1]


def test_one_challenge_is_the_first_of_a_batch_of_one() -> None:
    assert Transcript(b"").challenge_ext("x") == Transcript(b"").challenge_exts("x", 1)[0]


@pytest.mark.parametrize("absorb", [Transcript.absorb_base, Transcript.absorb_ext])
@pytest.mark.parametrize("value", [-1, P])
def test_elements_that_are_not_canonical_are_refused(absorb: Callable[..., None], value: int) -> None:
    elements: list[Any] = [value] if absorb is Transcript.absorb_base else [(0, value, 0)]
    with pytest.raises(ValueError, match="not a canonical"):
        absorb(Transcript(b""), "x", elements)


class TestChallengesAreUniform:
    """The 64 cells of a histogram of 2^16 draws; the chi-squared statistic has mean 63 and deviation 11.2."""

    DRAWS, CELLS = 1 << 16, 64

    def statistic(self, cells: list[int]) -> float:
        expected = self.DRAWS / self.CELLS
        counts = [0] * self.CELLS
        for cell in cells:
            counts[cell] += 1
        return sum((c - expected) ** 2 / expected for c in counts)

    def test_indices(self) -> None:
        bound = 3 * self.CELLS
        drawn = Transcript(b"uniform").challenge_indices("x", bound, self.DRAWS)
        assert max(drawn) == bound - 1
        assert self.statistic([i % self.CELLS for i in drawn]) < 130
        assert self.statistic([i // 3 for i in drawn]) < 130

    @pytest.mark.parametrize("coordinate", [0, 1, 2])
    def test_elements(self, coordinate: int) -> None:
        drawn = [e[coordinate] for e in Transcript(b"uniform").challenge_exts("x", self.DRAWS)]
        assert max(drawn) < P
        assert self.statistic([v * self.CELLS // P for v in drawn]) < 130
        assert self.statistic([v % self.CELLS for v in drawn]) < 130

    def test_words_out_of_range_are_skipped_not_reduced(self) -> None:
        """With reduction, index 0 of a bound 2^62 + 1 would be all that the upper half of the words gives."""
        drawn = Transcript(b"uniform").challenge_indices("x", (1 << 62) + 1, 4096)
        assert len(set(drawn)) == 4096


class TestGrinding:
    def test_both_sides_end_in_the_same_state(self) -> None:
        prover, verifier = Transcript(b"g"), Transcript(b"g")
        verifier.check_grind("work", 10, prover.grind("work", 10))
        assert prover.challenge_ext("after") == verifier.challenge_ext("after")

    def test_the_nonce_is_bound(self) -> None:
        """Otherwise one solution would pay for any number of later challenges."""
        first, second = Transcript(b"g"), Transcript(b"g")
        first.check_grind("work", 0, 0)
        second.check_grind("work", 0, 1)
        assert first.challenge_ext("after") != second.challenge_ext("after")

    def test_wrong_nonces_are_rejected_at_the_expected_rate(self) -> None:
        nonce = Transcript(b"g").grind("work", 8)
        accepted = 0
        for other in range(nonce + 2000):
            try:
                Transcript(b"g").check_grind("work", 8, other)
            except InvalidProofError:
                assert other != nonce
            else:
                assert other >= nonce
                accepted += 1
        assert 1 <= accepted < 30

    @pytest.mark.parametrize("nonce", [-1, 1 << 64, 1 << 200])
    def test_a_nonce_of_another_size_is_rejected(self, nonce: int) -> None:
        with pytest.raises(InvalidProofError, match="nonce"):
            Transcript(b"g").check_grind("work", 0, nonce)

    @pytest.mark.parametrize("bits", [-1, MAX_GRINDING_BITS + 1])
    def test_bits_out_of_range_are_a_mistake_of_the_caller(self, bits: int) -> None:
        with pytest.raises(InvalidInputError, match="grinding"):
            Transcript(b"g").check_grind("work", bits, 0)


@pytest.mark.parametrize("bound", [0, -1, 1 << 64])
def test_impossible_bounds_are_refused(bound: int) -> None:
    with pytest.raises(InvalidInputError, match="indices"):
        Transcript(b"").challenge_indices("x", bound, 1)
