"""The state of a job, in SQLite: which batches are waiting, being proven, proven, or failed.

A batch passes through waiting -> leased -> (announced) -> done, or failed. In a sampled job all batches are executed
first, and wait once a challenge picks them. A proof is announced with its digest and
durably before its file is written, and done once it is: whatever moment the power goes, `recover` tells from the
announcement and the file which of the two happened, so that no proof that exists is made again and none is believed
that does not. Batches are appended as they are first leased, so that their sizes can be chosen as the job goes; those
of a sampled job are recorded all at once, with the digests that the job commits to.
"""

import os
import sqlite3
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import msgspec
from blake3 import blake3

from zkinfer.errors import ArtifactError, InvalidInputError, ResourceError
from zkinfer.files.artifact import writing
from zkinfer.files.budget import sync_folder
from zkinfer.jobs.job import STATE_FILE, InputFile, Job, describe_missing, proof_name, proofs_folder
from zkinfer.jobs.manifest import DeadLetter, JobBatch

BUSY_SECONDS = 30.0

_SCHEMA = """
CREATE TABLE job (one INTEGER PRIMARY KEY CHECK (one = 1), description BLOB NOT NULL);
CREATE TABLE batches (
    first INTEGER PRIMARY KEY,
    stop INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('executed', 'waiting', 'leased', 'done', 'failed')),
    attempts INTEGER NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '',
    input_digests BLOB NOT NULL DEFAULT x'',
    output_digests BLOB NOT NULL DEFAULT x'',
    proof_digest BLOB NOT NULL DEFAULT x'',
    proof_bytes INTEGER NOT NULL DEFAULT 0,
    seconds REAL NOT NULL DEFAULT 0,
    phases BLOB NOT NULL DEFAULT x''
);
CREATE INDEX unfinished ON batches (first) WHERE status <> 'done';
CREATE TABLE dead (item INTEGER PRIMARY KEY, reason TEXT NOT NULL);
CREATE TABLE sample (one INTEGER PRIMARY KEY CHECK (one = 1), size INTEGER NOT NULL, challenge BLOB, rate REAL);
"""


@dataclass(frozen=True)
class Announcement:
    """A proof that is about to be written.

    Attributes:
        proof_digest: BLAKE3 of the file.
        proof_bytes: its size.
        seconds: how long proving took.
        phases: of these, seconds by the name of the part.
    """

    proof_digest: bytes
    proof_bytes: int
    seconds: float
    phases: Mapping[str, float]


@dataclass(frozen=True)
class Row:
    """A batch as it stands.

    Attributes:
        first, stop: its items.
        status: "executed" (of a sampled job, and not picked), "waiting", "leased", "done" or "failed".
        attempts: how often it was leased.
        reason: of the last failure.
        digests: of its items' inputs and outputs, as in `manifest.JobBatch`: those that a sampled job committed to,
            or of the announced proof; empty before there are any.
        announced: the proof; None before there is one, and where all items are dead letters.
    """

    first: int
    stop: int
    status: str
    attempts: int
    reason: str
    digests: tuple[bytes, bytes]
    announced: Announcement | None


@dataclass(frozen=True)
class SampleState:
    """How far a sampled job is, all of whose outputs are committed to.

    Attributes:
        size: how many batches are to be proven.
        challenge: that picked them; empty until there is one.
        rate: of wrong outputs, that the manifest states the probability for.
    """

    size: int
    challenge: bytes
    rate: float


@dataclass(frozen=True)
class JobCounts:
    """Where a job stands.

    Attributes:
        items: of the job, but for those of batches that were executed only.
        done: items of batches that are done, dead letters included.
        dead: dead letters found so far.
        failed: items of batches that failed.
        batches_done, batches_failed, batches_leased: batches.
        retries: leases beyond the first, of all batches.
        proof_bytes: size of all proofs.
        prove_seconds: time of all proofs, summed over workers.
        executed: in a sampled job, items of batches that were executed and committed to, and not picked.
        executed_dead: of these, dead letters.
    """

    items: int
    done: int
    dead: int
    failed: int
    batches_done: int
    batches_failed: int
    batches_leased: int
    retries: int
    proof_bytes: int
    prove_seconds: float
    executed: int = 0
    executed_dead: int = 0

    @property
    def proven(self) -> int:
        """How many items a proof covers."""
        return self.done - (self.dead - self.executed_dead)

    @property
    def share(self) -> float:
        """How much of what has to be done is done, from 0 to 1."""
        return self.done / self.items if self.items else 0.0


