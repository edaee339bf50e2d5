"""A second verifier of sumcheck and lookups, written from docs/protocol/sumcheck-and-lookup.md alone.

It shares the field in plain Python and the transcript with the library, and nothing else: no channel, no parameters, no
tables. Both verifiers read the stored vectors, and must agree on every proof below, honest or not.
"""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zkinfer.protocol.lookup.verifier import verify

from zkinfer.errors import VerificationError
from zkinfer.protocol.channel import ProverChannel, VerifierChannel
from zkinfer.protocol.field.encoding import encode_base
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, ZERO, eq, ext_add, ext_mul, ext_sub, mle
from zkinfer.protocol.lookup import reference
from zkinfer.protocol.lookup.params import Block, LookupInstance
from zkinfer.protocol.lookup.tables import AffinePiece, ExplicitTable, PiecewiseTable, RangeTable
from zkinfer.protocol.transcript import Transcript

VECTORS = Path(__file__).parent / "vectors" / "lookup.json"


class RefusedError(Exception):
    """The proof is not accepted."""


class Proof:
    """Section 1, plain."""

    def __init__(self, data, domain):
        self.data, self.transcript = data, Transcript(domain)

    def receive(self, label, count):
        piece, self.data = self.data[: 21 * count], self.data[21 * count :]
        numbers = [int.from_bytes(piece[i : i + 7], "little") for i in range(0, len(piece), 7)]
        if len(piece) != 21 * count or any(v >= P for v in numbers):
            raise RefusedError
        self.transcript.absorb(label, piece)
        return [tuple(numbers[i : i + 3]) for i in range(0, 3 * count, 3)]

    def draw(self, label):
        return self.transcript.challenge_ext(label)


def require(condition):
    if not condition:
        raise RefusedError


def total(elements):
    result = ZERO
    for element in elements:
        result = ext_add(result, element)
    return result


def scaled(integer, element):
    return ext_mul((integer % P, 0, 0), element)


def last(point, k):
    return point[len(point) - k :]


def run_layer(proof, point, claims, lambda_):
    """Section 2 for the batches of section 3: a point, degree 2; `claims` is (variables, claim) for each tree."""
    b = proof.draw("sumcheck batch") if len(claims) > 1 else ONE
    factors = [ONE]
    while len(factors) < len(claims):
        factors.append(ext_mul(factors[-1], b))
    target = total(ext_mul(f, claim) for f, (_, claim) in zip(factors, claims, strict=True))
    r = []
    for t in point:
        g1, g2 = proof.receive("sumcheck round", 2)
        x = proof.draw("sumcheck point")
        target = total([target, ext_mul(ext_sub(x, t), g1), ext_mul(ext_sub(ext_mul(x, x), t), g2)])
        r.append(x)
    children = []
    for f, _ in zip(factors, claims, strict=True):
        p0, p1, q0, q1 = proof.receive("sumcheck evaluations", 4)
        value = total([ext_mul(p0, q1), ext_mul(p1, q0), ext_mul(lambda_, ext_mul(q0, q1))])
        target = ext_sub(target, ext_mul(f, value))
        children.append((p0, p1, q0, q1))
    require(target == ZERO)
    return r, children


def thresholds(a, point):
    """(G, W, I) of section 3."""
    g, w, i, s = ONE, ZERO, ZERO, 1
    for r in reversed(point):
        if a & s:
            w, g = ext_mul(r, ext_add(w, scaled(s, g))), ext_mul(r, g)
        else:
            w = ext_add(w, ext_mul(r, ext_sub(ext_add(i, (s, 0, 0)), w)))
            g = ext_add(g, ext_mul(r, ext_sub(ONE, g)))
        i, s = ext_add(i, scaled(s, r)), 2 * s
    return (ZERO, ZERO, i) if a == s else (g, w, i)


def layout(sizes):
    """Offsets, depth and filled cells of a stack."""
    offsets, at = [0] * len(sizes), 0
    for k in sorted(set(sizes), reverse=True):
        for i, size in enumerate(sizes):
            if size == k:
                offsets[i], at = at, at + (1 << k)
    depth = 0
    while 1 << depth < at:
        depth += 1
    return offsets, depth, at


def cut_up(order, blocks):
    """The blocks of each stack: cut at the three largest binary digits of the number of entries."""
    entries, ends = sum(1 << k for _, k in blocks), [0]
    while ends[-1] < entries and len(ends) < 4:
        digit = 1
        while 2 * digit <= entries - ends[-1]:
            digit *= 2
        ends.append(ends[-1] + digit)
    if ends[-1] < entries:
        ends.append(entries)
    parts, at = [[] for _ in ends[1:]], 0
    for i in order:
        parts[max(j for j, end in enumerate(ends) if end <= at)].append(i)
        at += 1 << blocks[i][1]
    return parts


