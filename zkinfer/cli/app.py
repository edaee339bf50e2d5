"""The commands. Each one reads its files, calls the library once, and says what came of it."""

import contextlib
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.filesize import decimal
from rich.markup import escape

import zkinfer
from zkinfer.backend import ProofSize, all_backends, find_backend
from zkinfer.cli import results
from zkinfer.cli.arrays import lineage, read_arrays, read_context, read_seed
from zkinfer.cli.bindings import named, read_axis, read_constant, read_shape
from zkinfer.cli.console import Debug, as_facts, err, facts, guarded, out, print_table
from zkinfer.cli.failures import printable
from zkinfer.cli.parameters import file_argument, file_option, output_option
from zkinfer.cli.results import ExitCode
from zkinfer.cli.verified import TEST_ONLY, valid_text, verified_result, verified_rows
from zkinfer.errors import (
    AccuracyWarning,
    CommitmentMismatchError,
    InvalidInputError,
    ResourceError,
    VerifierUnavailableError,
)
from zkinfer.files.artifact import write_atomically
from zkinfer.files.key_folder import COMMITMENT_FILE, SECRET_FILE
from zkinfer.files.location import Location
from zkinfer.progress import duration, quiet

if TYPE_CHECKING:
    from zkinfer.audits.commitment import Audit

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Zero-knowledge inference: prove that a published model gave this answer.",
    epilog="Exit codes: 0 done, or proven; 1 refused; 2 wrong usage; 3 bad input; 4 the backend failed, or memory, "
    "disk, time or an optional package is missing; 5 to 7 of batch jobs. Every command takes --json.",
)

PRICE = ("setup, once", "keys on disk", "prove", "memory", "proof")
"""Rows of an estimate that are shown before keys are made for more proofs than by default."""

OTHER_PICTURES = (".png", ".pdf", ".jpg", ".jpeg")
"""Ends of names of pictures that no graph is drawn as."""

DEFAULTS = ", ".join(f"{backend.default_proofs:,} with {backend.name}" for backend in all_backends())


def known_backend(name: str) -> str:
    """The name of a backend that exists; any other is wrong usage."""
    try:
        return find_backend(name).name
    except InvalidInputError as error:
        raise typer.BadParameter(str(error)) from None


def known_engine(name: str) -> str:
    """The name of a verifier that exists; any other is wrong usage."""
    from zkinfer.verifier.verify import engine_name

    try:
        return engine_name(name)
    except VerifierUnavailableError as error:
        raise typer.BadParameter(str(error)) from None


BackendName = Annotated[
    str,
    typer.Option(
        callback=known_backend, help=f"How to prove: {' or '.join(backend.name for backend in all_backends())}."
    ),
]
Context = Annotated[
    str, typer.Option(help="What the proof is bound to, such as a request id: text, @file, or hex:00ff.")
]
Proofs = Annotated[int | None, typer.Option(min=1, help=f"How many proofs the keys may make: by default {DEFAULTS}.")]
ProofSizeName = Annotated[
    ProofSize,
    typer.Option(help="small: fewer bytes of each proof, for up to twice the time; `estimate` says what either takes."),
]
Saturate = Annotated[
    bool,
    typer.Option(
        "--saturate",
        help="Values outside the calibrated range become the nearest bound. Give it both to prove and to verify.",
    ),
]
MinBits = Annotated[
    float | None,
    typer.Option(help="Security that the parameters must be worth. Default: 128, and 100 for ezkl proofs."),
]


def _show_version(shown: bool) -> None:
    if shown:
        out.print(f"zkinfer {zkinfer.__version__}")
        raise typer.Exit


def warn_test_only() -> None:
    """Say what a test-only reference string means."""
    err.print(f"[yellow]{TEST_ONLY}[/yellow]")


@contextlib.contextmanager
def warnings_of_accuracy() -> Iterator[list[str]]:
    """The texts of all warnings of accuracy within, once each; other warnings are shown at the end, as usual."""
    texts: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", AccuracyWarning)
        yield texts
    for warning in caught:
        if not issubclass(warning.category, AccuracyWarning):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
        elif str(warning.message) not in texts:
            texts.append(str(warning.message))


