"""Commands about the native prover's parts: what their parameters are worth, and compiling their kernels."""

import time
from typing import Annotated

import typer

from zkinfer.cli import results
from zkinfer.cli.app import app
from zkinfer.cli.console import facts, guarded, out
from zkinfer.counts import counted
from zkinfer.progress import activity


@app.command()
@guarded
def security(
    cells: Annotated[int, typer.Argument(min=1, metavar="CELLS", help="Field elements to commit to.")],
    groups: Annotated[int, typer.Option(min=1, help="Column points of an opening.")] = 2,
    proofs: Annotated[int, typer.Option(min=1, help="Proofs that the commitment can serve.")] = 1,
    bits: Annotated[float, typer.Option(min=1, help="Security in bits, of all terms together.")] = 130.0,
) -> results.Parameters:
    """Choose the parameters of a matrix commitment, and show their security term by term."""
    from zkinfer.protocol import security
    from zkinfer.protocol.pcs import soundness
    from zkinfer.protocol.pcs.search import search

    choice = search(cells, groups, proofs=proofs, error_bits=bits)
    parameters = choice.parameters
    code = parameters.code
    rows = [
        (
            "matrix",
            f"{counted(choice.rows, 'row')} of {counted(code.columns, 'column')} and "
            f"{counted(code.blinding, 'random symbol')}",
        ),
        ("codeword", f"{counted(code.length, 'symbol')}, rate {code.dimension / code.length:.3f}"),
        ("queries", str(parameters.queries)),
        ("opening", f"{choice.proof_bytes / 1e6:.2f} MB"),
    ]
    out.print(facts("Matrix commitment", rows))
    terms = security.combine(soundness.opening(parameters, groups))
    out.print(security.report(terms), highlight=False)
    return results.Parameters(
        rows=choice.rows,
        columns=code.columns,
        codeword=code.length,
        queries=parameters.queries,
        opening_bytes=choice.proof_bytes,
        security_bits=terms.bits,
    )


@app.command()
@guarded
def warmup() -> results.Warm:
    """Compile the kernels now, so that no later command has to wait for it."""
    from zkinfer.native.warmup import warmup as compile_kernels

    began = time.perf_counter()
    with activity("compiling kernels"):
        compile_kernels()
    out.print("kernels compiled")
    return results.Warm(seconds=time.perf_counter() - began)
