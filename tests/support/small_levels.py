"""Levels in openings that are small enough for plain Python: both verifiers send vectors of a few elements alone."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

from support.opening_prover import DOMAIN, Statement

from zkinfer.protocol.channel import ProverChannel, Writer
from zkinfer.protocol.pcs import levels
from zkinfer.protocol.pcs.params import Code, MatrixCommitment
from zkinfer.protocol.pcs.protocol import run_opening
from zkinfer.protocol.pcs.prover import MatrixWitness, commit
from zkinfer.protocol.randomness import Randomness
from zkinfer.protocol.transcript import Transcript
from zkinfer.verifier.reference import levels as reference


@contextmanager
def small_levels(sent: int = 8, unground: int = levels.UNGROUND_LENGTH) -> Iterator[None]:
    """Vectors of more elements are committed to: of 3 combinations of 32 elements, in two levels.

    Args:
        unground: log2 of the codewords whose folds need no work.
    """
    with ExitStack() as stack:
        for module in (levels, reference):
            stack.enter_context(patch.object(module, "MAX_SENT", sent))
            stack.enter_context(patch.object(module, "UNGROUND_LENGTH", unground))
        levels.choose_levels.cache_clear()
        stack.callback(levels.choose_levels.cache_clear)
        yield


def open_statement(
    statement: Statement,
    witness: type[MatrixWitness] = MatrixWitness,
    code: Code | None = None,
    seed: bytes | None = None,
) -> tuple[list[MatrixCommitment], bytes]:
    """Commitments to a statement's matrices, in its code or a wrong one, and their opening by such a witness.

    Args:
        seed: of the prover's randomness; by default fresh.
    """
    randomness = None if seed is None else Randomness(seed)
    arrays, code = statement.arrays(), code or statement.parameters.code
    masks = len(statement.groups) + 1
    matrices = [commit(code, array, masks * (i == len(arrays) - 1), randomness) for i, array in enumerate(arrays)]
    wire, own = Writer(), witness(statement.parameters, matrices)
    channel = ProverChannel(Transcript(DOMAIN), wire)
    # A prover that lies must not be stopped by its own check of the claims.
    channel.require_zero = lambda check, form: None  # type: ignore[method-assign]
    run_opening(statement.parameters, own.commitments, statement.groups, channel, wire, own)
    return own.commitments, wire.written
