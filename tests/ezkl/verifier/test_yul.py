"""The grammar: what is read, and that everything else is refused with its place, however large or deep."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkinfer.errors import MalformedCommitmentError
from zkinfer.ezkl.verifier import yul
from zkinfer.ezkl.verifier.yul import (
    MAX_DEPTH,
    Assign,
    Evaluate,
    For,
    If,
    Let,
    Name,
    Number,
    YulBlock,
    YulCall,
    YulFunction,
    YulStatement,
    parse,
)

SHELL = """// SPDX-License-Identifier: MIT
pragma solidity ^0.8.0;
contract Halo2Verifier {
    uint256 internal constant A = 0x10;
    uint256 internal constant B_2 = 16; // the same
    function verifyProof(bytes calldata proof, uint256[] calldata instances) public returns (bool) {
        assembly { %s }
    }
}
"""


def body(text: str) -> tuple[YulStatement, ...]:
    """The statements of an assembly block."""
    return parse((SHELL % text).encode()).body.statements


def test_constants_and_size() -> None:
    contract = parse((SHELL % "pop(A)").encode())
    assert contract.constants == {"A": 16, "B_2": 16}
    assert contract.body == YulBlock((Evaluate(YulCall("pop", (Name("A"),))),))
    assert contract.size == len(list(yul.tokenize(SHELL % "pop(A)"))) + 1


def test_every_form_of_statement() -> None:
    assert body("let x") == (Let(("x",), None),)
    assert body("let x, y := f(1, true)") == (Let(("x", "y"), YulCall("f", (Number(1), Number(1)))),)
    assert body("x := false") == (Assign(("x",), Number(0)),)
    assert body("x, y := g()") == (Assign(("x", "y"), YulCall("g", ())),)
    assert body("{ pop(proof.offset) }") == (YulBlock((Evaluate(YulCall("pop", (Name("proof.offset"),))),)),)
    assert body("if lt(x, 0xff) { }") == (If(YulCall("lt", (Name("x"), Number(255))), YulBlock(())),)
    assert body("for { let i } i { } { }") == (
        For(YulBlock((Let(("i",), None),)), Name("i"), YulBlock(()), YulBlock(())),
    )
    assert body("function f(a, b) -> c { }") == (YulFunction("f", ("a", "b"), ("c",), YulBlock(())),)
    assert body("function f() { }") == (YulFunction("f", (), (), YulBlock(())),)


@pytest.mark.parametrize(
    "text",
    [
        "switch x case 0 { }",
        "leave",
        "break",
        "let",
        "let if",
        "let 5 := 1",
        "let ( := 1",
        "let , := 1",
        "5 := 1",
        "function 5() { }",
        "function f(5) { }",
        "x :=",
        "x := 5 6",
        "f(",
        "f(1,)",
        "f(,1)",
        "5",
        "5()",
        "if x",
        "for { } x { }",
        "function f(a,) { }",
        "function f() -> { }",
        "x y := 1",
        'let x := "text"',
        "let x := hex",
        "}",
        "{",
        "] :=",
        "let x := 0x",
        "let x := 0xgg",
        "let x := 12ab",
        "let x := -1",
        "let x : u256 := 1",
        "x = 1",
    ],
)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(MalformedCommitmentError, match="verifier artifact"):
        body(text)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("^0.8.0", "^0.9.0"),
        ("bytes calldata proof", "bytes memory proof"),
        ("returns (bool)", "returns (uint256)"),
        ("public", "external"),
        ("assembly {", 'assembly ("memory-safe") {'),
        ("constant A", "constant B_2"),
        ("= 0x10", "= B_2"),
        ("uint256 internal constant A", "uint8 internal constant A"),
        ("contract Halo2Verifier", "library Halo2Verifier"),
        ("pragma solidity", "import"),
    ],
)
def test_other_shells_are_refused(before: str, after: str) -> None:
    source = SHELL % "pop(0)"
    assert before in source
    with pytest.raises(MalformedCommitmentError):
        parse(source.replace(before, after, 1).encode())


def test_nothing_may_follow() -> None:
    with pytest.raises(MalformedCommitmentError, match="the end"):
        parse((SHELL % "pop(0)" + "contract Other { }").encode())


def test_numbers_are_words() -> None:
    assert body(f"let x := {2**256 - 1}") == (Let(("x",), Number(2**256 - 1)),)
    assert body("let x := 0x" + "f" * 64) == (Let(("x",), Number(2**256 - 1)),)
    with pytest.raises(MalformedCommitmentError, match=r"below 2\*\*256"):
        body(f"let x := {2**256}")


def test_endless_number_is_not_converted() -> None:
    with pytest.raises(MalformedCommitmentError, match="a number"):
        body("let x := " + "9" * 1_000_000)


def test_depth_is_bounded() -> None:
    levels = MAX_DEPTH - 1
    assert body("{" * levels + "}" * levels)
    assert body("pop(" + "f(" * (levels - 1) + "1" + ")" * levels)
    for text in ("{" * MAX_DEPTH + "}" * MAX_DEPTH, "pop(" + "f(" * levels + "1" + ")" * MAX_DEPTH):
        with pytest.raises(MalformedCommitmentError, match="nested deeper"):
            body(text)


@pytest.mark.parametrize("unit", ["{", "f(", "if x {", "for {", "function f() {"])
def test_very_deep_text_is_refused_at_once(unit: str) -> None:
    with pytest.raises(MalformedCommitmentError, match="nested deeper"):
        body(unit * 100_000)


def test_length_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    source = (SHELL % "pop(0)").encode()
    monkeypatch.setattr(yul, "MAX_SOURCE_BYTES", len(source))
    parse(source)
    with pytest.raises(MalformedCommitmentError, match="bytes of source"):
        parse(source + b"\n")


def test_number_of_tokens_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    source = (SHELL % "pop(0)").encode()
    monkeypatch.setattr(yul, "MAX_TOKENS", parse(source).size - 1)
    parse(source)
    with pytest.raises(MalformedCommitmentError, match="tokens"):
        parse(source.replace(b"pop(0)", b"pop(0) {}"))


def test_message_gives_the_line() -> None:
    with pytest.raises(MalformedCommitmentError, match="line 7: '@' begins no token"):
        body("@")


def test_text_is_ascii() -> None:
    with pytest.raises(MalformedCommitmentError, match="not ASCII"):
        body("let é")


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_by_name(data: bytes) -> None:
    with pytest.raises(MalformedCommitmentError):
        parse(data)


TOKENS = st.sampled_from(
    ["let", "if", "for", "function", "true", "f", "x", ",", "(", ")", "{", "}", ":=", "->", "1", "0x2", "proof.length"]
)


@given(st.lists(TOKENS, max_size=30))
def test_any_tokens_are_read_or_refused_by_name(tokens: list[str]) -> None:
    with contextlib.suppress(MalformedCommitmentError):
        body(" ".join(tokens))
