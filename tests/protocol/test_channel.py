"""The channel: what is sent arrives, padded or plain, and a padded verification becomes constraints over the pads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkinfer.errors import InvalidInputError, InvalidProofError, MalformedProofError, ProvingError
from zkinfer.protocol.channel import (
    AffineForm,
    DryChannel,
    PadConstraints,
    ProverChannel,
    Reader,
    VerifierChannel,
    Writer,
    combination,
    exchange_work,
)
from zkinfer.protocol.field.encoding import EXT_BYTES
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, ZERO, Ext, ext_add, ext_mul
from zkinfer.protocol.transcript import Transcript

elements = st.tuples(*[st.integers(0, P - 1)] * 3)
A, B, C = (3, 1, 4), (1, 5, 9), (2, 6, 5)
PADS = [(2, 0, 1), (0, 4, 2), (1, 5, 5)]


def sent(values: list[Ext], pads: list[Ext] | None = None) -> bytes:
    wire = Writer()
    ProverChannel(Transcript(b"test"), wire, pads).exchange("values", len(values), lambda: values)
    return wire.written


def reader(message: bytes, *, padded: bool = False) -> VerifierChannel:
    return VerifierChannel(Transcript(b"test"), Reader(message), padded=padded)


def test_plain_elements_arrive() -> None:
    channel = reader(sent([A, B]))
    assert [v.constant for v in channel.exchange("values", 2)] == [A, B]
    channel.finish()


def test_padded_elements_are_known_up_to_their_pads() -> None:
    channel = reader(sent([A, B], PADS), padded=True)
    values = channel.exchange("values", 2)
    for value, element, pad, cell in zip(values, (A, B), PADS, range(2), strict=False):
        assert value.variables == {cell: ONE}
        assert ext_add(value.constant, pad) == element


def test_what_is_sent_is_uniform_whatever_it_hides() -> None:
    """For every element there is exactly one pad that gives these bytes."""
    message = sent([A], [PADS[0]])
    assert message == sent([B], [ext_add(PADS[0], ext_add(B, (-A[0] % P, -A[1] % P, -A[2] % P)))])


def test_both_ends_draw_the_same_challenges() -> None:
    wire = Writer()
    prover = ProverChannel(Transcript(b"test"), wire)
    prover.exchange("values", 1, lambda: [A])
    verifier = reader(wire.written)
    verifier.exchange("values", 1)
    assert prover.challenge("r") == verifier.challenge("r")


@pytest.mark.parametrize("padded", [False, True])
def test_every_bit_sent_changes_the_next_challenge(padded: bool) -> None:
    message = sent([A, B], PADS if padded else None)

    def challenge(data: bytes) -> Ext:
        channel = reader(data, padded=padded)
        channel.exchange("values", 2)
        return channel.challenge("r")

    for byte in range(len(message)):
        changed = bytearray(message)
        changed[byte] ^= 1
        assert challenge(bytes(changed)) != challenge(message)


def test_the_pads_must_suffice() -> None:
    with pytest.raises(InvalidInputError, match="too few"):
        sent([A, B], PADS[:1])


@pytest.mark.parametrize("length", [0, 1, EXT_BYTES, 2 * EXT_BYTES - 1])
def test_a_short_message_is_malformed(length: int) -> None:
    with pytest.raises(MalformedProofError, match="ends at byte"):
        reader(sent([A, B])[:length]).exchange("values", 2)


def test_bytes_left_over_are_malformed() -> None:
    channel = reader(sent([A, B]) + b"\0")
    channel.exchange("values", 2)
    with pytest.raises(MalformedProofError, match="1 bytes follow"):
        channel.finish()


@pytest.mark.parametrize("coordinate", range(3))
def test_an_element_that_is_not_canonical_is_malformed(coordinate: int) -> None:
    message = bytearray(sent([A]))
    at = 7 * coordinate
    message[at : at + 7] = (A[coordinate] + P).to_bytes(7, "little")
    with pytest.raises(MalformedProofError, match="canonical"):
        reader(bytes(message)).exchange("values", 1)


def test_an_enormous_count_allocates_nothing() -> None:
    with pytest.raises(MalformedProofError):
        reader(b"").exchange("values", 1 << 60)


def test_a_plain_check_is_decided_on_the_spot() -> None:
    channel = reader(b"")
    channel.require_zero("nothing", AffineForm(ZERO))
    with pytest.raises(InvalidProofError, match="'something'"):
        channel.require_zero("something", AffineForm(A))


def test_padded_messages_are_accepted_by_nothing() -> None:
    channel = reader(sent([A], PADS), padded=True)
    channel.exchange("values", 1)
    with pytest.raises(InvalidProofError, match="pads"):
        channel.finish()


def test_both_ends_are_left_with_the_same_forms_and_constraints() -> None:
    wire = Writer()
    prover = ProverChannel(Transcript(b"test"), wire, PADS)
    ours = prover.exchange("values", 3, lambda: [A, B, C])
    verifier = reader(wire.written, padded=True)
    theirs = verifier.exchange("values", 3)
    assert ours == theirs
    for channel, (x, y, z) in ((prover, ours), (verifier, theirs)):
        channel.require_zero("product", channel.multiply(x, y) - z)
    assert prover.constraints() == verifier.constraints()


def test_a_dry_run_knows_the_variables_of_every_proof() -> None:
    dry = DryChannel()
    x, y = dry.exchange("values", 2)
    dry.require_zero("product", dry.multiply(x, y))
    dry.reserve(1)
    assert dry.constraints().variables == [None, None, (0, 1), None]


def test_a_prover_needs_a_witness() -> None:
    with pytest.raises(InvalidInputError, match="witness"):
        ProverChannel(Transcript(b"test"), Writer()).exchange("values", 1)
    with pytest.raises(InvalidInputError, match="witness"):
        ProverChannel(Transcript(b"test"), Writer()).exchange_array("values", (1,), None, Writer())
    with pytest.raises(InvalidInputError, match="witness"):
        Writer().exchange(1, None)


@pytest.mark.parametrize("made", [[], [A], [A, B, C]])
def test_a_witness_makes_as_many_elements_as_the_protocol_sends(made: list[Ext]) -> None:
    with pytest.raises(InvalidInputError, match="2 elements here"):
        ProverChannel(Transcript(b"test"), Writer()).exchange("values", 2, lambda: made)
    with pytest.raises(InvalidInputError, match="2 bytes here"):
        Writer().exchange(2, lambda: bytes(len(made)) if len(made) != 2 else b"")


def test_a_prover_refuses_a_false_plain_check() -> None:
    with pytest.raises(ProvingError, match="is false"):
        ProverChannel(Transcript(b"test"), Writer()).require_zero("something", AffineForm(A))


def test_work_is_searched_by_one_side_and_checked_by_both() -> None:
    wire, ours, theirs = Writer(), Transcript(b"test"), Transcript(b"test")
    exchange_work(ours, wire, "work", 4)
    exchange_work(theirs, Reader(wire.written), "work", 4)
    assert ours.challenge_ext("r") == theirs.challenge_ext("r")
    wrong = (int.from_bytes(wire.written, "little") ^ 1).to_bytes(8, "little")
    with pytest.raises(InvalidProofError, match="4 bits of work"):
        exchange_work(Transcript(b"test"), Reader(wrong), "work", 4)


def test_plain_messages_leave_no_constraints() -> None:
    with pytest.raises(InvalidInputError, match="finish"):
        reader(b"").constraints()


def product_constraints(product: Ext) -> PadConstraints:
    """Of a verifier that receives x, y and z and requires x y z = product."""
    channel = reader(sent([A, B, C], PADS), padded=True)
    x, y, z = channel.exchange("values", 3)
    channel.require_zero("product", channel.multiply(channel.multiply(x, y), z) - AffineForm(product))
    return channel.constraints()


def test_constraints_hold_for_the_real_pads() -> None:
    constraints = product_constraints(ext_mul(ext_mul(A, B), C))
    assert constraints.pads == 3
    assert len(constraints.variables) == 3 + 4, "each product of two and of three pads is a variable"
    constraints.check(constraints.expand(PADS))


def test_constraints_fail_for_a_false_check() -> None:
    constraints = product_constraints(ext_add(ONE, ext_mul(ext_mul(A, B), C)))
    with pytest.raises(InvalidProofError, match="'product' fails"):
        constraints.check(constraints.expand(PADS))


@pytest.mark.parametrize("variable", range(7))
def test_constraints_fail_for_any_other_variable(variable: int) -> None:
    constraints = product_constraints(ext_mul(ext_mul(A, B), C))
    contents = constraints.expand(PADS)
    contents[variable] = ext_add(contents[variable], ONE)
    with pytest.raises(InvalidProofError):
        constraints.check(contents)


def test_constraints_need_every_variable() -> None:
    constraints = product_constraints(A)
    with pytest.raises(InvalidInputError):
        constraints.check(PADS)
    with pytest.raises(InvalidInputError):
        constraints.expand(PADS[:2])


@given(a=elements, b=elements, c=elements, d=elements, pads=st.tuples(elements, elements))
def test_values_compute_as_elements_do(a: Ext, b: Ext, c: Ext, d: Ext, pads: tuple[Ext, Ext]) -> None:
    """A form's constant plus its variables is the element, through sums, differences, scalings and products."""
    channel = reader(sent([a, b], list(pads)), padded=True)
    x, y = channel.exchange("values", 2)
    value = channel.multiply(x + AffineForm(c), (x - y).scale(d)) - combination([x, y], [c, d])
    difference = ext_add(a, (-b[0] % P, -b[1] % P, -b[2] % P))
    product = ext_mul(ext_add(a, c), ext_mul(difference, d))
    other = ext_add(ext_mul(a, c), ext_mul(b, d))
    expected = ext_add(product, (-other[0] % P, -other[1] % P, -other[2] % P))
    channel.require_zero("value", value - AffineForm(expected))
    constraints = channel.constraints()
    constraints.check(constraints.expand(pads))
