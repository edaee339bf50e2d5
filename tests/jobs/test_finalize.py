"""What the end of a job publishes, and what it leaves to the operator."""

from pathlib import Path

import numpy as np
import pytest
from support.recording_keys import RecordingKeys, item_reals

from zkinfer.jobs import api
from zkinfer.jobs.finalize import HIDDEN_REASON
from zkinfer.jobs.job import DEAD_LETTERS_FILE, STATE_FILE
from zkinfer.jobs.manifest import MANIFEST_FILE, Manifest
from zkinfer.jobs.report import write_report

SECRET = 98765.4321
DEAD = 4


@pytest.mark.parametrize("hidden", [True, False])
def test_a_dead_letter_of_hidden_inputs_is_published_without_its_values(tmp_path: Path, hidden: bool) -> None:
    """Its reason quotes them, which helps the operator."""
    x = item_reals(9)
    x[DEAD, 1] = SECRET
    np.save(tmp_path / "x.npy", x)
    job = tmp_path / "job"
    api.run(job, RecordingKeys(tmp_path / "keys"), tmp_path / "x.npy", batch_size=3, private_inputs=hidden)
    published, own = (job / MANIFEST_FILE).read_bytes(), (job / DEAD_LETTERS_FILE).read_bytes()
    assert b"98765" in own
    assert (b"98765" in published) != hidden
    (letter,) = Manifest.load(job / MANIFEST_FILE).dead_letters
    assert letter.index == DEAD
    assert (letter.reason == HIDDEN_REASON) == hidden


def test_only_the_operator_reads_what_quotes_values(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", item_reals(9))
    job = tmp_path / "job"
    api.run(job, RecordingKeys(tmp_path / "keys"), tmp_path / "x.npy", batch_size=3)
    for path in (job / DEAD_LETTERS_FILE, job / STATE_FILE, write_report(job)):
        assert path.stat().st_mode & 0o077 == 0, path.name
    assert (job / MANIFEST_FILE).stat().st_mode & 0o044
