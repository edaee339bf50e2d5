"""A job's items, read from files in order and never all at once. A file in a store is copied to this machine's disk.

`.npy`         one array, items along its first axis; for models with one input
`.npz`         one array an input, by name
`.parquet`     one column an input, by name; a cell holds a number or nested lists
`.jsonl`       an item a line: an object with one field an input, or, for models with one input, its array

For a model with one input, a file with one array or column may name it as it likes; other columns and fields are not
looked at. Cells and fields may be flat lists, row-major. Nothing is ever unpickled.

A line that holds no item is an item that the circuit cannot take, whatever is wrong with it; a file that cannot be read
is an error.
"""

import contextlib
import io
import os
import re
import zipfile
from collections.abc import Iterator, Sequence
from typing import IO, Any, Protocol, TypeAlias

import msgspec
import numpy as np

from zkinfer.counts import counted
from zkinfer.errors import InvalidInputError, MissingDependencyError, ShapeError, ZkinferError
from zkinfer.extras import install
from zkinfer.files.artifact import one_line
from zkinfer.files.location import Location
from zkinfer.files.npy import check_length, open_member, read_header
from zkinfer.files.reading import open_regular
from zkinfer.jobs.items import ItemShapes
from zkinfer.typing import Array

Column: TypeAlias = Array | list[Any]
"""Some items' values of one input: an array with the items along its first axis, or whatever each item holds."""

Block: TypeAlias = list[Column]
"""Some items: one column an input, all equally long."""

MAX_LINE_BYTES = 1 << 26
MAX_DEPTH = 64
"""How deep the lists and objects of a line may be nested: more than any array has axes, and far less than any decoder
can follow, so that every machine and every worker says the same of a line."""

READ_BYTES = 1 << 20
PARQUET_ROWS = 1024
MAX_ROWS_PER_BYTE = 1 << 10
"""A Parquet file that claims more rows than this for each of its bytes is refused."""

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)


PathLike = str | os.PathLike[str]


def paths_of(inputs: PathLike | Sequence[PathLike]) -> list[Location]:
    """The files of items, where one or several were handed in."""
    return [Location(path) for path in ([inputs] if isinstance(inputs, (str, os.PathLike)) else inputs)]


class ItemReader(Protocol):
    """The items of one file, from first to last."""

    length: int

    def read(self, count: int) -> Block:
        """The next `count` items; there are as many."""
        ...

    def skip(self, count: int) -> None:
        """Go past the next `count` items; there are as many."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class Inputs:
    """The items of several files, one file after another.

    Attributes:
        length: how many there are.

    Raises:
        InvalidInputError: a file is missing, damaged, of another kind, or of shapes that the circuit does not take.
        MissingDependencyError: a Parquet file, and pyarrow is not installed.
    """

    def __init__(self, paths: Sequence[PathLike], shapes: ItemShapes) -> None:
        self._readers = [open_reader(path, shapes) for path in paths_of(paths)]
        self._left = [reader.length for reader in self._readers]
        self._position = 0
        self.length = sum(self._left)
        if not self.length:
            raise InvalidInputError(f"there are no items in {', '.join(map(str, paths)) or 'no files'}")

    def read(self, first: int, stop: int) -> list[Block]:
        """Items from `first` up to `stop`, in pieces of one file each; later calls have to ask for later items.

        Raises:
            InvalidInputError: a file is cut off, or changed while it was read.
        """
        if first < self._position:
            raise ValueError("items are read in increasing order")
        for reader, count in self._pieces(first - self._position):
            reader.skip(count)
        return [reader.read(count) for reader, count in self._pieces(stop - first)]

    def close(self) -> None:
        """Close the files."""
        for reader in self._readers:
            reader.close()

    def _pieces(self, count: int) -> Iterator[tuple[ItemReader, int]]:
        """How many of the next `count` items each file holds."""
        self._position += count
        for number, reader in enumerate(self._readers):
            here = min(count, self._left[number])
            if here:
                self._left[number] -= here
                count -= here
                yield reader, here


def open_reader(path: Location, shapes: ItemShapes) -> ItemReader:
    """The reader of a file, by its suffix.

    Raises:
        InvalidInputError, MissingDependencyError: see `Inputs`.
    """
    if not path.exists():
        raise InvalidInputError(f"there is no file {path}")
    match path.suffix.lower():
        case ".npy":
            return _Arrays([_open_npy(path)], shapes, [shapes.only(f"{path}: a .npy file")])
        case ".npz":
            return _open_npz(path, shapes)
        case ".parquet" | ".pq":
            return _Parquet(path, shapes)
        case ".jsonl" | ".ndjson":
            return _JsonLines(path, shapes)
        case suffix:
            raise InvalidInputError(
                f"{path}: items are read from .npy, .npz, .parquet and .jsonl files, not {suffix!r}: write them as "
                "one of these, for example with numpy.save"
            )


class _ArrayStream:
    """An array in NumPy's format, of which rows are read one after another."""

    def __init__(self, stream: IO[bytes], size: int, where: str) -> None:
        self._stream, self.where = stream, where
        header = read_header(stream, where)
        if not header.shape:
            raise ShapeError(f"{where}: a single number; items lie along the first axis")
        if header.fortran and len(header.shape) > 1:
            raise InvalidInputError(f"{where}: in Fortran order; save numpy.ascontiguousarray of the array")
        check_length(header, size, where)
        self.length, self.shape, self.dtype = header.shape[0], header.shape[1:], header.dtype
        self._row_bytes = header.nbytes // max(self.length, 1)

    def read(self, count: int) -> Array:
        data = _take(self._stream, count * self._row_bytes, self.where)
        return np.frombuffer(data, dtype=self.dtype).reshape(count, *self.shape)

    def skip(self, count: int) -> None:
        with _readable(self.where):
            self._stream.seek(count * self._row_bytes, io.SEEK_CUR)

    def close(self) -> None:
        self._stream.close()


