"""What commands found, as data: what `--json` prints, and how a process ends.

A command's result has one type, which is documented in docs/json.md: its fields are there for scripts, so that a field
is never renamed, and never means something else. Digests are hexadecimal, sizes are bytes, times are seconds, and paths
are as they were given. Numbers that are not finite are null.
"""

import enum
from typing import Any

import msgspec


class ExitCode(enum.IntEnum):
    """How the process ends.

    OK: done, or what was checked is proven. REFUSED: the proof, or what was audited, was checked and does not hold.
    USAGE: the command line is wrong. BAD_INPUT: a file or an argument is not what it should be, so that nothing was
    checked. FAILED: a backend failed, or memory, disk, time or an optional package is missing. INCOMPLETE, STOPPED and
    DEAD_LETTERS are of batch jobs: batches failed; asked to stop; complete, but with items that no proof covers.
    INTERNAL: zkinfer itself is at fault. INTERRUPTED: by Ctrl-C.
    """

    OK = 0
    REFUSED = 1
    USAGE = 2
    BAD_INPUT = 3
    FAILED = 4
    INCOMPLETE = 5
    STOPPED = 6
    DEAD_LETTERS = 7
    INTERNAL = 70
    INTERRUPTED = 130


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Any result of a command.

    Attributes:
        exit_code: how the process ends, see [exit codes](scripts.md#exit-codes).
    """

    exit_code: ExitCode = ExitCode.OK


class Failure(Result, frozen=True, kw_only=True):
    """Of any command that ends with an error.

    Attributes:
        error: the name of the exception that the same call raises in Python.
        check: what refused a proof: "proof file", "commitment file", "statement", "commitment", "cryptographic check"
            or "verification"; null where nothing was refused.
        message: what is wrong, and what to do next, in one line.
    """

    error: str
    check: str | None
    message: str

    @property
    def title(self) -> str:
        """What a line about it begins with."""
        if self.exit_code is ExitCode.INTERRUPTED:
            return "interrupted"
        return "error" if self.check is None else f"REFUSED ({self.check})"


def json_line(command: str, result: Result) -> str:
    """A result in JSON, with the name of its command."""
    return msgspec.json.encode({"command": command, **msgspec.structs.asdict(result)}).decode()


class Compiled(Result, frozen=True, kw_only=True):
    """Of `compile`.

    Attributes:
        circuit: the file that was written. It is secret.
        bytes: its size.
        program_digest: of the program, which is public.
        weights: how many numbers are committed to.
        bound: what the model left open and the command bound, in words; empty if nothing.
        fidelity: how close the circuit is to the float model, in words.
        warnings: where it leaves the float model, in words.
    """

    circuit: str
    bytes: int
    program_digest: str
    weights: int
    bound: str
    fidelity: str
    warnings: list[str]


class KeysMade(Result, frozen=True, kw_only=True):
    """Of `setup`.

    Attributes:
        folder: of the keys. It is secret.
        commitment: the file to publish.
        fingerprint: of the commitment, to publish over another channel.
        backend: that the keys are for.
        proofs_left: how many proofs they can make.
        test_only: whether everyone can forge proofs, because the reference string is one for tests.
    """

    folder: str
    commitment: str
    fingerprint: str
    backend: str
    proofs_left: int
    test_only: bool


class ProofMade(Result, frozen=True, kw_only=True):
    """Of `prove`.

    Attributes:
        proof: the file that was written.
        bytes: its size.
        fingerprint: of the commitment that the proof is for.
        proofs_left: how many more proofs the keys can make.
        seconds: that it took, loading the keys included.
    """

    proof: str
    bytes: int
    fingerprint: str
    proofs_left: int
    seconds: float


class Verified(Result, frozen=True, kw_only=True):
    """Of `verify`, where the proof is valid.

    Attributes:
        fingerprint: of the commitment; compare it with the one that the owner published.
        program_digest: of the program that was run.
        runs: of the circuit that the proof covers.
        outputs: for each output of the model nested lists of numbers, exactly what was proven; null where it is hidden.
        input_commitments: for each input the commitment that it is hidden behind; null where it is public.
        output_commitments: the same for each output.
        security_bits: forging the proof takes work of about 2 to this power.
        weights_in_bounds: whether the commitment proves that the weights lie within their published bounds.
        test_only: whether everyone can forge proofs, because the reference string is one for tests.
        engine: the verifier that said so.
        seconds: that checking took.
        clipped: with `--saturate`, how many values of public inputs lay out of range and were proven as the nearest
            bound.
    """

    fingerprint: str
    program_digest: str
    runs: int
    outputs: list[Any]
    input_commitments: list[str | None]
    output_commitments: list[str | None]
    security_bits: float
    weights_in_bounds: bool
    test_only: bool
    engine: str
    seconds: float
    clipped: int


class Fact(msgspec.Struct, frozen=True):
    """A name and what it names, in words that may change."""

    name: str
    value: str


class Inspected(Result, frozen=True, kw_only=True):
    """Of `inspect`.

    Attributes:
        file: that was read, or the folder of keys.
        bytes: its size.
        kind: "circuit", "commitment", "proof", "rotation", "manifest", "item", "secret part of proving keys" for a
            folder of keys too, or the name of a kind that an early version wrote.
        version: of its format.
        facts: what it holds, as the command prints it: for people, so that names and values may change.
        graph: the picture that was written; null without `--graph`.
    """

    file: str
    bytes: int
    kind: str
    version: int
    facts: list[Fact]
    graph: str | None = None


class Audited(Result, frozen=True, kw_only=True):
    """Of `audit-commitment` and `audit-keys`, where the commitment is right.

    Attributes:
        fingerprint: of the commitment.
        checked: a sentence for each fact that was checked.
    """

    fingerprint: str
    checked: list[str]


class Written(Result, frozen=True, kw_only=True):
    """Of `seed` and `batch report`.

    Attributes:
        file: that was written.
        bytes: its size.
    """

    file: str
    bytes: int


class Estimated(Result, frozen=True, kw_only=True):
    """Of `estimate`.

    Attributes:
        backend: that it is for.
        prove_seconds: of one proof.
        memory_bytes: at most, while proving.
        disk_bytes: of the folder of keys.
        facts: everything that the command prints: for people, so that names and values may change.
    """

    backend: str
    prove_seconds: float
    memory_bytes: int
    disk_bytes: int
    facts: list[Fact]


class Demonstrated(Result, frozen=True, kw_only=True):
    """Of `demo`.

    Attributes:
        folder: the third party's files.
        passed: whether the proof was accepted and every forgery refused.
    """

    folder: str
    passed: bool


class Rotated(Result, frozen=True, kw_only=True):
    """Of `rotate`.

    Attributes:
        folder: of the new keys. It is secret.
        rotation: the file to publish.
        old_fingerprint: of the commitment that it leads from.
        new_fingerprint: of the commitment that it leads to.
        old_proofs_left: how many proofs the old keys can still make.
        new_proofs_left: the same of the new keys.
    """

    folder: str
    rotation: str
    old_fingerprint: str
    new_fingerprint: str
    old_proofs_left: int
    new_proofs_left: int


class Differing(msgspec.Struct, frozen=True):
    """An inference of a log with another output than the circuit's, and the first number that differs in it."""

    inference: int
    output: str
    index: list[int]
    expected: float
    logged: float


class LogAudited(Result, frozen=True, kw_only=True):
    """Of `audit`. Where outputs differ, the exit code is 1.

    Attributes:
        program_digest: of the circuit's program.
        logged: inferences in the log.
        rerun: how many of them were run again.
        seed: that chose them.
        rate: of wrong answers that was asked about.
        miss_probability: that so many wrong answers go unnoticed.
        differences: what differs, one for each inference, in the order of the log: `inference`, `output`, `index`,
            `expected` and `logged`.
    """

    program_digest: str
    logged: int
    rerun: int
    seed: str
    rate: float
    miss_probability: float
    differences: list[Differing]


class Parameters(Result, frozen=True, kw_only=True):
    """Of `security`.

    Attributes:
        rows: of the matrix.
        columns: of the matrix.
        codeword: symbols in a row's codeword.
        queries: columns that an opening shows.
        opening_bytes: size of an opening.
        security_bits: of all terms together.
    """

    rows: int
    columns: int
    codeword: int
    queries: int
    opening_bytes: int
    security_bits: float


class Warm(Result, frozen=True, kw_only=True):
    """Of `warmup`.

    Attributes:
        seconds: that it took: a second or two where the kernels are compiled already.
    """

    seconds: float


class JobStanding(Result, frozen=True, kw_only=True):
    """Of `batch run`, `batch resume`, `batch prove-sample` and `batch status`.

    Attributes:
        folder: of the job.
        state: "complete", "incomplete" (batches failed), "stopped" (or killed), "running", or "committed" (a
            sampled job that waits for its challenge).
        items: of the job.
        proven: items that a proof covers.
        dead: items that no proof covers, because the circuit cannot take them.
        failed: items of batches that failed.
        executed: in a sampled job, items that were committed to and not picked, or not yet.
        proofs: how many there are.
        proof_bytes: size of all proofs.
        receipt: of the job; null until it is complete.
        digest: of a sampled job, what is published before the challenge is drawn; null of other jobs, and until all
            items are committed to.
        report: the file of the report that this command wrote; null where it wrote none, as `batch status` does.
    """

    folder: str
    state: str
    items: int
    proven: int
    dead: int
    failed: int
    executed: int
    proofs: int
    proof_bytes: int
    receipt: str | None
    digest: str | None
    report: str | None = None


class SampleCommitted(Result, frozen=True, kw_only=True):
    """Of `batch commit-sample`, and of a sampled job that was resumed before its challenge.

    Attributes:
        folder: of the job.
        digest: to publish before the challenge is drawn.
        items: of the job.
        batches: of the job.
        picked: how many batches the challenge will pick.
        dead: items that the circuit cannot take.
    """

    folder: str
    digest: str
    items: int
    batches: int
    picked: int
    dead: int


class ItemWritten(Result, frozen=True, kw_only=True):
    """Of `batch item`.

    Attributes:
        folder: that was written.
        item: its number.
        receipt: of the job.
        dead: why no proof covers it; null where one does.
    """

    folder: str
    item: int
    receipt: str
    dead: str | None


class JobVerified(Result, frozen=True, kw_only=True):
    """Of `batch verify` and `batch verify-sample`, where everything is valid.

    Attributes:
        fingerprint: of the commitment; compare it with the one that the owner published.
        receipt: of the job.
        items: of the job.
        proven: items that a proof covers.
        dead: items that the circuit cannot take.
        proofs: how many there are.
        security_bits: forging one of them takes work of about 2 to this power; null where there are none.
        test_only: whether everyone can forge proofs, because the reference string is one for tests.
        weights_in_bounds: whether the commitment proves that the weights lie within their published bounds.
        miss_probability: that the sample holds no wrong output, if `rate` of all outputs are wrong; 0 where all of the
            job is proven.
        rate: of wrong outputs that was asked about; 0 where all of the job is proven.
        rate_of_operator: whether that rate and the size of a sample are the operator's choice alone, because none was
            asked about.
        seconds: that checking took.
        clipped: with `--saturate`, how many values of public inputs lay out of range and were proven as the nearest
            bound.
    """

    fingerprint: str
    receipt: str
    items: int
    proven: int
    dead: int
    proofs: int
    security_bits: float
    test_only: bool
    weights_in_bounds: bool
    miss_probability: float
    rate: float
    rate_of_operator: bool
    seconds: float
    clipped: int


class ItemVerified(Result, frozen=True, kw_only=True):
    """Of `batch verify --item`, where the item is valid.

    Attributes:
        fingerprint: of the commitment; compare it with the one that the owner published.
        receipt: of the job.
        item: its number.
        items: of the job.
        outputs: for each output of the model nested lists of numbers; empty where the proof hides them.
        security_bits: forging the proof takes work of about 2 to this power.
        test_only: whether everyone can forge proofs, because the reference string is one for tests.
        weights_in_bounds: whether the commitment proves that the weights lie within their published bounds.
        seconds: that checking took.
        clipped: with `--saturate`, how many values of public inputs lay out of range and were proven as the nearest
            bound.
    """

    fingerprint: str
    receipt: str
    item: int
    items: int
    outputs: list[Any]
    security_bits: float
    test_only: bool
    weights_in_bounds: bool
    seconds: float
    clipped: int
