"""Digests of what is large: on all processors, and on one in a process that was forked.

BLAKE3's threads do not survive a fork: a child that called on them would wait for ever.
"""

import os

from blake3 import blake3

_threads = blake3.AUTO


def _forked() -> None:
    global _threads
    _threads = 1


os.register_at_fork(after_in_child=_forked)


def parallel_hasher() -> blake3:
    """A hasher that may use all processors, where that is safe."""
    return blake3(max_threads=_threads)


def file_digest(path: str | os.PathLike[str]) -> bytes:
    """The 32 bytes of BLAKE3 of a file, which is mapped and not read into memory.

    Raises:
        OSError: there is no such file, or it cannot be read.
    """
    digest: bytes = parallel_hasher().update_mmap(path).digest()
    return digest
