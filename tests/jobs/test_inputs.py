"""Reading items from every kind of file: the same items, in order, never unpickled, and clear words about bad files."""

import inspect
import itertools
import json
import os
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.example_programs import mlp

from zkinfer.circuit.program import Tensor
from zkinfer.circuit.qformat import dequantize, quantize
from zkinfer.errors import InvalidInputError, MissingDependencyError, ShapeError
from zkinfer.jobs import inputs as inputs_module
from zkinfer.jobs.inputs import Inputs
from zkinfer.jobs.items import ItemShapes, as_runs, quantize_items

ONE_INPUT = ItemShapes(mlp().program)
X = np.arange(30, dtype=np.float32).reshape(10, 3)


def program_of(*tensors: Tensor, output: tuple[int, ...] = (1, 1)) -> Any:
    """As much of a program as its items need."""
    return SimpleNamespace(inputs=tensors, output_tensors=(Tensor("y", output, 0, -1, 1),))


TWO_INPUTS = ItemShapes(program_of(Tensor("left", (1, 2, 2), 0, -9, 9), Tensor("right", (1,), 0, -9, 9)))
LEFT, RIGHT = np.arange(20).reshape(5, 2, 2), np.arange(5)


def values(inputs: Inputs, first: int, stop: int) -> list[list[Any]]:
    """The items read, as nested lists: one list an input."""
    blocks = inputs.read(first, stop)
    return [[np.asarray(item).tolist() for block in blocks for item in block[i]] for i in range(len(blocks[0]))]


def as_npy(folder: Path) -> Path:
    np.save(folder / "x.npy", X)
    return folder / "x.npy"


def as_npz(folder: Path) -> Path:
    np.savez(folder / "x.npz", anything=X)
    return folder / "x.npz"


def as_compressed_npz(folder: Path) -> Path:
    np.savez_compressed(folder / "x.npz", x=X, ignored=X)
    return folder / "x.npz"


def as_bare_lines(folder: Path) -> Path:
    (folder / "x.jsonl").write_text("\n".join(json.dumps(row) for row in X.tolist()))
    return folder / "x.jsonl"


def as_objects(folder: Path) -> Path:
    (folder / "x.jsonl").write_text("".join(json.dumps({"id": 7, "x": row}) + "\n" for row in X.tolist()))
    return folder / "x.jsonl"


def as_parquet(folder: Path) -> Path:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"id": range(10), "x": X.tolist()}), folder / "x.parquet", row_group_size=4)
    return folder / "x.parquet"


KINDS = (as_npy, as_npz, as_compressed_npz, as_bare_lines, as_objects, as_parquet)


@pytest.mark.parametrize("write", KINDS)
def test_every_kind_of_file_holds_the_same_items(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    inputs = Inputs([write(tmp_path)], ONE_INPUT)
    assert inputs.length == 10
    assert values(inputs, 0, 3) == [X[:3].tolist()]
    assert values(inputs, 5, 10) == [X[5:].tolist()]
    inputs.close()


@given(cuts=st.sets(st.integers(0, 20)))
def test_items_are_numbered_through_several_files(tmp_path_factory: pytest.TempPathFactory, cuts: set[int]) -> None:
    folder = tmp_path_factory.mktemp("files")
    inputs = Inputs([as_npy(folder), as_bare_lines(folder)], ONE_INPUT)
    both = np.concatenate([X, X]).tolist()
    ends = sorted(cuts)
    for first, stop in itertools.pairwise(ends):
        assert values(inputs, first, stop) == [both[first:stop]]
    inputs.close()


def test_items_are_read_forwards_only(tmp_path: Path) -> None:
    inputs = Inputs([as_npy(tmp_path)], ONE_INPUT)
    inputs.read(0, 5)
    with pytest.raises(ValueError, match="increasing order"):
        inputs.read(4, 6)


def test_several_inputs_are_found_by_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", right=RIGHT, left=LEFT)
    (tmp_path / "b.jsonl").write_text('{"right": 1, "left": [1, 2, 3, 4]}\n')
    inputs = Inputs([tmp_path / "a.npz", tmp_path / "b.jsonl"], TWO_INPUTS)
    assert values(inputs, 4, 6) == [[LEFT[4].tolist(), [1, 2, 3, 4]], [4, 1]]


def test_parquet_cells_may_be_numbers_nested_lists_and_missing(tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = arrow.table({"left": [[[1, 2], [3, 4]], None, [[5, 6], [7, 8]]], "right": [1, 2, None]})
    parquet.write_table(table, tmp_path / "x.parquet")
    read = Inputs([tmp_path / "x.parquet"], TWO_INPUTS).read(0, 3)
    program = program_of(Tensor("left", (1, 2, 2), 0, -9, 9), Tensor("right", (1,), 0, -9, 9))
    integers, reasons, _ = quantize_items(read[0], program, saturate=False)
    assert integers[0].tolist() == [[[1, 2], [3, 4]]]
    assert integers[1].tolist() == [1]
    assert sorted(reasons) == [1, 2]


def test_without_pyarrow_parquet_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(MissingDependencyError, match=r"zkinfer\[parquet\]"):
        Inputs([tmp_path / "x.parquet"], ONE_INPUT)


class Unpickled:
    """Notices when it is."""

    def __reduce__(self) -> Any:
        return (pytest.fail, ("unpickled",))


def damaged(name: str, data: bytes | None = None) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        good = as_npy(folder).read_bytes()
        (folder / name).write_bytes(good[:-4] if data is None else data)
        return folder / name

    return write


def with_objects(folder: Path) -> Path:
    np.save(folder / "o.npy", np.array([Unpickled()] * 3, dtype=object), allow_pickle=True)
    return folder / "o.npy"


def in_fortran_order(folder: Path) -> Path:
    np.save(folder / "f.npy", np.asfortranarray(X))
    return folder / "f.npy"


def of_other_shape(folder: Path) -> Path:
    np.save(folder / "s.npy", X[:, :2])
    return folder / "s.npy"


def damaged_member(folder: Path) -> Path:
    path = as_npz(folder)
    data = bytearray(path.read_bytes())
    data[250] ^= 1
    path.write_bytes(bytes(data))
    return path


@pytest.mark.parametrize(
    ("write", "complaint"),
    [
        (lambda folder: folder / "missing.npy", "no file"),
        (damaged("x.csv"), "not '.csv'"),
        (damaged("x2.npy"), "cut off or was edited"),
        (damaged("x2.npy", b"\x93NUMPY\x09\x00"), "not an array in NumPy's format"),
        (damaged("x2.npy", b""), "not an array in NumPy's format"),
        (damaged("x2.npz"), "cannot be read"),
        (damaged("x.jsonl", b""), "no items"),
        (with_objects, "Python objects"),
        (in_fortran_order, "Fortran order"),
        (of_other_shape, r"items of shape \(2,\); input 'x' takes \(3,\)"),
    ],
)
def test_a_bad_file_is_refused_before_anything_is_proven(
    tmp_path: Path, write: Callable[[Path], Path], complaint: str
) -> None:
    with pytest.raises(InvalidInputError, match=complaint):
        Inputs([write(tmp_path)], ONE_INPUT)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".jsonl", ".parquet"])
