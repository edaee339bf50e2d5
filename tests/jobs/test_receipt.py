"""Receipts: a tree of the shape of RFC 6962, paths that lead from one place alone, one value for all of a job."""

from typing import Any

import msgspec
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from zkinfer.errors import InvalidInputError, InvalidProofError, MalformedProofError
from zkinfer.jobs.manifest import DeadLetter, JobBatch, Manifest
from zkinfer.jobs.receipt import Item, ItemReceipt, item_receipt, items_of, receipt_of
from zkinfer.jobs.tree import tree_head


def digests(*seeds: int) -> bytes:
    return b"".join(bytes([seed]) * 32 for seed in seeds)


FIRST = JobBatch(0, 3, (1,), digests(1, 2), digests(11, 12), "000.proof", digests(100))
SECOND = JobBatch(3, 5, (), digests(3, 4), digests(13, 14), "003.proof", digests(101))
JOB = Manifest(
    commitment=digests(200),
    program=digests(201),
    context=b"night 1",
    saturate=False,
    private_inputs=False,
    private_outputs=False,
    circuit_batch=1,
    batch_size=3,
    items=5,
    batches=(FIRST, SECOND),
    dead_letters=(DeadLetter(1, "NaN"),),
)
RECEIPT = receipt_of(JOB)


def test_the_receipt_by_hand() -> None:
    """The definition, byte for byte."""

    def keyed(key: bytes, data: bytes) -> bytes:
        return blake3(data, key=key.ljust(32, b"\0")).digest()

    def leaf(index: int, lengths: list[int], rest: bytes, dead: int = 0) -> bytes:
        return keyed(b"zkinfer 2026 receipt leaf v1", index.to_bytes(8, "little") + bytes([dead, *lengths]) + rest)

    def node(left: bytes, right: bytes) -> bytes:
        return keyed(b"zkinfer 2026 receipt node v1", left + right)

    full = [32, 32, 32]
    a, b = leaf(0, full, digests(1, 11, 100)), leaf(1, [0, 0, 0], b"NaN", dead=1)
    c, d = leaf(2, full, digests(2, 12, 100)), leaf(3, full, digests(3, 13, 101))
    e = leaf(4, full, digests(4, 14, 101))
    head = node(node(node(a, b), node(c, d)), e)
    fixed = digests(200, 201) + bytes(3) + (5).to_bytes(8, "little") + head
    assert keyed(b"zkinfer 2026 receipt v1", fixed + b"night 1") == RECEIPT


def of_job(**changes: Any) -> Manifest:
    return msgspec.structs.replace(JOB, **changes)


def of_first(**changes: Any) -> Manifest:
    return of_job(batches=(msgspec.structs.replace(FIRST, **changes), SECOND))


@pytest.mark.parametrize(
    "other",
    [
        of_job(commitment=digests(1)),
        of_job(program=digests(1)),
        of_job(context=b"night 2"),
        of_job(saturate=True),
        of_job(private_inputs=True),
        of_job(private_outputs=True),
        of_job(items=6),
        of_job(dead_letters=(DeadLetter(1, "shape"),)),
        of_first(input_digests=digests(2, 1)),
        of_first(input_digests=digests(1, 9)),
        of_first(output_digests=digests(11, 9)),
        of_first(proof_digest=digests(9)),
        of_first(proof_digest=b""),
        of_job(batches=(FIRST,)),
    ],
)
def test_the_receipt_is_another_where_anything_of_the_job_is(other: Manifest) -> None:
    assert receipt_of(other) != RECEIPT


def test_how_the_items_are_named_in_files_is_not_part_of_it() -> None:
    assert receipt_of(of_first(proof="000000.proof")) == RECEIPT


def test_digests_do_not_slide_into_each_other() -> None:
    """The same bytes, read as other parts of an item, make another leaf."""
    shown, hidden = Item(0, digests(1), digests(2), b""), Item(0, digests(1), b"", digests(2))
    assert len({item.leaf() for item in (shown, hidden, Item(0, b"", digests(1), digests(2)))}) == 3