class _Arrays:
    """One array an input."""

    def __init__(self, streams: Sequence[_ArrayStream], shapes: ItemShapes, order: Sequence[str]) -> None:
        self._streams = streams
        self.length = streams[0].length
        for stream, label in zip(streams, order, strict=True):
            if stream.shape != shapes.of[label]:
                raise ShapeError(
                    f"{stream.where}: items of shape {stream.shape}; input {label!r} takes {shapes.of[label]}"
                )
            if stream.length != self.length:
                raise ShapeError(f"{stream.where}: {counted(stream.length, 'item')}, another array has {self.length:,}")

    def read(self, count: int) -> Block:
        return [stream.read(count) for stream in self._streams]

    def skip(self, count: int) -> None:
        for stream in self._streams:
            stream.skip(count)

    def close(self) -> None:
        for stream in self._streams:
            stream.close()


class _JsonLines:
    """An item a line."""

    def __init__(self, path: Location, shapes: ItemShapes) -> None:
        self._where, self._shapes = str(path), shapes
        with _readable(self._where):
            self._stream = open_regular(path)
            self.length = _count_lines(self._stream)
            self._stream.seek(0)

    def read(self, count: int) -> Block:
        items = [self._item() for _ in range(count)]
        return [[item[position] for item in items] for position in range(len(self._shapes.of))]

    def skip(self, count: int) -> None:
        for _ in range(count):
            self._line()

    def close(self) -> None:
        self._stream.close()

    def _line(self) -> bytes:
        """The next line, or so much of it that it is seen to be too long; the rest of that is skipped."""
        with _readable(self._where):
            line = piece = self._stream.readline(MAX_LINE_BYTES + 1)
            while len(piece) > READ_BYTES and not piece.endswith(b"\n"):
                piece = self._stream.readline(READ_BYTES + 1)
        if not line:
            raise InvalidInputError(f"{self._where}: it became shorter while it was read")
        return line

    def _item(self) -> list[Any]:
        """What the next line holds for each input; where it holds nothing that can be read, an error in its place."""
        try:
            item = _decoded(self._line())
        except NoItemError as error:
            return [error] * len(self._shapes.of)
        if not isinstance(item, dict):
            item = {next(iter(self._shapes.of)): item} if len(self._shapes.of) == 1 else {}
        names = self._shapes.find(list(item))
        return [
            item[name] if name is not None else InvalidInputError(f"no field {label!r}")
            for label, name in zip(self._shapes.of, names, strict=True)
        ]


class NoItemError(InvalidInputError):
    """A line that holds no item."""


def _decoded(line: bytes) -> Any:
    """The JSON value of a line.

    Raises:
        NoItemError: it is too long or nested too deep, or no JSON.
    """
    if len(line) > MAX_LINE_BYTES:
        raise NoItemError(f"a line of more than {counted(MAX_LINE_BYTES, 'byte')} is not an item")
    if _depth(line) > MAX_DEPTH:
        raise NoItemError(f"lists within lists, more than {MAX_DEPTH} deep, are not an item")
    try:
        return msgspec.json.decode(line)
    except (msgspec.MsgspecError, ValueError) as error:
        raise NoItemError(f"not JSON: {error}") from None


def _depth(line: bytes) -> int:
    """How deep lists and objects are nested, at most; what is within strings does not count."""
    if line.count(b"[") + line.count(b"{") <= MAX_DEPTH:
        return 0
    marks = np.frombuffer(_STRING.sub(b"", line), dtype=np.uint8)
    opening, closing = ((marks == ord(a)) | (marks == ord(b)) for a, b in ("[{", "]}"))
    return int(np.cumsum(opening.astype(np.int8) - closing, dtype=np.int32).max(initial=0))


