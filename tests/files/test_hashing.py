"""Digests of files are BLAKE3's, also where its threads are gone."""

import os
from pathlib import Path

import pytest
from blake3 import blake3

from zkinfer.files.hashing import file_digest, parallel_hasher

LARGE = bytes(range(256)) * (1 << 14)
"""Enough for more than one thread."""


def test_a_digest_is_that_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(LARGE)
    assert file_digest(tmp_path / "file") == parallel_hasher().update(LARGE).digest() == blake3(LARGE).digest()


def test_a_missing_file_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        file_digest(tmp_path / "missing")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Python warns of a fork beside threads: that is the point
def test_a_forked_process_does_not_wait_for_threads_that_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(LARGE)
    file_digest(tmp_path / "file")
    child = os.fork()
    if not child:
        os._exit(0 if file_digest(tmp_path / "file") == blake3(LARGE).digest() else 1)
    assert os.waitpid(child, 0)[1] == 0