def test_a_pipe_is_no_file_of_items(tmp_path: Path, suffix: str) -> None:
    """Opening it would wait for a writer, for ever."""
    path = tmp_path / f"x{suffix}"
    os.mkfifo(path)
    with pytest.raises(InvalidInputError, match="not a regular file"):
        Inputs([path], ONE_INPUT)


NO_ITEMS = {
    "nested too deep": b"[" * 10_000 + b"]" * 10_000,
    "nested too deep in a field that is not looked at": b'{"x": [1, 2, 3], "id": ' + b"[" * 700 + b"]" * 700 + b"}",
    "objects": b'{"x":' * 10_000 + b"1" + b"}" * 10_000,
    "no end": b"[" * 10_000,
    "a huge number": b"[" + b"9" * 10_000 + b", 1, 1]",
    "no JSON": b"[1, 2",
    "no UTF-8": b'"\xff"',
    "a zero byte": b"\0",
    "nothing": b"",
    "axes": b"[" * 64 + b"1" + b"]" * 64,
}


@pytest.mark.parametrize("line", NO_ITEMS.values(), ids=NO_ITEMS.keys())
def test_a_line_that_is_no_item_is_a_dead_letter_and_no_other(line: bytes, tmp_path: Path) -> None:
    """Whatever a line holds, the ones before and after it are items, on every stack."""
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"[1, 1, 1]\n" + line + b"\n[1, 1, 1]\n")
    deep = 300 + len(inspect.stack())

    def read(depth: int) -> set[int]:
        if depth < deep:
            return read(depth + 1)
        with closing(Inputs([path], ONE_INPUT)) as inputs:
            _, reasons, _ = quantize_items(inputs.read(0, 3)[0], mlp().program, saturate=False)
        return set(reasons)

    assert read(deep) == read(0) == {1}


def test_brackets_in_text_are_no_lists(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"id": '"\\' + "[" * 1000, "x": [1, 2, 3]}))
    assert values(Inputs([path], ONE_INPUT), 0, 1) == [[[1, 2, 3]]]


def test_a_line_that_is_too_long_is_a_dead_letter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs_module, "MAX_LINE_BYTES", 1 << 12)
    monkeypatch.setattr(inputs_module, "READ_BYTES", 1 << 10)
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"[1, 1, 1]\n" + b" " * 100_000 + b"\n[1, 0, 1]\n" + b" " * (1 << 12) + b"\n")
    with closing(Inputs([path], ONE_INPUT)) as inputs:
        _, reasons, _ = quantize_items(inputs.read(0, 4)[0], mlp().program, saturate=False)
    assert set(reasons) == {1, 3}
    assert "more than 4,096 bytes" in reasons[1]
    with closing(Inputs([path], ONE_INPUT)) as inputs:
        assert values(inputs, 2, 3) == [[[1, 0, 1]]]