def require_folder_of(output: Location) -> None:
    """Refuse a file to write whose folder does not exist, before any work for it. Stores have folders only by name.

    Raises:
        ResourceError: there is no such folder.
    """
    if output.path is not None and not output.path.parent.is_dir():
        raise ResourceError(f"cannot write {output}: there is no folder {output.path.parent}; make it first")


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and stop.")
    ] = False,
) -> None:
    """Options before the command."""
    Debug.enabled = debug


@app.command("compile")
@guarded
def compile_model(
    model: Annotated[Location, file_argument("MODEL", "ONNX file.")],
    calibration: Annotated[Location, file_option(help="Typical inputs: .npy, or .npz with one array for each input.")],
    output: Annotated[Location, output_option("--output", "-o", help="Circuit file to write; it holds the weights.")],
    batch: Annotated[
        int, typer.Option(min=1, help="Samples in one run of the circuit; a proof with ezkl covers one run.")
    ] = 1,
    precision: Annotated[
        Literal["native", "ezkl"],
        typer.Option(help="native: 16 bits; ezkl: 8 bits and small tables."),
    ] = "native",
    activation_bits: Annotated[
        int | None, typer.Option(min=2, max=24, help="Bits of an activation; with --target, the most that it may have.")
    ] = None,
    weight_bits: Annotated[
        int | None, typer.Option(min=2, max=24, help="Bits of a weight; with --target, the most that it may have.")
    ] = None,
    max_table_entries: Annotated[int | None, typer.Option(min=16, help="Size of the largest table allowed.")] = None,
    ranges: Annotated[
        str | None,
        typer.Option(help='Share of the range in calibration that is kept: "full", "mse" or "99.9%".'),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            help='Reduce bits and tables while this holds: "cosine>=0.999", "top1>=0.99" or "max_error<=0.01".'
        ),
    ] = None,
    publish: Annotated[
        list[str] | None,
        typer.Option(help="A stored parameter that may become public, where it cannot be committed to; repeatable."),
    ] = None,
    shape: Annotated[
        list[str] | None,
        typer.Option(help="An open size, sequence=32, or an input's shape, x=?,3,48,320; else the data's. Repeatable."),
    ] = None,
    constant: Annotated[
        list[str] | None, typer.Option(help="An input that becomes a constant: sr=16000 or mask=@mask.npy. Repeatable.")
    ] = None,
    batch_axis: Annotated[
        list[str] | None, typer.Option(help="The axis of an input or output that is its batch: state=1. Repeatable.")
    ] = None,
    state: Annotated[
        list[str] | None,
        typer.Option(help="A recurrent state and the output it is fed from: state=stateN. Repeatable."),
    ] = None,
    report: Annotated[bool, typer.Option("--report", help="Print the error of each layer against float.")] = False,
    plot: Annotated[Location | None, output_option(help="Write the report as a picture (PNG).")] = None,
) -> results.Compiled:
    """Turn an ONNX model into a circuit: exact integers in place of floats."""
    require_folder_of(output)
    with quiet(), warnings_of_accuracy() as warned:
        circuit = zkinfer.compile(
            model,
            read_arrays(calibration),
            batch=batch,
            precision=precision,
            activation_bits=activation_bits,
            weight_bits=weight_bits,
            max_table_entries=max_table_entries,
            ranges=ranges,
            target=target,
            publish=publish or (),
            shapes=named("--shape", shape, read_shape),
            constants=named("--constant", constant, read_constant),
            batch_axes=named("--batch-axis", batch_axis, read_axis),
            states=named("--state", state, str),
        )
    circuit.save(output)
    if circuit.tuning is not None:
        print_table(circuit.tuning.table())
    if report or plot is not None:
        comparison = circuit.report()
        if report:
            for table in comparison.tables():
                print_table(table)
        if plot is not None:
            comparison.plot(plot)
    out.print(f"wrote {escape(str(output))} ({decimal(output.size())}); it holds the weights: keep it private")
    if circuit.bound:
        out.print(escape(printable(circuit.bound)))
    out.print(escape(printable(str(circuit.fidelity))))
    for text in warned:
        err.print(f"[yellow]{escape(printable(text))}[/yellow]")
    return results.Compiled(
        circuit=str(output),
        bytes=output.size(),
        program_digest=circuit.digest,
        weights=sum(array.size for array in circuit.weights),
        bound=printable(circuit.bound),
        fidelity=printable(str(circuit.fidelity)),
        warnings=[printable(text) for text in warned],
    )


