"""What a job is: settled when it begins, the same however often it is resumed; and what lies where in its folder.

state.sqlite           which batches are proven, the only truth about it; of a sampled job it holds secrets
lock                   held by the process that works on the job
proofs/                one file a batch, named for its first item
outputs.npy            the outputs of all items, or outputs-0.npy, outputs-1.npy, ... where there are several
dead-letters.jsonl     the items that the circuit cannot take, and why
sample-commitment.zkm  of a sampled job, what was committed to: its manifest before the challenge
manifest.zkm           which proof covers which items; written last, when all that have to be are proven
workers.log            what worker processes printed
"""

import os
import secrets
from pathlib import Path
from typing import Literal

import msgspec
from blake3 import blake3

from zkinfer.audits.sampling import check_confidence, check_rate
from zkinfer.backend import find_backend
from zkinfer.counts import counted
from zkinfer.errors import InvalidInputError
from zkinfer.files import stores
from zkinfer.files.location import Location
from zkinfer.files.statement import MAX_UNSTATED_RUNS, check_context
from zkinfer.jobs.manifest import MANIFEST_FILE, MAX_BATCH_ITEMS, PROOFS_FOLDER

STATE_FILE = "state.sqlite"
LOCK_FILE = "lock"
DEAD_LETTERS_FILE = "dead-letters.jsonl"
WORKERS_LOG = "workers.log"
SAMPLE_COMMITMENT_FILE = "sample-commitment.zkm"
EARLIER_SAMPLE_FILES = (SAMPLE_COMMITMENT_FILE, "sampled.zkm")
"""Of these one or both are in the folder of a sampled job, with no state, where an early zkinfer 0.1 made it."""

PROOF_DIGITS = 12
SEED_BYTES = 32

ExecutorName = Literal["inline", "processes", "ray"]


class SamplePolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Prove only a sample of the batches, which a challenge picks after all outputs were committed to; see `sample`.

    Attributes:
        rate, confidence: so many batches are proven that a wrong output is among them with that confidence, if that
            rate of all outputs is wrong.
        seed: 32 secret bytes that the salts are made of; fresh ones by default.
    """

    rate: float
    confidence: float
    seed: bytes = msgspec.field(default_factory=lambda: secrets.token_bytes(SEED_BYTES))


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a job is done.

    Attributes:
        context: what every proof is bound to.
        saturate: inputs beyond the calibrated range become the nearest bound, instead of dead letters.
        private_inputs, private_outputs: hide them.
        batch_size: items a proof; None lets `sizing` choose, which a sampled job cannot.
        executor: "inline" proves in this process, "processes" in others on this machine, "ray" on a Ray cluster.
        workers: how many of them; inline has one.
        retries: how often a batch is tried again after a failure that may pass.
        backoff: seconds before the first of them, doubled for each further one.
        sample: the policy of a sampled job; None where all batches are to be proven.
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
    sample: SamplePolicy | None = None


class InputFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of items, and what would show that it changed.

    Attributes:
        path: absolute, or a URL.
        size: bytes.
        modified: nanoseconds since 1970; in a store, a number from what the store says of the file.
    """

    path: str
    size: int
    modified: int

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> "InputFile":
        """The file as it is now.

        Raises:
            InvalidInputError: there is none.
            MissingDependencyError: it is in a store whose package is not installed.
        """
        place = Location(path)
        try:
            if place.path is None:
                size, described = stores.describe(place.text)
                return cls(place.text, size, int.from_bytes(blake3(described.encode()).digest(length=6)))
            found = place.path.stat()
        except OSError as error:
            raise InvalidInputError(f"there is no file {place}: {error.strerror}") from None
        return cls(str(place.path.absolute()), found.st_size, found.st_mtime_ns)


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
        raise InvalidInputError(f"a batch has from 1 to {counted(MAX_BATCH_ITEMS, 'item')}, not {size:,}")
    if size is not None and size % circuit_batch:
        raise InvalidInputError(f"the circuit was compiled for batches of {circuit_batch}: take a multiple, not {size}")
    limits = find_backend(backend).limits
    if size is not None and limits.runs is not None and size > limits.runs * circuit_batch:
        most = limits.runs * circuit_batch
        raise InvalidInputError(
            f"a proof of the {backend} backend covers at most {counted(most, 'item')}, not {size:,}"
        )
    if size is not None and options.private_inputs and size > MAX_UNSTATED_RUNS * circuit_batch:
        most = MAX_UNSTATED_RUNS * circuit_batch
        raise InvalidInputError(
            f"a proof that hides its inputs is checked for at most {counted(most, 'item')}, not {size:,}"
        )
    if not limits.hides_values and (options.private_inputs or options.private_outputs):
        raise InvalidInputError(f"the {backend} backend hides neither inputs nor outputs")
    if not 1 <= options.workers <= 4096 or (options.executor == "inline" and options.workers != 1):
        raise InvalidInputError(
            f"{options.workers} workers: one with executor 'inline', from 1 to 4096 with the others"
        )
    if options.retries < 0 or not 0 <= options.backoff <= 3600:
        raise InvalidInputError("retries are at least 0, and the first comes after at most an hour")
    if options.sample is not None:
        _check_policy(options, options.sample, backend)


def _check_policy(options: Options, policy: SamplePolicy, backend: str) -> None:
    check_rate(policy.rate)
    check_confidence(policy.confidence)
    if len(policy.seed) != SEED_BYTES:
        raise InvalidInputError(f"the seed of the salts has {SEED_BYTES} bytes, not {len(policy.seed)}")
    if backend != "native":
        raise InvalidInputError(f"a sampled job takes keys of the native backend, not of {backend!r}")
    if options.private_inputs or options.private_outputs:
        raise InvalidInputError("a sampled job hides neither inputs nor outputs")
    if options.batch_size is None:
        raise InvalidInputError("a sampled job needs a batch size: smaller batches show more")


def check_inputs(files: tuple[InputFile, ...]) -> None:
    """Whether the job's input files are as they were when it began.

    Raises:
        InvalidInputError: one is gone or has changed.
    """
    for file in files:
        if InputFile.of(file.path) != file:
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


def holds_earlier_sample(folder: Path) -> bool:
    """Whether the folder holds a sampled job that has no state and no manifest, as an early zkinfer 0.1 made them."""
    names = (STATE_FILE, MANIFEST_FILE)
    earlier = any((folder / name).exists() for name in EARLIER_SAMPLE_FILES)
    return earlier and not any((folder / name).exists() for name in names)


def describe_missing(folder: Path) -> str:
    """Why no job can be worked on or checked in a folder that lacks its state, or its manifest."""
    if holds_earlier_sample(folder):
        return (
            f"{folder} holds a sampled job that an early version of zkinfer 0.1 made: prove and check it with the "
            "version that made it, or commit to the outputs again, in a new folder"
        )
    return f"{folder} holds no batch job: check its name; zkinfer batch run begins a job"
