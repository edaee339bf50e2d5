"""Commitments that were decoded before: to decode and validate a program takes a third of a verification."""

import threading
from collections import OrderedDict

from zkinfer.circuit.encoding import encoded_pieces
from zkinfer.files.commitment import Commitment

REMEMBERED = 4
"""The last so many commitments."""

LARGEST = 1 << 22
"""Bytes of a commitment's file and its program, unpacked, up to which it is remembered. In memory a program takes up to
28 times its bytes, which a stranger's file may not hold for longer than a call."""

_found: OrderedDict[bytes, Commitment] = OrderedDict()
_lock = threading.Lock()


def decoded(data: bytes) -> Commitment:
    """As `Commitment.from_bytes`; of the last files, whose bytes are compared in full, the commitment decoded then.

    It is for verifiers, who hand it to nobody, so that nobody can change it.

    Raises:
        MalformedCommitmentError: see there; nothing is remembered.
    """
    with _lock:
        found = _found.get(data)
        if found is not None:
            _found.move_to_end(data)
            return found
    found = Commitment.from_bytes(data)
    if len(data) + sum(map(len, encoded_pieces(found.program))) <= LARGEST:
        with _lock:
            _found[data] = found
            while len(_found) > REMEMBERED:
                _found.popitem(last=False)
    return found


def forget() -> None:
    """Forget all of them."""
    with _lock:
        _found.clear()
