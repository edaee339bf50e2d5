"""What a job is: settled when it begins, the same however often it is resumed; and what lies where in its folder.

state.sqlite        which batches are proven, the only truth about it
lock                held by the process that works on the job
proofs/             one file a batch, named for its first item
outputs.npy         the outputs of all items, or outputs-0.npy, outputs-1.npy, ... where there are several
dead-letters.jsonl  the items that the circuit cannot take, and why
manifest.zkm        which proof covers which items; written last, when all are proven
workers.log         what worker processes printed
"""

from pathlib import Path
from typing import Literal

import msgspec

from zkinfer.backend import find_backend
from zkinfer.errors import InvalidInputError
from zkinfer.files.statement import check_context
from zkinfer.jobs.manifest import MANIFEST_FILE, MAX_BATCH_ITEMS, PROOFS_FOLDER

STATE_FILE = "state.sqlite"
LOCK_FILE = "lock"
DEAD_LETTERS_FILE = "dead-letters.jsonl"
WORKERS_LOG = "workers.log"
PROOF_DIGITS = 12

ExecutorName = Literal["inline", "processes", "ray"]


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a job is done.

    Attributes:
        context: what every proof is bound to.
        saturate: inputs beyond the calibrated range become the nearest bound, instead of dead letters.
        private_inputs, private_outputs: hide them.
        batch_size: items a proof; None lets `sizing` choose.
        executor: "inline" proves in this process, "processes" in others on this machine, "ray" on a Ray cluster.
        workers: how many of them; inline has one.
        retries: how often a batch is tried again after a failure that may pass.
        backoff: seconds before the first of them, doubled for each further one.
    """

    context: bytes = b""
    saturate: bool = False
    private_inputs: bool = False
    private_outputs: bool = False
    batch_size: int | None = None
    executor: ExecutorName = "inline"
    workers: int = 1
    retries: int = 3
    backoff: float = 1.0


class InputFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of items, and what would show that it changed.

    Attributes:
        path: absolute.
        size: bytes.
        modified: nanoseconds since 1970.
    """

    path: str
    size: int
    modified: int

    @classmethod
    def of(cls, path: Path) -> "InputFile":
        """The file as it is now.

        Raises:
            InvalidInputError: there is none.
        """
        try:
            found = path.stat()
        except OSError as error:
            raise InvalidInputError(f"there is no file {path}: {error.strerror}") from None
        return cls(str(path.absolute()), found.st_size, found.st_mtime_ns)


class Job(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A job.

    Attributes:
        version: of this description.
        keys: folder of the proving keys, absolute.
        commitment, program: their digests, 32 bytes each.
        circuit_batch: samples of one run of the circuit.
        inputs: files, in order.
        items: how many they hold.
        options: how it is done.
    """

    version: Literal[1] = 1
    keys: str
    commitment: bytes
    program: bytes
    circuit_batch: int
    inputs: tuple[InputFile, ...]
    items: int
    options: Options


def check_options(options: Options, backend: str, circuit_batch: int) -> None:
    """Whether the options make sense, and fit the keys.

    Raises:
        InvalidInputError: they do not.
    """
    check_context(options.context)
    size = options.batch_size
    if size is not None and not 1 <= size <= MAX_BATCH_ITEMS:
        raise InvalidInputError(f"a batch has from 1 to {MAX_BATCH_ITEMS} items, not {size}")
    if size is not None and size % circuit_batch:
        raise InvalidInputError(f"the circuit was compiled for batches of {circuit_batch}: take a multiple, not {size}")
    limits = find_backend(backend).limits
    if size is not None and limits.runs is not None and size > limits.runs * circuit_batch:
        most = limits.runs * circuit_batch
        raise InvalidInputError(f"a proof of the {backend} backend covers at most {most} items, not {size}")
    if not limits.hides_values and (options.private_inputs or options.private_outputs):
        raise InvalidInputError(f"the {backend} backend hides neither inputs nor outputs")
    if not 1 <= options.workers <= 4096 or (options.executor == "inline" and options.workers != 1):
        raise InvalidInputError(
            f"{options.workers} workers: one with executor 'inline', from 1 to 4096 with the others"
        )
    if options.retries < 0 or not 0 <= options.backoff <= 3600:
        raise InvalidInputError("retries are at least 0, and the first comes after at most an hour")


def check_inputs(files: tuple[InputFile, ...]) -> None:
    """Whether the job's input files are as they were when it began.

    Raises:
        InvalidInputError: one is gone or has changed.
    """
    for file in files:
        if InputFile.of(Path(file.path)) != file:
            raise InvalidInputError(
                f"{file.path} changed since the job began: restore it, modification time included, or begin a new job"
            )


def proof_name(first: int) -> str:
    """The name of the proof whose batch begins with that item."""
    return f"{first:0{PROOF_DIGITS}d}.proof"


def output_names(count: int) -> list[str]:
    """The names of the files of outputs."""
    return ["outputs.npy"] if count == 1 else [f"outputs-{position}.npy" for position in range(count)]


def proofs_folder(folder: Path) -> Path:
    """Where a job's proofs lie."""
    return folder / PROOFS_FOLDER


def manifest_file(folder: Path) -> Path:
    """Where a job's manifest lies."""
    return folder / MANIFEST_FILE
