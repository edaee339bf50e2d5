"""A process that checks batches: it is sent the setting, then one batch after another, and answers each.

python -m zkinfer.jobs.check_worker DESCRIPTOR
"""

import math
import sys
from collections.abc import Iterator
from contextlib import closing
from multiprocessing.connection import Connection

import msgspec

from zkinfer.errors import VerificationError, VerifierUnavailableError
from zkinfer.jobs.batch_checker import BatchChecker, Setting
from zkinfer.jobs.manifest import JobBatch
from zkinfer.jobs.processes import answer


def _kinds_of(error: type[VerificationError]) -> Iterator[type[VerificationError]]:
    """The class and all that are derived from it, at any depth."""
    yield error
    for kind in error.__subclasses__():
        yield from _kinds_of(kind)


_ERRORS = {error.__name__: error for error in _kinds_of(VerificationError)}


class BatchVerdict(msgspec.Struct, frozen=True, array_like=True):
    """What came of a batch.

    Attributes:
        error: name of the VerificationError that refuses it; empty where it is right.
        message: of that error.
        bits: forging its proof takes work of about 2**bits; infinite where there was nothing to prove.
        test_only: its proof can be forged by the maker of its reference string.
        weights_in_bounds: the commitment proves it of all weights; true where there was nothing to prove.
        clipped: how many values of the proven items' inputs became the nearest bound.
    """

    error: str
    message: str
    bits: float
    test_only: bool
    weights_in_bounds: bool
    clipped: int = 0

    def raise_error(self) -> None:
        """Do nothing if the batch is right.

        Raises:
            VerificationError: the one that refuses it.
        """
        if self.error:
            raise _ERRORS[self.error](self.message)


def judge(checker: BatchChecker, batch: JobBatch) -> BatchVerdict:
    """Check a batch."""
    try:
        result, clipped = checker.check(batch)
    except VerificationError as error:
        return refusal(error)
    except (MemoryError, RecursionError) as error:
        return refusal(VerifierUnavailableError(f"not enough memory or stack to verify ({type(error).__name__})"))
    if result is None:
        return BatchVerdict("", "", math.inf, False, True)
    return BatchVerdict("", "", result.security_bits, result.test_only, result.weights_in_bounds, clipped)


def refusal(error: VerificationError) -> BatchVerdict:
    """The verdict on a batch that is not."""
    return BatchVerdict(type(error).__name__, str(error), 0.0, False, False)


def serve(connection: Connection) -> None:
    """Answer until the other side closes."""
    setting = msgspec.msgpack.decode(connection.recv_bytes(), type=Setting)
    decoder = msgspec.msgpack.Decoder(JobBatch)
    try:
        checker = BatchChecker(setting)
    except VerificationError as error:
        connection.send_bytes(msgspec.msgpack.encode(refusal(error)))
        return
    with closing(checker):
        answer(connection, lambda message: msgspec.msgpack.encode(judge(checker, decoder.decode(message))))


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
