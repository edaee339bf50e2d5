"""What each builtin and each form of statement does, by running small programs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkinfer.errors import MalformedCommitmentError
from zkinfer.ezkl.verifier.interpreter import translate
from zkinfer.ezkl.verifier.machine import CurveRecord, Machine, MachineLimits, Returned, Reverted
from zkinfer.ezkl.verifier.transcript import KeccakTranscript
from zkinfer.ezkl.verifier.yul import parse

M = 2**256
SHELL = (
    "pragma solidity ^0.8.0; contract C { uint256 internal constant K = 77; "
    "function verifyProof(bytes calldata proof, uint256[] calldata instances) public returns (bool) "
    "{ assembly { %s } } }"
)
PROOF = bytes(range(64))
INSTANCES = bytes(range(64, 96))


def run(text: str, steps: int = 10_000) -> Machine:
    """The machine after the program ended by itself."""
    program = translate(parse((SHELL % text).encode()))
    limits = MachineLimits(steps=steps, memory=4096, curve_operations=10)
    machine = Machine(INSTANCES, PROOF, KeccakTranscript(bytes(32), INSTANCES, PROOF), CurveRecord(), limits)
    program(machine)
    return machine


def value(expression: str, *before: str) -> int:
    """The value of an expression."""
    return run(" ".join([*before, f"mstore(0, {expression})"])).load(0)


def refused(text: str, message: str) -> None:
    with pytest.raises(MalformedCommitmentError, match=message):
        run(text)


WORDS = st.integers(0, M - 1) | st.integers(0, 300) | st.integers(M - 300, M - 1)


@given(WORDS, WORDS)
def test_arithmetic_is_modulo_2_256(a: int, b: int) -> None:
    expected = {
        "add": (a + b) % M,
        "sub": (a - b) % M,
        "mul": a * b % M,
        "div": a // b if b else 0,
        "mod": a % b if b else 0,
        "and": a & b,
        "or": a | b,
        "xor": a ^ b,
        "eq": int(a == b),
        "lt": int(a < b),
        "gt": int(a > b),
        "shl": (b << a) % M if a < 256 else 0,
        "shr": b >> a if a < 256 else 0,
    }
    text = " ".join(f"mstore({32 * i}, {name}({a}, {b}))" for i, name in enumerate(expected))
    machine = run(text)
    assert {name: machine.load(32 * i) for i, name in enumerate(expected)} == expected


@given(WORDS, WORDS, WORDS)
def test_modular_arithmetic_does_not_wrap_before_reducing(a: int, b: int, n: int) -> None:
    assert value(f"addmod({a}, {b}, {n})") == ((a + b) % n if n else 0)
    assert value(f"mulmod({a}, {b}, {n})") == (a * b % n if n else 0)


@given(WORDS)
def test_unary(a: int) -> None:
    assert value(f"iszero({a})") == int(a == 0)
    assert value(f"not({a})") == M - 1 - a


def test_calldata_and_constants() -> None:
    assert value("K") == 77
    assert value("proof.offset") == 0x64
    assert value("proof.length") == 64
    assert value("instances.offset") == 0x64 + 64 + 32
    assert value("instances.length") == 1
    assert value("calldataload(add(proof.offset, 32))") == int.from_bytes(PROOF[32:], "big")
    assert value("gas()") > 0


def test_variables_and_functions() -> None:
    assert value("x", "let x := 5 let y := add(x, 1) x := mul(x, y)") == 30
    assert value("add(a, b)", "function two(n) -> p, q { p := n q := add(n, 1) } let a, b := two(7)") == 15
    assert value("b", "function two(n) -> p, q { p := n q := 9 } let a let b a, b := two(7)") == 9
    assert value("f()", "function f() -> r { }") == 0
    assert value("mload(64)", "function f(x) { mstore(64, x) } f(3)") == 3
    assert value("f(f(2))", "function f(x) -> r { r := mul(x, 3) }") == 18
    assert value("f(1)", "mstore(64, f(5)) function f(x) -> r { let y := x r := add(r, y) }") == 1


def test_declaration_without_value_starts_at_zero_in_every_round() -> None:
    loop = "for { let i := 0 } lt(i, 3) { i := add(i, 1) } { let x x := add(x, 1) mstore(64, x) }"
    assert run(loop).load(64) == 1


def test_arguments_are_evaluated_from_right_to_left() -> None:
    trace = "function t(n) -> r { mstore(64, add(mul(mload(64), 10), n)) r := n }"
    assert value("mload(64)", trace, "pop(add(t(1), t(2)))") == 21
    assert value("mload(64)", trace, "pop(mulmod(t(1), t(2), t(3)))") == 321
    assert value("mload(64)", trace, "pop(addmod(t(1), t(2), t(3)))") == 321
    assert value("mload(64)", trace, "mstore(t(1), t(2))") == 21
    assert value("mload(64)", trace, "function g(a, b, c) { } g(t(1), t(2), t(3))") == 321
    assert value("mload(128)", trace, "mstore(64, 0) mstore(128, sub(t(7), t(2)))") == 5


def test_control_flow() -> None:
    assert run("if 0 { mstore(64, 1) } if 2 { mstore(96, 1) }").load(64) == 0
    assert run("if 2 { mstore(96, 1) }").load(96) == 1
    total = "for { let i := 1 let s } lt(i, 5) { i := add(i, 1) } { s := add(s, i) mstore(0, s) }"
    assert run(total).load(0) == 10
    assert run("for { } 0 { } { mstore(0, 1) }").load(0) == 0


def test_ends() -> None:
    with pytest.raises(Returned) as caught:
        run("mstore(0, 5) return(0, 32)")
    assert caught.value.data == (5).to_bytes(32, "big")
    with pytest.raises(Reverted):
        run("revert(0, 0)")
    with pytest.raises(Reverted):
        run("if 1 { for { } 1 { } { revert(0, 0) } }")


def test_inner_names_end_with_their_block() -> None:
    refused("{ let x := 1 } mstore(0, x)", "'x' is not declared")
    refused("for { let i } 0 { } { } mstore(0, i)", "'i' is not declared")
    assert value("1", "{ let x := 1 } { let x := 2 }") == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mstore(0, x)", "'x' is not declared"),
        ("let x := x", "'x' is not declared"),
        ("x := 1", "assigns to a variable that is not declared"),
        ("let x let x", "has a meaning already"),
        ("let x { let x }", "has a meaning already"),
        ("let K", "has a meaning already"),
        ("let mload", "has a meaning already"),
        ("let mstore", "has a meaning already"),
        ("let proof.length", "has a meaning already"),
        ("let f function f() { }", "has a meaning already"),
        ("function f() { } function f() { }", "defines 'f' twice"),
        ("function add(a, b) -> c { }", "defines 'add' twice"),
        ("function mstore(a, b) { }", "defines 'mstore' twice"),
        ("{ function f() { } }", "defines a function inside"),
        ("function f() { function g() { } }", "defines a function inside"),
        ("function f(x) -> r { r := f(x) }", "neither a function nor a builtin"),
        ("function f() { g() } function g() { }", "neither a function nor a builtin"),
        ("let y function f() -> r { r := y }", "'y' is not declared"),
        ("function f(a, a) { }", "has a meaning already"),
        ("pop(f(1))", "neither a function nor a builtin"),
        ("function f(x) -> r { } pop(f())", "takes 1 arguments"),
        ("function f() -> r { } f()", "gives 1 values"),
        ("function f() { } pop(f())", "gives 0 values"),
        ("function f() -> r { } let a, b := f()", "gives 1 values"),
        ("let a, b := 5", "one value to several"),
        ("pop(add(1))", "add with 1 arguments"),
        ("pop(add(1, 2, 3))", "add with 3 arguments"),
        ("pop()", "pop with 0 arguments"),
        ("mstore(1)", "mstore with 1 arguments"),
        ("pop(mstore(0, 1))", "neither a function nor a builtin"),
        ("add(1, 2)", "neither a function nor a builtin"),
        ("pop(sload(0))", "neither a function nor a builtin"),
        ("pop(call(0, 0, 0, 0, 0, 0, 0))", "neither a function nor a builtin"),
        ("selfdestruct(0)", "neither a function nor a builtin"),
        ("sstore(0, 1)", "neither a function nor a builtin"),
        ("pop(create(0, 0, 0))", "neither a function nor a builtin"),
        ("pop(returndatasize())", "neither a function nor a builtin"),
    ],
)
def test_meaningless_programs_are_refused(text: str, message: str) -> None:
    refused(text, message)


def test_endless_loop_is_stopped() -> None:
    refused("for { } 1 { } { }", "runs longer")
    refused("for { let i } 1 { i := add(i, 1) } { pop(i) }", "runs longer")


def test_nested_loops_are_stopped() -> None:
    loop = "for { let %s } lt(%s, 100) { %s := add(%s, 1) } { %s }"
    text = "pop(0)"
    for name in "abcdef":
        text = loop % (name, name, name, name, text)
    refused(text, "runs longer")


def test_long_chain_of_calls_is_stopped() -> None:
    """Every call of a function costs what its body costs."""
    text = "function f() -> r { r := add(1, add(2, 3)) } " + "pop(f()) " * 20
    assert run(text, steps=20 * 9)
    with pytest.raises(MalformedCommitmentError, match="runs longer"):
        run(text, steps=100)


def test_growing_memory_is_stopped() -> None:
    refused("for { let i := 1 } 1 { i := mul(i, 2) } { mstore(i, 1) }", "uses memory")


def test_huge_memory_address_is_stopped() -> None:
    refused(f"mstore({M - 1}, 1)", "uses memory")
    refused(f"return(0, {M - 1})", "uses memory")
    refused(f"pop(mload({M - 32}))", "uses memory")


def test_hash_is_the_transcripts() -> None:
    refused("pop(keccak256(0, 32))", "challenge")
