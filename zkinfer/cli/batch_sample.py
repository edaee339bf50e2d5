"""The commands about sampled jobs: commit to all outputs, prove what a challenge picks, check that."""

from pathlib import Path
from typing import Annotated

import typer

from zkinfer.cli.app import Context, Saturate, warn_test_only
from zkinfer.cli.arrays import read_bytes, read_context
from zkinfer.cli.batch import Folder, Inputs, batch, read_digest, required
from zkinfer.cli.console import facts, guarded, out
from zkinfer.progress import duration

Challenge = Annotated[
    str,
    typer.Option(
        help="Drawn after the digest was published, by nobody on the operator's side: a verifier's nonce, or the value "
        "of a public beacon. Text, @file or hex:, at least 16 bytes."
    ),
]


def read_challenge(text: str) -> bytes:
    """A challenge from the command line.

    Raises:
        InvalidInputError: see `read_bytes`.
    """
    from zkinfer.jobs.challenge import MAX_CHALLENGE_BYTES

    return read_bytes("--challenge", text, max_bytes=MAX_CHALLENGE_BYTES)


@batch.command("commit-sample")
@guarded
def commit(
    folder: Folder,
    keys: Annotated[Path, typer.Option(help="Folder of the keys.")],
    batch_size: Annotated[int, typer.Option(min=1, help="Items a proof: smaller batches show more.")],
    inputs: Inputs = None,
    rate: Annotated[float, typer.Option(help="Rate of wrong outputs that must not go unnoticed.")] = 0.01,
    confidence: Annotated[float, typer.Option(help="With which it must not.")] = 0.99,
    context: Context = "",
    saturate: Saturate = False,
) -> None:
    """Execute all items and commit to them, to prove only a sample later. It is not a proof of all items."""
    from zkinfer.jobs.sampled import commit_sample

    commitment = commit_sample(
        folder,
        keys,
        required(inputs),
        batch_size=batch_size,
        rate=rate,
        confidence=confidence,
        context=read_context(context),
        saturate=saturate,
    )
    dead = sum(len(span.dead) for span in commitment.spans)
    rows = [
        ("digest", commitment.digest.hex()),
        ("items", f"{commitment.header.items} in {len(commitment.spans)} batches, {dead} dead letters"),
        ("to be proven", f"{commitment.size} batches, which the challenge picks"),
        (f"{100 * rate:.4g}% wrong", f"missed with probability {commitment.miss_probability(rate):.3g}"),
        ("next", "publish the digest, have a challenge drawn, then: zkinfer batch prove-sample"),
    ]
    out.print(facts("Committed: nothing is proven yet", rows))


@batch.command("prove-sample")
@guarded
def prove(
    folder: Folder,
    keys: Annotated[Path, typer.Option(help="Folder of the keys.")],
    challenge: Challenge,
    inputs: Inputs = None,
    rate: Annotated[
        float | None, typer.Option(help="Rate of wrong outputs that the sampled receipt speaks of; else as committed.")
    ] = None,
) -> None:
    """Prove the batches that a challenge picks. Killed, it is called again: proofs that exist are kept."""
    from zkinfer.jobs.sampled import prove_sample

    receipt = prove_sample(folder, keys, required(inputs), read_challenge(challenge), rate=rate)
    spans = receipt.commitment.spans
    sampled = sum(spans[batch.number].size for batch in receipt.opened)
    rows = [
        ("digest", receipt.commitment.digest.hex()),
        ("challenge", receipt.challenge.hex()),
        ("proven", f"{sampled} of {receipt.commitment.header.items} items, in {len(receipt.opened)} proofs"),
        (f"{100 * receipt.rate:.4g}% wrong", f"missed with probability {receipt.miss_probability:.3g}"),
    ]
    out.print(facts("Sample proven: the other items are not", rows))


@batch.command("verify-sample")
@guarded
def verify(
    folder: Folder,
    commitment: Annotated[Path, typer.Argument(help="The model owner's commitment (.zkc).")],
    published: Annotated[
        str, typer.Option(help="The digest that was published before the challenge was drawn, hexadecimal.")
    ],
    challenge: Challenge,
    inputs: Inputs = None,
    context: Context = "",
    saturate: Saturate = False,
    rate: Annotated[
        float | None, typer.Option(help="Rate of wrong outputs that you ask about; else the operator's choice.")
    ] = None,
    confidence: Annotated[
        float | None, typer.Option(help="Refuse samples that would miss it with a probability above 1 - confidence.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that check.")] = 1,
) -> None:
    """Check a sampled job, with your own inputs, digest and challenge. It is not a proof of all items."""
    from zkinfer.jobs.sample_verification import verify_sample

    verified = verify_sample(
        folder,
        commitment,
        required(inputs),
        read_digest("--published", published),
        read_challenge(challenge),
        context=read_context(context),
        saturate=saturate,
        rate=rate,
        confidence=confidence,
        workers=workers,
    )
    rows = [
        ("model", f"{verified.fingerprint}  (compare it with the fingerprint that the owner published)"),
        ("proven", f"{verified.sampled} of {verified.items} items, in {verified.proofs} proofs"),
        (f"{100 * verified.rate:.4g}% wrong", f"missed with probability {verified.miss_probability:.3g}"),
        ("", "provided that the challenge came after the digest, from nobody on the operator's side"),
        ("security", f"about {verified.security_bits:.0f} bits a proof"),
        ("checked in", duration(verified.seconds)),
    ]
    out.print(facts("VALID SAMPLE: not a proof of all items", rows))
    if verified.test_only:
        warn_test_only()