def test_a_parquet_file_with_a_column_twice_is_refused(tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = arrow.Table.from_arrays([arrow.array(X.tolist())] * 2, names=["x", "x"])
    parquet.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(InvalidInputError, match="several columns named 'x'"):
        Inputs([tmp_path / "x.parquet"], ONE_INPUT)


def test_a_parquet_file_that_claims_more_rows_than_it_can_hold_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = as_parquet(tmp_path)
    monkeypatch.setattr(inputs_module, "MAX_ROWS_PER_BYTE", 0)
    with pytest.raises(InvalidInputError, match="cannot hold the 10 rows"):
        Inputs([path], ONE_INPUT)


def test_a_bad_parquet_file_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    with pytest.raises(InvalidInputError, match="not a readable Parquet"):
        Inputs([damaged("x.parquet")(tmp_path)], ONE_INPUT)
    with pytest.raises(InvalidInputError, match="columns"):
        Inputs([as_parquet(tmp_path)], TWO_INPUTS)


def test_damage_inside_an_archive_is_found(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"x\.npz: cannot be read"):
        Inputs([damaged_member(tmp_path)], ONE_INPUT).read(0, 10)


def test_a_file_that_shrinks_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.zeros((50_000, 3)))
    inputs = Inputs([path], ONE_INPUT)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InvalidInputError, match="shorter"):
        inputs.read(0, 50_000)


def test_an_archive_bomb_is_not_unpacked(tmp_path: Path) -> None:
    """Opening reads headers; reading, no more than the items asked for."""
    with (
        zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("x.npy", "w") as member,
    ):
        np.lib.format.write_array_header_1_0(member, {"descr": "<f8", "fortran_order": False, "shape": (1 << 20, 3)})
        for _ in range(24):
            member.write(bytes(1 << 20))
    inputs = Inputs([tmp_path / "x.npz"], ONE_INPUT)
    assert inputs.length == 1 << 20
    assert values(inputs, 1 << 19, (1 << 19) + 2) == [[[0, 0, 0], [0, 0, 0]]]


def test_poisoned_items_are_found_one_by_one() -> None:
    program = mlp().program
    good = dequantize(mlp().x, program.inputs[0])[0].tolist()
    column = [
        good,
        [1, 2],
        [float("nan"), 0, 0],
        "text",
        good,
        [1e9, 0, 0],
        None,
        [[0], [0], [0]],
        InvalidInputError("no JSON"),
    ]
    integers, reasons, _ = quantize_items([column], program, saturate=False)
    assert integers[0].tolist() == [mlp().x[0].tolist()] * 2
    assert sorted(reasons) == [1, 2, 3, 5, 6, 7, 8]
    assert "shape (3,), got (2,)" in reasons[1]
    assert "NaN" in reasons[2]
    assert "takes values from" in reasons[5]
    assert reasons[8] == "no JSON"
    assert all("\n" not in reason for reason in reasons.values())


def test_clean_items_are_quantized_at_once_and_alike() -> None:
    program = mlp().program
    x = np.linspace(-1, 1, 30).reshape(10, 3)
    at_once, _, _ = quantize_items([x], program, saturate=False)
    one_by_one, reasons, _ = quantize_items([[*x.tolist(), []]], program, saturate=False)
    assert at_once[0].tolist() == one_by_one[0].tolist() == quantize(x, program.inputs[0]).tolist()
    assert sorted(reasons) == [10]


def test_saturating_takes_what_lies_beyond_the_range_but_no_nan() -> None:
    _, reasons, clipped = quantize_items([[[9e9, 0, -9e9], [float("nan"), 9e9, 0]]], mlp().program, saturate=True)
    assert sorted(reasons) == [1]
    assert clipped == 2, "of the items that are proven"


def test_values_that_become_the_nearest_bound_are_counted() -> None:
    x = np.array([[9e9, 0, 0], [0, -9e9, 9e9], [0, 0, 0]])
    assert quantize_items([x], mlp().program, saturate=True).clipped == 3
    assert quantize_items([np.zeros((2, 3))], mlp().program, saturate=True).clipped == 0


def test_a_last_run_is_filled_from_the_front() -> None:
    program = program_of(Tensor("x", (2, 3), 0, -9, 9), output=(2, 1))
    runs = as_runs([np.arange(9).reshape(3, 3)], program)
    assert runs[0].tolist() == [[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [0, 1, 2]]]


def test_a_tensor_of_a_whole_batch_belongs_to_no_item() -> None:
    with pytest.raises(InvalidInputError, match="belongs to no single item"):
        ItemShapes(program_of(Tensor("x", (2, 3), 0, -9, 9), output=(1,)))


def test_one_array_is_not_enough_for_two_inputs(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"use \.npz"):
        Inputs([as_npy(tmp_path)], TWO_INPUTS)
    np.savez(tmp_path / "a.npz", left=LEFT)
    with pytest.raises(InvalidInputError, match="are needed"):
        Inputs([tmp_path / "a.npz"], TWO_INPUTS)
    np.savez(tmp_path / "b.npz", left=LEFT, right=RIGHT[:-1])
    with pytest.raises(ShapeError, match="another array has"):
        Inputs([tmp_path / "b.npz"], TWO_INPUTS)