@app.command()
@guarded
def setup(
    circuit: Annotated[Location, file_argument("CIRCUIT", "Circuit file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the keys.")],
    backend: BackendName = "native",
    srs: Annotated[
        Path | None,
        typer.Option(help="For ezkl: the reference string of a public ceremony. The default is only for tests."),
    ] = None,
    proofs: Proofs = None,
    proof_size: ProofSizeName = "balanced",
    seed: Annotated[
        str | None,
        typer.Option(
            help="32 secret bytes, as @file or hex:, which an auditor of the weights needs too. Random by default."
        ),
    ] = None,
    publish: Annotated[Location | None, output_option(help="Write a copy of the commitment (.zkc) here.")] = None,
) -> results.KeysMade:
    """Make the proving keys, and the commitment to publish."""
    loaded = zkinfer.Circuit.load(circuit)
    if proofs is not None and proofs > find_backend(backend).default_proofs:
        cost = dict(zkinfer.estimate(loaded, backend=backend, proofs=proofs, proof_size=proof_size).rows())
        err.print(f"keys for {proofs:,} proofs, estimated:", ", ".join(f"{k} {cost[k]}" for k in PRICE if k in cost))
    keys = zkinfer.setup(
        loaded,
        backend=backend,
        srs_path=srs,
        folder=output,
        proofs=proofs,
        seed=None if seed is None else read_seed(seed),
        proof_size=proof_size,
    )
    if publish is not None:
        keys.commitment.save(publish)
    public = publish or output / COMMITMENT_FILE
    rows = [("file", str(public)), ("fingerprint", keys.commitment.fingerprint)]
    out.print(facts("Commitment, to be published; keep the rest of the folder private", rows))
    if keys.commitment.key.test_only:
        warn_test_only()
    return results.KeysMade(
        folder=str(output),
        commitment=str(public),
        fingerprint=keys.commitment.fingerprint,
        backend=keys.backend,
        proofs_left=keys.proofs_left,
        test_only=keys.commitment.key.test_only,
    )


@app.command()
@guarded
def prove(
    keys: Annotated[Path, typer.Argument(metavar="KEYS", help="Folder of the keys.")],
    inputs: Annotated[Location, file_argument("INPUT", "Model input: .npy or .npz.")],
    output: Annotated[Location, output_option("--output", "-o", help="Proof file to write.")],
    context: Context = "",
    saturate: Saturate = False,
    private_inputs: Annotated[
        bool, typer.Option("--private-inputs", help="Hide the inputs: the proof holds a commitment to them.")
    ] = False,
    private_outputs: Annotated[bool, typer.Option("--private-outputs", help="Hide the outputs, too.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the proof file if it exists.")] = False,
) -> results.ProofMade:
    """Prove inferences: one for each sample in the input file; with ezkl, exactly one run of the circuit."""
    began = time.perf_counter()
    require_folder_of(output)
    if output.exists() and not force:
        raise InvalidInputError(f"{output} exists: choose another file with -o, or replace it with --force")
    loaded = zkinfer.Keys.load(keys)
    zkinfer.prove(
        loaded,
        read_arrays(inputs),
        context=read_context(context),
        saturate=saturate,
        private_inputs=private_inputs,
        private_outputs=private_outputs,
        save_as=output,
    )
    took = time.perf_counter() - began
    out.print(
        f"wrote {escape(str(output))} ({decimal(output.size())}) in {duration(took)}; "
        f"these keys can make {loaded.proofs_left:,} more proofs"
    )
    return results.ProofMade(
        proof=str(output),
        bytes=output.size(),
        fingerprint=loaded.commitment.fingerprint,
        proofs_left=loaded.proofs_left,
        seconds=took,
    )


