"""Cheating sumcheck provers: honest but for one lie, and consistent with it afterwards.

Each is refused, and accepted once the one check that catches it is taken away, which shows that it is this check that
catches it. The coefficient of X^0 of a round never travels, so whatever a prover sends in a round, the rounds after it
go on from there as if it were true: a lie shows at the end.
"""

import random

import pytest

from zkinfer.errors import InvalidProofError
from zkinfer.protocol.channel import AffineForm, ProverChannel, VerifierChannel
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, ext_add, ext_inv, ext_mul, ext_sub, mle
from zkinfer.protocol.sumcheck import reference
from zkinfer.protocol.sumcheck.params import Batch, Instance, Monomial, powers
from zkinfer.protocol.sumcheck.verifier import FINAL_CHECK, verify
from zkinfer.protocol.transcript import Transcript

RNG = random.Random(11)
FACTORS = [[tuple(RNG.randrange(P) for _ in range(3)) for _ in range(8)] for _ in range(2)]
BATCH = Batch((Instance(3, 2, (Monomial(ONE, (0, 1)),)),))
CLAIM = reference.instance_sum(BATCH, BATCH.instances[0], FACTORS)
WRONG = ext_add(CLAIM, ONE)


class LyingChannel(ProverChannel):
    """Changes the values of one message before they are sent."""

    def __init__(self, message, change):
        super().__init__(Transcript(b"test"))
        self.message_number, self.change = message, change

    def send(self, label, values):
        if self.message_number == 0:
            values = self.change(list(values))
        self.message_number -= 1
        super().send(label, values)


def verified(message, claim):
    """The reduced claim; raises what the verifier raises."""
    channel = VerifierChannel(Transcript(b"test"), message)
    (reduced,) = verify(BATCH, [AffineForm(claim)], channel)
    channel.finish()
    return reduced


def is_true(claim):
    """What opening the commitments to the factors would show."""
    return tuple(v.constant for v in claim.values) == tuple(mle(f, claim.point) for f in FACTORS)


@pytest.fixture
def without_final_check(monkeypatch):
    def require_zero(self, check, value):
        assert check == FINAL_CHECK

    return lambda: monkeypatch.setattr(VerifierChannel, "require_zero", require_zero)


def test_an_honest_proof_is_accepted():
    channel = ProverChannel(Transcript(b"test"))
    reference.prove(BATCH, [FACTORS], channel)
    assert is_true(verified(channel.message, CLAIM))


def test_a_wrong_sum(without_final_check):
    channel = ProverChannel(Transcript(b"test"))
    reference.prove(BATCH, [FACTORS], channel)
    with pytest.raises(InvalidProofError, match=FINAL_CHECK):
        verified(channel.message, WRONG)
    without_final_check()
    assert is_true(verified(channel.message, WRONG))


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("coefficient", range(2))
def test_a_wrong_polynomial_in_one_round(number, coefficient, without_final_check):
    def change(values):
        values[coefficient] = ext_add(values[coefficient], ONE)
        return values

    channel = LyingChannel(number, change)
    reference.prove(BATCH, [FACTORS], channel)
    with pytest.raises(InvalidProofError, match=FINAL_CHECK):
        verified(channel.message, CLAIM)
    without_final_check()
    assert is_true(verified(channel.message, CLAIM))


def test_a_wrong_sum_carried_into_the_evaluations():
    """A prover who fits the evaluations to a wrong sum passes the sumcheck, and is left with a false claim to open."""
    channel = LyingChannel(3, fitted)
    reference.prove(BATCH, [FACTORS], channel)
    with pytest.raises(InvalidProofError):
        verified(channel.message, CLAIM)
    reduced = verified(channel.message, WRONG)
    assert not is_true(reduced)


def fitted(values):
    """Evaluations that make the last check of the wrong sum hold.

    Honest rounds leave the target too large by WRONG - CLAIM = 1: each adds what it adds to the true one. The check is
    target = 2^3 f g.
    """
    f, g = values
    return [ext_add(f, ext_inv(ext_mul((8, 0, 0), g))), g]


def test_lies_that_cancel_in_a_batch_need_a_challenge_to_be_caught(monkeypatch):
    """Two wrong sums, one too large and one too small by the same: without the batch challenge they cancel."""
    batch = Batch((BATCH.instances[0], BATCH.instances[0]))
    claims = [ext_add(CLAIM, ONE), ext_sub(CLAIM, ONE)]

    def run():
        prover = ProverChannel(Transcript(b"test"))
        reference.prove(batch, [FACTORS, FACTORS], prover)
        verifier = VerifierChannel(Transcript(b"test"), prover.message)
        verify(batch, [AffineForm(c) for c in claims], verifier)
        verifier.finish()

    with pytest.raises(InvalidProofError, match=FINAL_CHECK):
        run()
    for module in ("reference", "verifier"):
        monkeypatch.setattr(
            f"zkinfer.protocol.sumcheck.{module}.powers", lambda base, n: powers(base if n > 2 else ONE, n)
        )
    run()
