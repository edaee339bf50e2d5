"""Hostile models: named errors, and no memory but for what their bytes hold."""

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest

from zkinfer.compiler.onnx import read
from zkinfer.compiler.onnx.read import read_model
from zkinfer.errors import InvalidInputError
from zkinfer.files.artifact import write_atomically


def model(**external: str) -> onnx.ModelProto:
    """A model whose weights are said to be in another file."""
    weights = onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, (3, 2), np.zeros(6, np.float32).tobytes(), raw=True)
    weights.ClearField("raw_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    for key, value in external.items():
        entry = weights.external_data.add()
        entry.key, entry.value = key, value
    nodes = [onnx.helper.make_node("MatMul", ["x", "w"], ["y"])]
    ends = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, s) for n, s in (("x", (1, 3)), ("y", (1, 2)))]
    graph = onnx.helper.make_graph(nodes, "g", ends[:1], ends[1:], [weights])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)])


def saved(folder: Path, proto: onnx.ModelProto) -> Path:
    (folder / "model.onnx").write_bytes(proto.SerializeToString())
    return folder / "model.onnx"


@pytest.mark.parametrize("name", ["weights.pt", "weights.pth", "weights"])
def test_a_file_of_torch_is_no_model(name: str, tmp_path: Path) -> None:
    """By its name, or by the record that torch.save writes first."""
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        archive.writestr("weights/data.pkl", b"never unpickled")
    with pytest.raises(InvalidInputError, match=rf"{name}: a file of torch, .*load_state_dict.* hand in the module"):
        read_model(tmp_path / name)


def test_a_pipe_is_no_model(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.onnx")
    with pytest.raises(InvalidInputError, match="not a regular file"):
        read_model(tmp_path / "model.onnx")


@pytest.mark.parametrize("location", ["nul\0byte", "x" * 5000, "", ".", "/dev/zero", "pipe"])
def test_a_location_that_is_no_file_in_the_folder_is_refused(tmp_path: Path, location: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidInputError, match="not a file within"):
        read_model(saved(tmp_path, model(location=location)))


@pytest.mark.parametrize(
    "place",
    [
        {"length": str(1 << 50)},
        {"offset": "25"},
        {"offset": "-8"},
        {"length": "-1"},
        {"length": "six"},
        {"offset": "1"},
    ],
    ids=str,
)
def test_bytes_that_the_file_does_not_hold_are_not_read(tmp_path: Path, place: dict[str, str]) -> None:
    (tmp_path / "w").write_bytes(bytes(24))
    with pytest.raises(InvalidInputError, match="'w'"):
        read_model(saved(tmp_path, model(location="w", **({"length": "24"} | place))))


def test_many_tensors_of_one_file_are_as_large_as_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short model may name a file of gigabytes a thousand times."""
    (tmp_path / "w").write_bytes(bytes(24))
    proto = model(location="w")
    proto.graph.initializer.extend([proto.graph.initializer[0]] * 100)
    path = saved(tmp_path, proto)
    assert len(read_model(path).graph.initializer) == 101
    monkeypatch.setattr(read, "MAX_MODEL_BYTES", 100 * 24)
    monkeypatch.setattr(read, "read_bounded", lambda path, **_: Path(path).read_bytes())
    with pytest.raises(InvalidInputError, match="more than 2,400 bytes"):
        read_model(path)


class TestInStore:
    """A model by its URL, and its other files beside it."""

    @pytest.fixture
    def folder(self) -> Iterator[str]:
        pytest.importorskip("fsspec")
        from support.memory_store import memory_folder

        with memory_folder() as folder:
            yield folder

    def test_is_the_model(self, folder: str, tmp_path: Path) -> None:
        proto = model(location="deep/w.bin", length="24", offset="4")
        weights = np.arange(6, dtype=np.float32).reshape(3, 2)
        write_atomically(f"{folder}/model.onnx", proto.SerializeToString())
        write_atomically(f"{folder}/deep/w.bin", b"head" + weights.tobytes())
        (found,) = read_model(f"{folder}/model.onnx").graph.initializer
        assert np.array_equal(onnx.numpy_helper.to_array(found), weights)

    @pytest.mark.parametrize("location", ["../w", "/w", "memory://w", "a//w", "nul\0", "", "."])
    def test_other_files_lie_beside_it(self, folder: str, location: str) -> None:
        write_atomically(f"{folder}/in/model.onnx", model(location=location).SerializeToString())
        write_atomically(f"{folder}/w", bytes(24))
        with pytest.raises(InvalidInputError, match="not beside it"):
            read_model(f"{folder}/in/model.onnx")

    def test_other_files_are_bounded(self, folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
        write_atomically(f"{folder}/model.onnx", model(location="w").SerializeToString())
        write_atomically(f"{folder}/w", bytes(24))
        monkeypatch.setattr(read, "open_regular", lambda _: pytest.fail("read before its size was known"))
        monkeypatch.setattr(read, "MAX_MODEL_BYTES", 23)
        monkeypatch.setattr(read, "read_bounded", lambda *_, **__: model(location="w").SerializeToString())
        with pytest.raises(InvalidInputError, match="more than 23 bytes"):
            read_model(f"{folder}/model.onnx")