def selector(offset, k, point):
    high = len(point) - k
    bits = [((offset >> k) >> (high - 1 - j)) & 1 for j in range(high)]
    return eq([(bit, 0, 0) for bit in bits], point[:high])


def table_rows(table):
    return len(table["columns"][0]) if table["kind"] == "explicit" else table["rows"]


def table_size(table):
    """The least k for which 2^k is not below the number of rows."""
    return (table_rows(table) - 1).bit_length()


def table_width(table):
    return {"range": 1, "piecewise": 2, "explicit": len(table.get("columns", []))}[table["kind"]]


def table_bytes(table):
    match table["kind"]:
        case "range":
            numbers = [table["rows"], table["start"]]
        case "piecewise":
            numbers = [table["rows"], table["start"], len(table["pieces"]), *(v for p in table["pieces"] for v in p)]
        case "explicit":
            columns = table["columns"]
            numbers = [len(columns), len(columns[0]), *(v for c in columns for v in c)]
    return table["kind"].encode() + encode_base([v % P for v in numbers])


def table_at(table, point):
    if table["kind"] == "explicit":
        fill = (1 << table_size(table)) - len(table["columns"][0])
        return [mle([(v % P, 0, 0) for v in [*c, *[c[-1]] * fill]], point) for c in table["columns"]]
    last_row = table["rows"] - 1
    g, w, i = thresholds(table["rows"], point)
    values = [total([(table["start"] % P, 0, 0), i, scaled(-1, w), scaled(last_row, g)])]
    if table["kind"] == "piecewise":
        _, last_offset, last_slope = table["pieces"][-1]
        output, before = ZERO, (0, 0)
        for first, offset, slope in [*table["pieces"], (table["rows"], last_offset + last_slope * last_row, 0)]:
            g, w, _ = thresholds(first, point)
            output = total([output, scaled(offset - before[0], g), scaled(slope - before[1], w)])
            before = (offset, slope)
        values.append(output)
    return values


def independent_verify(statement, message, domain):
    """Section 3; the claims that are left, or RefusedError."""
    tables, blocks = statement["tables"], statement["blocks"]
    proof = Proof(message, domain)
    described = [table_bytes(t) for t in tables]
    lengths = [len(tables), *map(len, described), len(blocks)]
    data = encode_base(lengths) + b"".join(described) + encode_base(v for block in blocks for v in block)
    proof.transcript.absorb("lookup", data)
    alpha, gamma = proof.draw("lookup alpha"), proof.draw("lookup gamma")

    order = sorted(
        range(len(blocks)), key=lambda i: (-blocks[i][1], table_width(tables[blocks[i][0]]), blocks[i][0], i)
    )
    stacks = [[blocks[i][1] for i in part] for part in cut_up(order, blocks)]
    layouts = [layout(sizes) for sizes in (*stacks, [table_size(t) for t in tables])]
    roots = proof.receive("lookup roots", 2 * len(layouts))
    inverses = proof.receive("lookup inverses", len(layouts))
    fractions, quotients = [], []
    for i, inverse in enumerate(inverses):
        p, q = roots[2 * i : 2 * i + 2]
        require(ext_mul(q, inverse) == ONE)
        fractions.append((p, q))
        quotients.append(ext_mul(p, inverse))
    require(total(quotients[:-1]) == quotients[-1])

    depths, point = [depth for _, depth, _ in layouts], []
    n = max(depths)
    for layer in range(n):
        lambda_ = proof.draw("lookup layer")
        taking_part = [i for i, depth in enumerate(depths) if layer >= n - depth]
        claims = [
            (layer - (n - depths[i]), ext_add(fractions[i][0], ext_mul(lambda_, fractions[i][1]))) for i in taking_part
        ]
        r, children = run_layer(proof, point, claims, lambda_)
        c = proof.draw("lookup child")
        for i, (p0, p1, q0, q1) in zip(taking_part, children, strict=True):
            fractions[i] = (
                ext_add(p0, ext_mul(c, ext_sub(p1, p0))),
                ext_add(q0, ext_mul(c, ext_sub(q1, q0))),
            )
        point = [*r, c]

    width = max(table_width(t) for t in tables)

    def fingerprint(number, values):
        result, power = ZERO, ONE
        for c in range(width):
            if c < len(values):
                result = ext_add(result, ext_mul(power, values[c]))
            power = ext_mul(power, gamma)
        return ext_add(result, scaled(number, power))

    claim_of = {}
    for part, (offsets, depth, filled), (p, q) in zip(cut_up(order, blocks), layouts, fractions, strict=False):
        at = last(point, depth)
        denominator = thresholds(filled, at)[0]
        require(p == ext_sub(ONE, denominator))
        for i, offset in zip(part, offsets, strict=True):
            number, k = blocks[i]
            values = proof.receive("lookup block", table_width(tables[number]))
            gap = ext_sub(alpha, fingerprint(number, values))
            denominator = ext_add(denominator, ext_mul(selector(offset, k, at), gap))
            claim_of[i] = (last(at, k), values)
        require(q == denominator)
    claims = [claim_of[i] for i in range(len(blocks))]

    (p, q), (row_offsets, row_depth, rows) = fractions[-1], layouts[-1]
    at = last(point, row_depth)
    multiplicities = proof.receive("lookup multiplicities", len(tables))
    numerator, denominator = ZERO, thresholds(rows, at)[0]
    for number, (table, offset, m) in enumerate(zip(tables, row_offsets, multiplicities, strict=True)):
        k = table_size(table)
        select = selector(offset, k, at)
        gap = ext_sub(alpha, fingerprint(number, table_at(table, last(at, k))))
        numerator, denominator = ext_add(numerator, ext_mul(select, m)), ext_add(denominator, ext_mul(select, gap))
        claims.append((last(at, k), [m]))
    require(p == numerator and q == denominator and not proof.data)
    return [(tuple(own), tuple(values)) for own, values in claims]