class State:
    """The state of one job. Any number of processes may read it; one at a time, the holder of the lock, writes."""

    def __init__(self, folder: Path) -> None:
        """Open the state of the job in a folder.

        Raises:
            InvalidInputError: there is no job.
            ArtifactError: the file is damaged or of another version.
        """
        path = folder / STATE_FILE
        try:
            is_there = path.is_file()
        except OSError as error:  # a name that is too long, or a folder above it that may not be read
            raise InvalidInputError(f"{folder} holds no batch job: {error.strerror}") from None
        if not is_there:
            raise InvalidInputError(describe_missing(folder))
        self._folder = folder
        with _database(path):
            self._connection = _connect(path)
            found = self._connection.execute("SELECT description FROM job").fetchone()
        if found is None:
            raise ArtifactError(f"{path} is damaged: it does not say what the job is. Begin a new job")
        try:
            self.job = msgspec.json.decode(found[0], type=Job)
        except msgspec.MsgspecError as error:
            raise ArtifactError(f"{path}: not a job that this version of zkinfer can go on with: {error}") from None

    @staticmethod
    def create(folder: Path, job: Job) -> None:
        """Write the state of a new job into its folder; from then on there is a job.

        Raises:
            ResourceError: the disk is full or not writable.
        """
        path = folder / STATE_FILE
        part = folder / f".{STATE_FILE}.part"
        with writing(path):
            for stale in folder.glob(f"{part.name}*"):
                stale.unlink()
            part.touch(mode=0o600)  # it quotes values of dead letters, and holds the salts' seed of a sampled job
        with _database(path):
            connection = _connect(part)
            try:
                connection.executescript(_SCHEMA)
                connection.execute("INSERT INTO job VALUES (1, ?)", (msgspec.json.encode(job),))
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                connection.close()
        with writing(path):
            part.rename(path)
            sync_folder(folder)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def _writing(self, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
        """A transaction; where it is durable it survives a power cut, else a crash of the process alone.

        Raises:
            ResourceError: the disk is full or not writable; nothing was changed.
        """
        with _database(self._folder / STATE_FILE):
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise

    def relocate(self, inputs: tuple[InputFile, ...]) -> None:
        """The job's inputs lie elsewhere now. Only for a job that has committed to them, so that changes are found."""
        self.job = msgspec.structs.replace(self.job, inputs=inputs)
        with self._writing(durable=True) as connection:
            connection.execute("UPDATE job SET description = ?", (msgspec.json.encode(self.job),))

    @property
    def sample(self) -> SampleState | None:
        """Of a sampled job; None before all its items were executed and committed to."""
        if self.job.options.sample is None:
            return None
        found = self._connection.execute("SELECT size, challenge, rate FROM sample").fetchone()
        return None if found is None else SampleState(*found)

    def commit(self, size: int, batches: Iterable[JobBatch], reasons: Mapping[int, str]) -> None:
        """All items of a sampled job are executed. Durable.

        Args:
            size: how many batches are to be proven.
            batches: all of them, with the digests of their items.
            reasons: of the dead letters, by item.
        """
        rows = [(b.first, b.stop, "executed" if b.size else "done", b.input_digests, b.output_digests) for b in batches]
        assert self.job.options.sample is not None
        rate = self.job.options.sample.rate
        with self._writing(durable=True) as connection:
            connection.executemany(
                "INSERT INTO batches (first, stop, status, input_digests, output_digests) VALUES (?, ?, ?, ?, ?)", rows
            )
            connection.executemany("INSERT INTO dead VALUES (?, ?)", sorted(reasons.items()))
            connection.execute("INSERT INTO sample VALUES (1, ?, x'', ?)", (size, rate))

    def pick(self, challenge: bytes, rate: float, batches: Iterable[int]) -> None:
        """A challenge picks batches of a sampled job, by their first items. Those that are proven stay so. Durable."""
        with self._writing(durable=True) as connection:
            connection.execute("UPDATE sample SET challenge = ?, rate = ?", (challenge, rate))
            connection.execute("UPDATE batches SET status = 'executed' WHERE status IN ('waiting', 'leased', 'failed')")
            connection.executemany(
                "UPDATE batches SET status = 'waiting' WHERE first = ? AND status = 'executed'", zip(batches)
            )

    def digests(self, first: int) -> tuple[bytes, bytes]:
        """See `Row`."""
        query = "SELECT input_digests, output_digests FROM batches WHERE first = ?"
        found: tuple[bytes, bytes] = self._connection.execute(query, (first,)).fetchone()
        return found

    @property
    def planned(self) -> int:
        """Items below this one belong to batches; the others to none yet."""
        (stop,) = self._connection.execute("SELECT max(stop) FROM batches").fetchone()
        return int(stop or 0)

    def next_waiting(self) -> tuple[int, int] | None:
        """The first batch that waits: first and stop."""
        query = "SELECT first, stop FROM batches WHERE status = 'waiting' ORDER BY first LIMIT 1"
        found: tuple[int, int] | None = self._connection.execute(query).fetchone()
        return found

    def count_waiting(self) -> int:
        """How many batches wait."""
        (count,) = self._connection.execute("SELECT count(*) FROM batches WHERE status = 'waiting'").fetchone()
        return int(count)

    def lease(self, first: int, stop: int, dead: Mapping[int, str]) -> None:
        """Someone begins to prove a batch, which may be a new one.

        Args:
            dead: those of its items that the circuit cannot take, with reasons.
        """
        with self._writing() as connection:
            connection.execute(
                "INSERT INTO batches (first, stop, status, attempts) VALUES (?, ?, 'leased', 1) "
                "ON CONFLICT (first) DO UPDATE SET status = 'leased', attempts = attempts + 1, proof_digest = x''",
                (first, stop),
            )
            connection.execute("DELETE FROM dead WHERE item >= ? AND item < ?", (first, stop))
            connection.executemany("INSERT INTO dead VALUES (?, ?)", sorted(dead.items()))

    def announce(self, first: int, digests: tuple[bytes, bytes], proof: Announcement) -> None:
        """A leased batch is proven, and its file about to be written. Durable.

        Args:
            digests: see `Row`.
        """
        with self._writing(durable=True) as connection:
            connection.execute(
                "UPDATE batches SET input_digests = ?, output_digests = ?, proof_digest = ?, proof_bytes = ?, "
                "seconds = ?, phases = ? WHERE first = ? AND status = 'leased'",
                (
                    *digests,
                    proof.proof_digest,
                    proof.proof_bytes,
                    proof.seconds,
                    msgspec.json.encode(dict(proof.phases)),
                    first,
                ),
            )

    def finish(self, first: int) -> None:
        """A leased batch is done: its file is written, or all its items are dead letters."""
        self._set(first, "done", "")

    def withdraw(self, first: int) -> None:
        """A leased batch waits again, since no worker began to prove it."""
        with self._writing() as connection:
            connection.execute(
                "UPDATE batches SET status = 'waiting', attempts = attempts - 1 WHERE first = ?", (first,)
            )

    def release(self, first: int, reason: str) -> None:
        """A batch has to be proven again."""
        self._set(first, "waiting", reason)

    def fail(self, first: int, reason: str) -> None:
        """A batch is given up."""
        self._set(first, "failed", reason)

    def _set(self, first: int, status: str, reason: str) -> None:
        with self._writing() as connection:
            connection.execute("UPDATE batches SET status = ?, reason = ? WHERE first = ?", (status, reason, first))

    def recover(self) -> None:
        """Make rows and files agree after a crash, and let what failed be tried again.

        A leased batch whose file is there and is the announced one is done; every other one waits, as does one that is
        done and has lost its file. Files that belong to no finished batch are removed. Items below the last batch that
        belong to none, since rows were lost, belong to new batches that wait.

        Raises:
            ArtifactError: rows were lost that cannot be made again, or an item belongs to two batches.
            ResourceError: the disk is full or not writable.
        """
        folder = proofs_folder(self._folder)
        with writing(folder):
            folder.mkdir(exist_ok=True)
        self._fill_gaps()
        done = set()
        for row in self.rows():
            name, proof = proof_name(row.first), row.announced
            if row.status == "done" and (proof is None or _size(folder / name) == proof.proof_bytes):
                done.add(name)
            elif row.status == "leased" and proof is not None and _digest(folder / name) == proof.proof_digest:
                self.finish(row.first)
                done.add(name)
            elif row.status not in ("executed", "waiting"):
                self.release(row.first, row.reason)
        with writing(folder):
            for path in folder.iterdir():
                if path.name not in done and (path.is_symlink() or not path.is_dir()):
                    path.unlink()

    def _fill_gaps(self) -> None:
        """Let every item below the last batch belong to exactly one."""
        position, largest, gaps = 0, 1, []
        for row in self.rows():
            if row.first < position or row.stop <= row.first:
                raise ArtifactError(f"{self._folder / STATE_FILE} is damaged: item {row.first} belongs to two batches")
            if row.first > position:
                gaps.append((position, row.first))
            position, largest = row.stop, max(largest, row.stop - row.first)
        if self.sample is not None and (gaps or position < self.job.items):
            raise ArtifactError(
                f"{self._folder / STATE_FILE} is damaged: batches are gone that the job has committed to. "
                "Commit again, in a new folder"
            )
        pieces = [(at, min(stop, at + largest)) for first, stop in gaps for at in range(first, stop, largest)]
        if pieces:
            with self._writing() as connection:
                insert = (
                    "INSERT INTO batches (first, stop, status, reason) VALUES (?, ?, 'waiting', 'its row was lost')"
                )
                connection.executemany(insert, pieces)

    def rows(self) -> Iterator[Row]:
        """All batches, in order."""
        last = -1
        while found := self._page(last):
            yield from found
            last = found[-1].first

    def _page(self, after: int) -> list[Row]:
        """Some batches behind an item: read at once, so that they may be changed while the caller goes through them."""
        query = (
            "SELECT first, stop, status, attempts, reason, input_digests, output_digests, proof_digest, proof_bytes, "
            "seconds, phases FROM batches WHERE first > ? ORDER BY first LIMIT 256"
        )
        rows = self._connection.execute(query, (after,))
        return [
            Row(first, stop, status, attempts, reason, (inputs, outputs), _announcement(*proof) if proof[0] else None)
            for first, stop, status, attempts, reason, inputs, outputs, *proof in rows
        ]

    def dead_letters(self) -> Iterator[DeadLetter]:
        """All dead letters, in order."""
        for item, reason in self._connection.execute("SELECT item, reason FROM dead ORDER BY item"):
            yield DeadLetter(item, reason)

    def fastest(self) -> list[tuple[int, float]]:
        """For each size of a proven batch, the least seconds that one took."""
        query = "SELECT stop - first, min(seconds) FROM batches WHERE status = 'done' AND proof_bytes > 0 GROUP BY 1"
        return list(self._connection.execute(query))

    def counts(self) -> JobCounts:
        """Where the job stands."""
        query = (
            "SELECT total(CASE status WHEN 'done' THEN stop - first END), "
            "total(CASE status WHEN 'failed' THEN stop - first END), "
            "total(CASE status WHEN 'executed' THEN stop - first END), "
            "total(status = 'done'), total(status = 'failed'), total(status = 'leased'), "
            "total(max(attempts - 1, 0)), total(CASE status WHEN 'done' THEN proof_bytes END), "
            "total(CASE status WHEN 'done' THEN seconds END) FROM batches"
        )
        apart = (
            "SELECT count(*) FROM dead "
            "WHERE (SELECT status FROM batches WHERE first <= item ORDER BY first DESC LIMIT 1) = 'executed'"
        )
        with _database(self._folder / STATE_FILE):
            *numbers, seconds = self._connection.execute(query).fetchone()
            (dead,) = self._connection.execute("SELECT count(*) FROM dead").fetchone()
            (executed_dead,) = self._connection.execute(apart).fetchone()
        done, failed, executed, batches_done, batches_failed, leased, retries, size = map(int, numbers)
        items = self.job.items - executed
        proofs = batches_done, batches_failed, leased, retries, size, seconds
        return JobCounts(items, done, dead, failed, *proofs, executed, executed_dead)


def _announcement(digest: bytes, size: int, seconds: float, phases: bytes) -> Announcement:
    return Announcement(digest, size, seconds, msgspec.json.decode(phases, type=dict[str, float]))


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.OperationalError:
        if os.access(path.parent, os.W_OK):
            raise
        connection.close()
        return _connect_read_only(path)
    return connection


def _connect_read_only(path: Path) -> sqlite3.Connection:
    """For a folder that cannot be written, which SQLite reads by itself only where a process left its shared memory.

    Nobody changes such a file. What a crash left in its log, however, is a part of it, and is not passed over.
    """
    log = _size(path.with_name(f"{path.name}-wal"))
    uri = f"file:{quote(str(path.absolute()))}?{'mode=ro' if log else 'immutable=1'}"
    return sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)


@contextmanager
def _database(path: Path) -> Iterator[None]:
    """Let what SQLite raises be an error of the library.

    Raises:
        ResourceError: the disk is full or not writable, or another process keeps the file locked.
        ArtifactError: the file is damaged.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        raise ResourceError(f"cannot keep the job's state in {path}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise ArtifactError(f"{path} is damaged: {error}") from error


def _size(path: Path) -> int | None:
    """Bytes of a regular file; None where there is none, and where something else lies in its place."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def _digest(path: Path) -> bytes | None:
    """BLAKE3 of a regular file; None where there is none."""
    if _size(path) is None:
        return None
    digest: bytes = blake3().update_mmap(path).digest()
    return digest
