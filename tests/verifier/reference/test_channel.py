"""The reference verifier's channel, plain and padded."""

import random

import pytest

from zkinfer.errors import InvalidProofError, MalformedProofError
from zkinfer.protocol.field.encoding import encode_ext
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, ZERO, Ext, ext_add, ext_mul, ext_sub
from zkinfer.protocol.transcript import Transcript
from zkinfer.verifier.reference.channel import AffineForm, Channel, sum_of
from zkinfer.verifier.reference.elements import ELEMENT_BYTES, total

VALUES: list[Ext] = [(3, 1, 4), (1, 5, 9), (2, 6, 5)]


def channel_of(message: bytes, *, padded: bool) -> Channel:
    return Channel(Transcript(b"channel"), message, padded=padded)


def value_of(form: AffineForm, channel: Channel, pads: list[Ext]) -> Ext:
    """A form at the true pads."""
    remaining = iter(pads)
    contents: list[Ext] = []
    for pair in channel.variables:
        contents.append(next(remaining) if pair is None else ext_mul(contents[pair[0]], contents[pair[1]]))
    return total([form.constant, *(ext_mul(c, contents[variable]) for variable, c in form.coefficients.items())])


def test_plain_elements_are_what_is_sent() -> None:
    channel = channel_of(encode_ext(VALUES), padded=False)
    assert channel.receive("values", 3) == [AffineForm(value) for value in VALUES]
    assert channel.variables == []
    channel.finish()


def test_forms_of_a_padded_channel_have_the_values_of_the_elements() -> None:
    rng = random.Random(0)
    pads: list[Ext] = [(rng.randrange(P), rng.randrange(P), rng.randrange(P)) for _ in VALUES]
    channel = channel_of(encode_ext([ext_sub(v, p) for v, p in zip(VALUES, pads, strict=True)]), padded=True)
    x, y, z = channel.receive("values", 3)
    product = channel.multiply(channel.multiply(x, y), z)
    for form, value in (
        (x, VALUES[0]),
        (x + y, ext_add(VALUES[0], VALUES[1])),
        (x - y, ext_sub(VALUES[0], VALUES[1])),
        (z.scaled((7, 8, 9)), ext_mul((7, 8, 9), VALUES[2])),
        (product, ext_mul(ext_mul(VALUES[0], VALUES[1]), VALUES[2])),
        (sum_of([]), ZERO),
    ):
        assert value_of(form, channel, pads) == value
    assert channel.variables[:4] == [None, None, None, (0, 1)]
    assert len(channel.variables) == len(set(map(str, channel.variables[3:]))) + 3, "a product is one variable"


def test_a_plain_check_is_decided_at_once_and_a_padded_one_is_kept() -> None:
    plain, padded = (channel_of(encode_ext([ONE]), padded=padded) for padded in (False, True))
    plain.require_zero(AffineForm())
    with pytest.raises(InvalidProofError):
        plain.require_zero(*plain.receive("value", 1))
    (form,) = padded.receive("value", 1)
    padded.require_zero(form)
    assert padded.constraints == [form]


@pytest.mark.parametrize("padded", [False, True])
def test_messages_of_another_length_or_encoding_are_malformed(padded: bool) -> None:
    with pytest.raises(MalformedProofError, match="short"):
        channel_of(bytes(3 * ELEMENT_BYTES - 1), padded=padded).receive("values", 3)
    with pytest.raises(MalformedProofError, match="canonical"):
        channel_of(P.to_bytes(7, "little") + bytes(14), padded=padded).receive("value", 1)
    channel = channel_of(bytes(ELEMENT_BYTES + 1), padded=padded)
    channel.receive("value", 1)
    with pytest.raises(MalformedProofError, match="long"):
        channel.finish()


def test_challenges_depend_on_labels_and_elements() -> None:
    drawn = set()
    for label, element in (("a", ONE), ("b", ONE), ("a", ZERO)):
        channel = channel_of(encode_ext([element]), padded=False)
        channel.receive(label, 1)
        drawn.add(channel.draw("challenge"))
    assert len(drawn) == 3


def test_errors_add_up() -> None:
    channel = channel_of(b"", padded=True)
    channel.draw("none")
    assert channel.error == 0
    channel.draw("some", 3)
    channel.draw("more", 4)
    assert channel.error == pytest.approx(7 / P**3)