def test_a_node_is_no_leaf() -> None:
    """A job of half the size, with the nodes above the leaves as its leaves, has another receipt."""
    leaves = [item.leaf() for item in items_of(JOB)]
    left, right = tree_head(leaves[:4]), leaves[4]
    assert tree_head([left, right]) == tree_head(leaves)
    header = item_receipt(JOB, 0).header
    smaller = msgspec.structs.replace(header, items=2)
    assert smaller.receipt(tree_head([left, right])) != RECEIPT


@pytest.mark.parametrize(("index", "position"), [(0, 0), (1, 0), (2, 1), (3, 0), (4, 1)])
def test_every_item_has_a_path(index: int, position: int) -> None:
    found = ItemReceipt.from_bytes(item_receipt(JOB, index).to_bytes())
    found.check(RECEIPT)
    assert found.item == list(items_of(JOB))[index]
    assert found.position == position
    assert found.item.dead == (index == 1)


def test_no_item_has_no_path() -> None:
    for index in (-1, 5):
        with pytest.raises(InvalidInputError, match="items 0 to 4"):
            item_receipt(JOB, index)


ITEM = item_receipt(JOB, 2)


def forged_item(**changes: Any) -> ItemReceipt:
    return msgspec.structs.replace(ITEM, item=msgspec.structs.replace(ITEM.item, **changes))


def forged_header(**changes: Any) -> ItemReceipt:
    return msgspec.structs.replace(ITEM, header=msgspec.structs.replace(ITEM.header, **changes))


@pytest.mark.parametrize(
    "forged",
    [
        forged_item(index=3),
        forged_item(input_digest=digests(9)),
        forged_item(output_digest=digests(9)),
        forged_item(proof_digest=digests(9)),
        forged_item(input_digest=b"", output_digest=b"", proof_digest=b"", dead=True),
        forged_item(proof_digest=b""),
        forged_item(reason="x"),
        forged_header(context=b"night 2"),
        forged_header(commitment=digests(9)),
        forged_header(saturate=True),
        forged_header(items=6),
        msgspec.structs.replace(ITEM, siblings=ITEM.siblings[:-32] + bytes(32)),
    ],
)
def test_a_forged_item_is_not_in_the_receipt(forged: ItemReceipt) -> None:
    with pytest.raises(InvalidProofError, match="not one of the job"):
        ItemReceipt.from_bytes(forged.to_bytes()).check(RECEIPT)


@pytest.mark.parametrize(
    "forged",
    [
        forged_item(index=5),
        forged_item(index=-1),
        forged_item(input_digest=bytes(31)),
        forged_item(input_digest=b""),
        forged_item(output_digest=b""),
        forged_item(proof_digest=bytes(31)),
        forged_item(dead=True),
        forged_item(dead=True, input_digest=b"", output_digest=b"", proof_digest=bytes(32)),
        forged_header(private_inputs=True),
        forged_header(private_outputs=True),
        forged_item(reason="x" * 70_000),
        forged_header(commitment=b""),
        forged_header(program=b""),
        forged_header(items=1 << 50),
        forged_header(context=bytes(70_000)),
        msgspec.structs.replace(ITEM, position=-1),
        msgspec.structs.replace(ITEM, position=1 << 30),
    ],
)
def test_an_item_that_no_job_has_is_refused(forged: ItemReceipt) -> None:
    with pytest.raises(MalformedProofError, match="no job has one like it"):
        ItemReceipt.from_bytes(forged.to_bytes())


@given(st.binary(max_size=100), st.integers(0, 500))
def test_any_other_bytes_are_refused(data: bytes, position: int) -> None:
    good = ITEM.to_bytes()
    for attempt in (data, good[:position] + data + good[position + len(data) :]):
        if attempt != good:
            with pytest.raises(MalformedProofError, match="item"):
                ItemReceipt.from_bytes(attempt)


def test_an_item_comes_back_from_its_file(tmp_path: Any) -> None:
    ITEM.save(tmp_path / "2.zki")
    assert ItemReceipt.load(tmp_path / "2.zki") == ITEM
    with pytest.raises(MalformedProofError, match="cannot read"):
        ItemReceipt.load(tmp_path / "3.zki")