@app.command()
@guarded
def verify(
    proof: Annotated[Location, file_argument("PROOF", "Proof file.")],
    commitment: Annotated[Location, file_argument("COMMITMENT", "The model owner's commitment (.zkc).")],
    inputs: Annotated[
        Location | None,
        file_option(
            help="The inputs that the model was run on: .npy, .npz or .json. Leave it out if the proof hides them."
        ),
    ] = None,
    outputs: Annotated[
        Location | None,
        file_option(help="The outputs that you received, to compare, in such a file. Default: those in the proof."),
    ] = None,
    decimals: Annotated[
        int | None,
        typer.Option(min=0, help="The outputs that you received were rounded to so many digits after the point."),
    ] = None,
    context: Context = "",
    engine: Annotated[
        str,
        typer.Option(
            callback=known_engine,
            help="Which verifier: python; for native proofs also reference; for ezkl proofs also ezkl, or both.",
        ),
    ] = "python",
    saturate: Saturate = False,
    rotation: Annotated[
        list[Location] | None,
        file_option(
            help="A rotation (.zkr) of the commitment. Repeat the option for each further one, in order.",
        ),
    ] = None,
    max_runs: Annotated[
        int | None,
        typer.Option(min=1, help="Runs of the circuit that the proof may cover, where your arrays do not bound them."),
    ] = None,
    min_bits: MinBits = None,
) -> results.Verified:
    """Check a proof. Exits with 0 if it is valid, 1 if it was checked and refused, 3 if nothing could be checked."""
    from zkinfer.verifier import verify as verify_proof

    verified = verify_proof(
        proof,
        commitment,
        inputs=None if inputs is None else read_arrays(inputs),
        outputs=None if outputs is None else read_arrays(outputs),
        context=read_context(context),
        engine=engine,
        saturate=saturate,
        lineage=lineage(rotation),
        max_runs=max_runs,
        min_bits=min_bits,
        decimals=decimals,
    )
    out.print(facts(valid_text(verified), verified_rows(verified)))
    if verified.test_only:
        warn_test_only()
    return verified_result(verified)


@app.command()
@guarded
def inspect(
    path: Annotated[Location, file_argument("FILE", "Any zkinfer file, or a folder of keys.")],
    everything: Annotated[
        bool, typer.Option("--all", help="Show all of it, however long that is and takes: every node and table entry.")
    ] = False,
    graph: Annotated[
        Location | None,
        output_option(
            help="Draw the program of a commitment or circuit: .svg is a picture, other files are DOT for Graphviz."
        ),
    ] = None,
) -> results.Inspected:
    """Print what a file is, what it reveals, and what the program in it computes; of keys, how many proofs are left."""
    from zkinfer.cli.inspect import describe_file, kind_of, program_of
    from zkinfer.cli.inspect_keys import describe_keys, folder_bytes
    from zkinfer.cli.inspect_program import graph_text
    from zkinfer.pictures.program import left_out_text, program_picture

    if graph is not None:
        if graph.suffix.lower() in OTHER_PICTURES:
            raise InvalidInputError(f"cannot draw {graph}: pictures are .svg; any other name gets Graphviz text")
        program, is_picture = program_of(path), graph.suffix == ".svg"
        write_atomically(graph, "".join((program_picture if is_picture else graph_text)(program)).encode())
        said = left_out_text(program) if is_picture else "dot -Tsvg draws it"
        out.print(f"wrote {escape(str(graph))}{f'. {said}' if said else ''}")
    folder = path.path if graph is None and path.is_folder() else None
    description = describe_file(path, everything=everything) if folder is None else describe_keys(folder)
    if graph is None:
        out.print(description)
    kind, version, size = kind_of(path if folder is None else Location(folder / SECRET_FILE))
    if folder is not None:
        size = folder_bytes(folder)
    return results.Inspected(
        file=str(path),
        bytes=size,
        kind=kind,
        version=version,
        facts=as_facts(description.rows),
        graph=None if graph is None else str(graph),
    )