def instance_of(statement):
    """The library's description of a vector's statement."""
    built = {
        "range": lambda t: RangeTable(t["rows"], t["start"]),
        "piecewise": lambda t: PiecewiseTable(t["rows"], t["start"], tuple(AffinePiece(*p) for p in t["pieces"])),
        "explicit": lambda t: ExplicitTable(tuple(map(tuple, t["columns"]))),
    }
    tables = tuple(built[t["kind"]](t) for t in statement["tables"])
    return LookupInstance(tables, tuple(Block(*b) for b in statement["blocks"]))


def library_verify(statement, message, domain):
    channel = VerifierChannel(Transcript(domain), message)
    claims = verify(instance_of(statement), channel)
    channel.finish()
    return [(c.point, tuple(v.constant for v in c.values)) for c in claims.blocks + claims.multiplicities]


def outcomes(statement, message, domain=b"vectors"):
    """What both verifiers say, None for a refusal; a library error of another kind is a failure of the test."""
    results = []
    for function, refusal in ((library_verify, VerificationError), (independent_verify, RefusedError)):
        try:
            results.append(function(statement, message, domain))
        except refusal:
            results.append(None)
    return results


VECTOR_LIST = json.loads(VECTORS.read_text())
names = [v["name"] for v in VECTOR_LIST]


@pytest.mark.parametrize("vector", VECTOR_LIST, ids=names)
def test_the_library_still_makes_the_stored_proof(vector):
    instance = instance_of(vector["statement"])
    channel = ProverChannel(Transcript(b"vectors"))
    reference.prove(instance, vector["entries"], reference.multiplicities(instance, vector["entries"]), channel)
    assert channel.message.hex() == vector["proof"]


@pytest.mark.parametrize("vector", VECTOR_LIST, ids=names)
def test_both_accept_the_stored_proof_with_the_same_claims(vector):
    ours, independent = outcomes(vector["statement"], bytes.fromhex(vector["proof"]))
    assert ours is not None
    assert ours == independent


@pytest.mark.parametrize("vector", VECTOR_LIST, ids=names)
def test_both_refuse_every_changed_element(vector):
    message = bytes.fromhex(vector["proof"])
    for at in range(0, len(message), 7):
        value = (int.from_bytes(message[at : at + 7], "little") + 1) % P
        changed = message[:at] + value.to_bytes(7, "little") + message[at + 7 :]
        assert outcomes(vector["statement"], changed) == [None, None]


@settings(max_examples=60, deadline=None)
@given(vector=st.sampled_from(VECTOR_LIST), cut=st.integers(0, 10**6), bit=st.integers(0, 10**6), tail=st.binary())
def test_both_agree_on_damaged_proofs(vector, cut, bit, tail):
    message = bytearray(bytes.fromhex(vector["proof"])[: -1 - cut % 40])
    message[bit // 8 % len(message)] ^= 1 << bit % 8
    for changed in (bytes(message), bytes(message) + tail, bytes.fromhex(vector["proof"]) + tail):
        ours, independent = outcomes(vector["statement"], changed)
        assert ours == independent


def test_both_refuse_another_domain_and_another_statement():
    first, second = VECTOR_LIST[0], VECTOR_LIST[1]
    message = bytes.fromhex(first["proof"])
    assert outcomes(first["statement"], message, b"other") == [None, None]
    assert outcomes(second["statement"], message) == [None, None]
