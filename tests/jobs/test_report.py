"""Reports: one file that loads and runs nothing, with the numbers of the job."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from support.recording_keys import RecordingKeys, item_reals, new_job

from zkinfer.errors import InvalidInputError, ProvingError, ShapeError
from zkinfer.jobs import api
from zkinfer.jobs.job import manifest_file
from zkinfer.jobs.manifest import Manifest
from zkinfer.jobs.receipt import receipt_of
from zkinfer.jobs.report import OTHER, compare_outputs, phase_seconds, write_report
from zkinfer.jobs.report_page import MAX_ROWS, command, page
from zkinfer.jobs.sampled import commit_sample, prove_sample
from zkinfer.jobs.state import Announcement


class Page(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data + " "


@pytest.fixture
def job(tmp_path: Path) -> Path:
    keys, x = new_job(tmp_path, 100)
    api.run(tmp_path / "job", keys, x, batch_size=7)
    return tmp_path / "job"


def pictures(page: Page) -> int:
    """How many it holds."""
    return sum(tag == "svg" for tag, _ in page.tags)


def test_it_holds_its_pictures_and_runs_nothing(job: Path) -> None:
    page = Page(write_report(job))
    assert pictures(page) == 4
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "img", "image", "use"}
    assert not any(name.startswith("on") or name == "href" for _, attributes in page.tags for name in attributes)
    policy = next(attributes["content"] for tag, attributes in page.tags if "http-equiv" in attributes)
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def test_it_says_what_the_job_is(job: Path) -> None:
    text = Page(write_report(job)).text
    assert re.search(r"state\s+complete", text)
    assert "100, of which 100 are done, 0 failed" in text
    assert re.search(r"proofs\s+15, [\d.]+ (bytes|kB) together", text)
    assert receipt_of(Manifest.load(manifest_file(job))).hex() in text


def test_the_first_screen_is_for_people_who_decide(job: Path) -> None:
    text = " ".join(Page(write_report(job)).text.partition("Details")[0].split())
    assert "100 of 100 answers are proven: all of them." in text
    for part in (
        "model",
        "data 100 items in x.npy",
        "answers in the folder of the job: outputs.npy context",
        "context none",
        "finished 20",
        "receipt",
    ):
        assert part in text
    receipt = receipt_of(Manifest.load(manifest_file(job))).hex()
    assert f"zkinfer batch verify job model.zkc --inputs x.npy --receipt {receipt}" in text
    assert "the operator's word" in text


def test_the_first_screen_says_what_is_not_proven(tmp_path: Path) -> None:
    keys, _ = new_job(tmp_path, 1)
    x = item_reals(6)
    x[2] = np.nan
    np.save(tmp_path / "x's.npy", x)
    api.run(tmp_path / "job", keys, tmp_path / "x's.npy", batch_size=3, context=b"hex:\xff")
    text = " ".join(Page(write_report(tmp_path / "job")).text.split())
    assert "5 of 6 answers are proven, 1 not: the model cannot take its input." in text
    assert """--inputs 'x'"'"'s.npy' --context hex:6865783aff""" in text


def test_a_command_breaks_between_its_words_alone() -> None:
    """A browser would break a line after a hyphen, and what is copied would be another option."""
    shown = command(f"zkinfer batch verify-sample a&b --receipt {'0' * 64}")
    words = ("zkinfer", "batch", "verify-sample", "a&amp;b", "--receipt")
    assert shown == f"<p><code>{' '.join(f'<span>{word}</span>' for word in words)} {'0' * 64}</code></p>\n"
    assert "code span { white-space: nowrap; }" in page("title", "", [])


def test_a_sample_is_checked_with_the_rate_that_its_report_is_about(tmp_path: Path) -> None:
    keys, x = new_job(tmp_path, 40)
    commit_sample(tmp_path / "job", keys, x, batch_size=4, rate=0.25, confidence=0.9)
    prove_sample(tmp_path / "job", keys, x, b"a challenge drawn later, 32 bytes")
    text = " ".join(Page(write_report(tmp_path / "job")).text.split())
    assert " --rate 0.25 --receipt " in text
    assert "--rate is the rate of wrong answers that the checker asks about" in text


def test_it_has_styles_for_dark_screens_and_for_paper(job: Path) -> None:
    page = write_report(job).read_text()
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page


def test_reasons_are_text_and_not_markup(tmp_path: Path) -> None:
    class Broken(RecordingKeys):
        def prove(self, *args: object, **options: object) -> object:  # type: ignore[override]
            raise ProvingError("<script>alert(1)</script>")

    _, x = new_job(tmp_path, 4)
    api.run(tmp_path / "job", Broken(tmp_path / "keys"), x, batch_size=2)
    page = Page(write_report(tmp_path / "job"))
    assert page.text.count("<script>alert(1)</script>") == 2
    assert "script" not in {tag for tag, _ in page.tags}
    assert re.search(r"state\s+not complete", page.text)
    assert pictures(page) == 1, "the circuit alone"


def test_dead_letters_are_listed_as_far_as_there_is_room(tmp_path: Path) -> None:
    keys, _ = new_job(tmp_path, 1)
    x = item_reals(80)
    x[10:70] = np.nan
    np.save(tmp_path / "x.npy", x)
    api.run(tmp_path / "job", keys, tmp_path / "x.npy", batch_size=8)
    text = Page(write_report(tmp_path / "job")).text
    assert text.count("NaN or infinite") == MAX_ROWS
    assert "and 10 more" in text


def test_phases_add_up_to_the_time_of_all_proofs() -> None:
    def proof(seconds: float, **phases: float) -> Announcement:
        return Announcement(b"", 0, seconds, phases)

    found = phase_seconds([proof(3.0, execution=0.5, openings=2.0), proof(1.0, execution=0.25)])
    assert found == {"execution": 0.75, "openings": 2.0, OTHER: 1.25}


class TestAccuracy:
    """The outputs of the job are (n, -n) / 64 for item n."""

    def test_differences_from_float(self, job: Path) -> None:
        in_float = np.load(job / "outputs.npy")
        in_float[3, 0] += 0.5
        in_float[0] = [-1.0, 0.0]
        (accuracy,) = compare_outputs(job, [in_float])
        assert accuracy.largest == 1.0
        assert accuracy.mean == pytest.approx(1.5 / 200)
        assert accuracy.agreement == pytest.approx(0.99)
        page = Page(write_report(job, float_outputs=[in_float]))
        assert re.search(r"same largest entry\s+99% of the items", page.text)
        assert pictures(page) == 5

    def test_outputs_of_another_shape(self, job: Path) -> None:
        with pytest.raises(ShapeError, match=r"shape \(100, 2\); the float model's \(100, 3\)"):
            write_report(job, float_outputs=[np.zeros((100, 3))])

    def test_more_outputs_than_there_are(self, job: Path) -> None:
        with pytest.raises(InvalidInputError, match="no outputs"):
            write_report(job, float_outputs=[np.zeros((100, 2))] * 2)

    def test_nothing_but_dead_letters(self, tmp_path: Path) -> None:
        keys, _ = new_job(tmp_path, 1)
        np.save(tmp_path / "x.npy", np.full((3, 3), np.nan))
        api.run(tmp_path / "job", keys, tmp_path / "x.npy", batch_size=2)
        with pytest.raises(InvalidInputError, match="all items are dead letters"):
            write_report(tmp_path / "job", float_outputs=[np.zeros((3, 2))])
        write_report(tmp_path / "job")


def test_no_job_has_no_report(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / ("x" * 300)):
        with pytest.raises(InvalidInputError, match="holds no batch job"):
            write_report(folder)
