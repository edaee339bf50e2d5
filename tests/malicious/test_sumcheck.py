"""Cheating sumcheck provers: honest but for one lie, and consistent with it afterwards.

Each is refused, and accepted once the one check that catches it is taken away, which shows that it is this check that
catches it. The coefficient of X^0 of a round never travels, so whatever a prover sends in a round, the rounds after it
go on from there as if it were true: a lie shows at the end.
"""

import random
from collections.abc import Callable

import pytest
from support.channels import Change, constants, prove_on_channel, unchanged, verify_on_channel
from support.plain_sumcheck import instance_sum, plain_witness

from zkinfer.errors import InvalidProofError
from zkinfer.protocol.channel import AffineForm, VerifierChannel
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, Ext, ext_add, ext_inv, ext_mul, ext_powers, ext_sub, mle
from zkinfer.protocol.sumcheck.params import Batch, Claim, Instance, Monomial
from zkinfer.protocol.sumcheck.protocol import FINAL_CHECK, run_sumcheck

RNG = random.Random(11)
FACTORS: list[list[Ext]] = [
    [(RNG.randrange(P), RNG.randrange(P), RNG.randrange(P)) for _ in range(8)] for _ in range(2)
]
BATCH = Batch((Instance(3, 2, (Monomial(ONE, (0, 1)),)),))
CLAIM = instance_sum(BATCH, BATCH.instances[0], FACTORS)
WRONG = ext_add(CLAIM, ONE)


def prove(claim: Ext = CLAIM, change: Change = unchanged) -> bytes:
    """The message of a prover who claims this sum and may change what it sends."""
    witness = plain_witness(BATCH, [FACTORS])
    message, _ = prove_on_channel(lambda c: run_sumcheck(BATCH, [AffineForm(claim)], c, witness), change=change)
    return message


def verified(message: bytes, claim: Ext) -> Claim:
    """The reduced claim; raises what the verifier raises."""
    (reduced,) = verify_on_channel(lambda c: run_sumcheck(BATCH, [AffineForm(claim)], c), message)
    return reduced


def is_true(claim: Claim) -> bool:
    """What opening the commitments to the factors would show."""
    return constants([claim]) == [(claim.point, tuple(mle(f, claim.point) for f in FACTORS))]


@pytest.fixture
def without_final_check(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def require_zero(self: VerifierChannel, check: str, form: AffineForm) -> None:
        assert check == FINAL_CHECK

    return lambda: monkeypatch.setattr(VerifierChannel, "require_zero", require_zero)


def test_an_honest_proof_is_accepted() -> None:
    assert is_true(verified(prove(), CLAIM))


def test_a_wrong_sum(without_final_check: Callable[[], None]) -> None:
    message = prove(WRONG)
    with pytest.raises(InvalidProofError, match=FINAL_CHECK):
        verified(message, WRONG)
    without_final_check()
    assert is_true(verified(message, WRONG))


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("coefficient", range(2))
def test_a_wrong_polynomial_in_one_round(
    number: int, coefficient: int, without_final_check: Callable[[], None]
) -> None:
    def change(message: int, label: str, values: list[Ext]) -> list[Ext]:
        if message == number:
            values[coefficient] = ext_add(values[coefficient], ONE)
        return values

    message = prove(change=change)
    with pytest.raises(InvalidProofError, match=FINAL_CHECK):
        verified(message, CLAIM)
    without_final_check()
    assert is_true(verified(message, CLAIM))


def test_a_wrong_sum_carried_into_the_evaluations() -> None:
    """A prover who fits the evaluations to a wrong sum passes the sumcheck, and is left with a false claim to open."""
    message = prove(change=fitted)
    with pytest.raises(InvalidProofError):
        verified(message, CLAIM)
    reduced = verified(message, WRONG)
    assert not is_true(reduced)


def fitted(message: int, label: str, values: list[Ext]) -> list[Ext]:
    """Evaluations that make the last check of the wrong sum hold.

    Honest rounds leave the target too large by WRONG - CLAIM = 1: each adds what it adds to the true one. The check is
    target = 2^3 f g.
    """
    if label != "sumcheck evaluations":
        return values
    f, g = values
    return [ext_add(f, ext_inv(ext_mul((8, 0, 0), g))), g]


def test_lies_that_cancel_in_a_batch_need_a_challenge_to_be_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two wrong sums, one too large and one too small by the same: without the batch challenge they cancel."""
    batch = Batch((BATCH.instances[0], BATCH.instances[0]))
    claims = [AffineForm(ext_add(CLAIM, ONE)), AffineForm(ext_sub(CLAIM, ONE))]

    def run() -> None:
        witness = plain_witness(batch, [FACTORS, FACTORS])
        message, _ = prove_on_channel(lambda channel: run_sumcheck(batch, claims, channel, witness))
        verify_on_channel(lambda channel: run_sumcheck(batch, claims, channel), message)

    with pytest.raises(InvalidProofError, match=FINAL_CHECK):
        run()
    monkeypatch.setattr(
        "zkinfer.protocol.sumcheck.protocol.ext_powers", lambda base, n: ext_powers(base if n > 2 else ONE, n)
    )
    run()