class _Parquet:
    """A row an item, read some rows at a time."""

    def __init__(self, path: Location, shapes: ItemShapes) -> None:
        try:
            from pyarrow import parquet
        except ModuleNotFoundError:
            raise MissingDependencyError(
                f"reading {path} needs pyarrow, which is not installed: {install('parquet')}"
            ) from None
        self._where = str(path)
        with _readable(self._where):
            self._stream = open_regular(path)
            size = os.fstat(self._stream.fileno()).st_size
        try:
            file = parquet.ParquetFile(self._stream)
            self.length = int(file.metadata.num_rows)
            present = [str(name) for name in file.schema_arrow.names]
        except Exception as error:  # damaged files raise errors of many kinds
            raise InvalidInputError(f"{path}: not a readable Parquet file: {one_line(error)}") from None
        if not 0 <= self.length <= MAX_ROWS_PER_BYTE * size:
            raise InvalidInputError(
                f"{path}: {counted(size, 'byte')} cannot hold the {counted(self.length, 'row')} that it claims"
            )
        found = shapes.find(present)
        columns = [name for name in found if name is not None]
        if len(columns) < len(found):
            raise InvalidInputError(f"{path}: columns {list(shapes.of)} are needed, it has {present}")
        if twice := [name for name in columns if present.count(name) > 1]:
            raise InvalidInputError(f"{path}: it has several columns named {twice[0]!r}")
        self._columns = columns
        self._batches = file.iter_batches(batch_size=PARQUET_ROWS, columns=columns)
        self._rows: Any = None

    def read(self, count: int) -> Block:
        pieces = [[self._cells(rows, name) for name in self._columns] for rows in self._take(count)]
        return [_joined(columns) for columns in zip(*pieces, strict=True)]

    def skip(self, count: int) -> None:
        for _ in self._take(count):
            pass

    def close(self) -> None:
        self._stream.close()

    def _cells(self, rows: Any, name: str) -> Column:
        try:
            return _cells(rows.column(name))
        except Exception as error:  # as above
            raise InvalidInputError(f"{self._where}: column {name!r} cannot be read: {one_line(error)}") from None

    def _take(self, count: int) -> Iterator[Any]:
        """The next rows, in pieces."""
        while count:
            if self._rows is None or not self._rows.num_rows:
                try:
                    self._rows = next(self._batches)
                except StopIteration:
                    raise InvalidInputError(f"{self._where}: it holds fewer rows than it says") from None
                except Exception as error:  # as above
                    raise InvalidInputError(f"{self._where}: cannot be read: {one_line(error)}") from None
            here = min(count, self._rows.num_rows)
            yield self._rows.slice(0, here)
            self._rows = self._rows.slice(here)
            count -= here


def _cells(column: Any) -> Column:
    """A column's cells: an array where all are numbers, or lists of equally many; else what Python makes of them."""
    from pyarrow import types

    width: int | None = None
    values = column
    if types.is_list(column.type) or types.is_large_list(column.type) or types.is_fixed_size_list(column.type):
        values, lengths = column.flatten(), set(column.value_lengths().to_pylist())
        width = lengths.pop() if len(lengths) == 1 else None
        if width is None:
            return list(column.to_pylist())
    if column.null_count or values.null_count or types.is_nested(values.type):
        return list(column.to_pylist())
    array = np.asarray(values.to_numpy(zero_copy_only=False))
    return array if width is None else array.reshape(len(column), width)


def _joined(columns: Sequence[Column]) -> Column:
    if len(columns) == 1:
        return columns[0]
    arrays = [column for column in columns if isinstance(column, np.ndarray)]
    if len(arrays) == len(columns) and len({array.shape[1:] for array in arrays}) == 1:
        return np.concatenate(arrays)
    return [cell for column in columns for cell in column]


def _open_npy(path: Location) -> _ArrayStream:
    with _readable(str(path)):
        stream = open_regular(path)
        return _ArrayStream(stream, os.fstat(stream.fileno()).st_size, str(path))


def _open_npz(path: Location, shapes: ItemShapes) -> ItemReader:
    with _readable(str(path)):
        archive = zipfile.ZipFile(open_regular(path))
        members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
        names = shapes.find(list(members))
        if None in names:
            raise InvalidInputError(f"{path}: arrays {list(shapes.of)} are needed, it has {list(members)[:20]}")
        streams = []
        for name in names:
            assert name is not None
            where = f"{path}, {name}"
            stream = open_member(archive, members[name], where)
            streams.append(_ArrayStream(stream, members[name].file_size, where))
        return _Arrays(streams, shapes, list(shapes.of))


@contextlib.contextmanager
def _readable(where: str) -> Iterator[None]:
    """Let what damaged files raise be an InvalidInputError that names the file."""
    try:
        yield
    except (ZkinferError, MemoryError):
        raise
    except Exception as error:  # damaged archives raise errors of many kinds
        raise InvalidInputError(
            f"{where}: cannot be read: {getattr(error, 'strerror', None) or one_line(error)}"
        ) from None


def _take(stream: IO[bytes], size: int, where: str) -> bytes:
    """Exactly so many bytes."""
    with _readable(where):
        data = stream.read(size)
    if len(data) != size:
        raise InvalidInputError(f"{where}: it became shorter while it was read")
    return data


def _count_lines(stream: IO[bytes]) -> int:
    """How many lines there are, a last one without its newline included."""
    count, last = 0, b"\n"
    while chunk := stream.read(READ_BYTES):
        count += chunk.count(b"\n")
        last = chunk[-1:]
    return count + (last != b"\n")
