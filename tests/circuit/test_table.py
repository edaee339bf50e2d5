"""Tables that a hostile program could hold are refused when they are read."""

import msgspec
import pytest

from zkinfer.circuit import table
from zkinfer.circuit.encoding import decode_program, encode_program
from zkinfer.circuit.program import Lookup, Program, Tensor
from zkinfer.circuit.table import Entries, Table
from zkinfer.errors import ArtifactError, BoundsError

ENDS = (-(1 << 63), (1 << 63) - 1)


def test_entries_read_as_a_tuple_of_integers() -> None:
    entries = Table("squares", -2, (4, 1, 0, 1, 4)).values
    assert isinstance(entries, Entries)
    assert entries == (4, 1, 0, 1, 4)
    assert entries != (4, 1, 0, 1)
    assert entries != (4, 1, 0, 1, 5)
    assert entries != [4, 1, 0, 1, 4], "as no tuple is"
    assert list(entries) == [4, 1, 0, 1, 4]
    assert (entries[0], entries[-2], entries[1:3]) == (4, 1, (1, 0))
    assert type(entries[0]) is type(next(iter(entries))) is type(entries[1:3][0]) is int
    assert (len(entries), max(entries), 5 in entries) == (5, 4, False)
    assert repr(entries) == "(4, 1, 0, 1, 4)"


def test_equal_entries_are_one_key() -> None:
    first, second, other = (Table("t", 0, values) for values in ((1, 2), (1, 2), (1, 3)))
    assert first == second != other
    assert len({first, second, other}) == 2


def test_nobody_writes_to_entries() -> None:
    table = Table("t", 0, (1, 2))
    with pytest.raises(ValueError, match="read-only"):
        table.array[0] = 5


def test_outputs_at_the_ends_of_int64() -> None:
    assert Table("ends", 0, ENDS).array.tolist() == list(ENDS)


@pytest.mark.parametrize("value", [ENDS[0] - 1, ENDS[1] + 1])
def test_outputs_beyond_int64_are_refused(value: int) -> None:
    with pytest.raises(BoundsError, match="does not fit int64"):
        Table("beyond", 0, (0, value))


def test_a_program_with_outputs_beyond_int64_is_refused_when_it_is_read() -> None:
    """MessagePack has unsigned numbers up to 2^64 - 1."""
    x = Tensor("x", (1,), 0, 0, 0)
    program = Program(1, (x,), (), (Table("t", 0, (0,)),), (Lookup(x, 0, 0, 0),), (1,))
    fields = msgspec.msgpack.decode(encode_program(program))
    fields[3][0][2][0] = 1 << 63
    with pytest.raises(ArtifactError, match="does not fit int64"):
        decode_program(msgspec.msgpack.encode(fields))


@pytest.mark.parametrize("count", [0, 3])
def test_the_number_of_entries_is_bounded(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "MAX_TABLE_ENTRIES", 2)
    with pytest.raises(BoundsError, match="entries"):
        Table("t", 0, (0,) * count)