@app.command("audit-commitment")
@guarded
def audit_commitment(
    circuit: Annotated[Location, file_argument("CIRCUIT", "Circuit file, which holds the weights.")],
    commitment: Annotated[Location, file_argument("COMMITMENT", "The published commitment (.zkc).")],
    seed: Annotated[str, typer.Option(help="The owner's 32 secret bytes: @file or hex:.")],
    srs: Annotated[
        Path | None, typer.Option(help="For an ezkl commitment: the reference string that the keys were made with.")
    ] = None,
    max_bytes: Annotated[
        int | None, typer.Option(min=1, help="Disk and memory that making the commitment again may take.")
    ] = None,
) -> results.Audited:
    """With the weights and the seed, check that a commitment is to these weights. Exits with 1 if it is not."""
    held, published = zkinfer.Circuit.load(circuit), zkinfer.Commitment.load(commitment)
    if held.digest != published.program_digest.hex():
        raise CommitmentMismatchError(f"{commitment} commits to another program than {circuit} holds")
    return show_audit(zkinfer.audit_weights(published, held.weights, read_seed(seed), srs, max_bytes=max_bytes))


@app.command()
@guarded
def seed(
    keys: Annotated[Path, typer.Argument(metavar="KEYS", help="Folder of the keys.")],
    output: Annotated[Location, output_option("--output", "-o", help="File to write, readable by its owner alone.")],
) -> results.Written:
    """Write the secret seed of a commitment to a file, to hand to an auditor who holds the weights."""
    write_atomically(output, zkinfer.Keys.load(keys).seed, private=True)
    out.print(f"wrote {escape(str(output))}; with the weights it opens the commitment: keep it private")
    return results.Written(file=str(output), bytes=output.size())


@app.command("audit-keys")
@guarded
def audit_keys(
    commitment: Annotated[Location, file_argument("COMMITMENT", "The published commitment (.zkc).")],
    srs: Annotated[Path, typer.Option(help="The reference string that the keys were made with.")],
) -> results.Audited:
    """Check, without any secret, that the keys in an ezkl commitment follow from its program. Exits with 1 if not."""
    return show_audit(zkinfer.audit_keys(zkinfer.Commitment.load(commitment), srs))


def show_audit(audit: "Audit") -> results.Audited:
    """What an audit found."""
    out.print(facts("Confirmed", [("fingerprint", audit.fingerprint), *(("", fact) for fact in audit.checked)]))
    return results.Audited(fingerprint=audit.fingerprint, checked=list(audit.checked))


@app.command()
@guarded
def estimate(
    circuit: Annotated[Location, file_argument("CIRCUIT", "Circuit file.")],
    proofs: Proofs = None,
    samples: Annotated[int | None, typer.Option(min=1, help="Inferences in one proof.")] = None,
    backend: BackendName = "native",
    proof_size: ProofSizeName = "balanced",
) -> results.Estimated:
    """Predict the time, memory and bytes of keys and proofs, without making any."""
    loaded = zkinfer.Circuit.load(circuit)
    cost = zkinfer.estimate(loaded, backend=backend, samples=samples, proofs=proofs, proof_size=proof_size)
    if (table := cost.table()) is not None:
        print_table(table)
    out.print(facts(cost.title, cost.rows()))
    return results.Estimated(
        backend=backend,
        prove_seconds=cost.prove_seconds,
        memory_bytes=cost.memory_bytes,
        disk_bytes=cost.disk_bytes,
        facts=as_facts(cost.rows()),
    )


@app.command()
@guarded
def demo(
    verifier_python: Annotated[
        Path | None, typer.Option(help="Python of the verifying process; this one by default.")
    ] = None,
    circuits: Annotated[Path, typer.Option(help="The repository's circuits/ folder.")] = Path("circuits"),
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the third party's files.")] = Path(
        "demo-output"
    ),
    sample: Annotated[int, typer.Option(min=0, help="Number of the first held-out digit to prove.")] = 2,
) -> results.Demonstrated:
    """Prove handwritten digits, let a third party check the proof, and show that forgeries are refused."""
    from zkinfer.demo import run_demo

    if not run_demo(circuits, output, verifier_python, sample=sample, console=out):
        err.print("[bold red]the demonstration did not come out as it should[/bold red]")
        return results.Demonstrated(exit_code=ExitCode.REFUSED, folder=str(output), passed=False)
    out.print(
        f"\nThe proof was accepted and the forgeries were not. The third party's files are in {escape(str(output))}/."
    )
    return results.Demonstrated(folder=str(output), passed=True)
