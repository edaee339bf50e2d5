"""Where a file is: paths stay paths, URLs stay URLs, and what a `pathlib.Path` makes of a URL is refused."""

from pathlib import Path

import pytest

from zkinfer.arguments import as_path
from zkinfer.errors import ArtifactError, InvalidInputError
from zkinfer.files.location import Location


@pytest.mark.parametrize(
    "text", ["model.zkc", "/tmp/a:b/model.zkc", "c:/model.zkc", "a/s3://b", "~x", "a b?", ":/x", ""]
)
def test_a_path_is_a_path(text: str) -> None:
    assert Location(text).path == Path(text)
    assert str(Location(text)) == text


@pytest.mark.parametrize("text", ["s3://bucket/a/model.zkc", "memory://model.zkc", "https://host/model.zkc?x=1"])
def test_a_url_stays_as_it_is(text: str) -> None:
    place = Location(text)
    assert place.path is None
    assert str(place) == text
    assert Location(place) == place


def test_parts_of_a_name() -> None:
    for text in ("s3://bucket/a/model.v2.zkc", "a/model.v2.zkc"):
        assert (Location(text).name, Location(text).suffix) == ("model.v2.zkc", ".zkc")


def test_a_file_url_is_a_path(tmp_path: Path) -> None:
    (tmp_path / "a b").write_bytes(b"123")
    for place in (Location((tmp_path / "a b").as_uri()), Location(f"file://localhost{tmp_path}/a%20b")):
        assert place.path == tmp_path / "a b"
        assert str(place) == str(tmp_path / "a b")
        assert place.exists()
        assert place.size() == 3
    assert not Location((tmp_path / "none").as_uri()).exists()


def test_a_local_url_is_a_path_too(tmp_path: Path) -> None:
    """Otherwise links within a stranger's folder would lead out of it."""
    assert Location(f"local://{tmp_path}/model.onnx").path == tmp_path / "model.onnx"


def test_a_file_url_of_another_machine_is_refused() -> None:
    with pytest.raises(ArtifactError, match="another machine, elsewhere"):
        Location("file://elsewhere/model.zkc")


def test_a_url_that_lost_a_slash_is_refused() -> None:
    with pytest.raises(ArtifactError, match="hand in the text, s3://"):
        Location(Path("s3://bucket/model.zkc"))


def test_a_folder_whose_name_looks_like_a_url_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data:").mkdir()
    assert Location("data:/x").path == Path("data:/x")


@pytest.mark.parametrize("folder", ["s3://bucket/keys", Path("s3://bucket/keys"), "file:///tmp/keys"])
def test_folders_are_of_this_machine(folder: str | Path) -> None:
    with pytest.raises(InvalidInputError, match="is a path of this machine"):
        as_path("folder", folder)


def test_a_name_that_no_disk_has_is_refused() -> None:
    with pytest.raises(ArtifactError, match="cannot read x"):
        Location("x" * 5000).exists()
    assert not Location("x" * 5000).is_folder()


def test_folders_are_told_from_files(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert [Location(place).is_folder() for place in (tmp_path, tmp_path / "file", "memory://x")] == [
        True,
        False,
        False,
    ]


def test_a_missing_file_has_no_size(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="No such file"):
        Location(tmp_path / "none").size()
