"""The part of Yul (and the thin Solidity shell around it) in which ezkl writes its verifiers, as a syntax tree.

Grammar, in full; anything else is refused:

    contract   = "pragma" "solidity" "^0.8.0" ";" "contract" NAME "{" constant* function "}"
    constant   = "uint256" "internal" "constant" NAME "=" NUMBER ";"
    function   = "function" "verifyProof" "(" "bytes" "calldata" "proof" ","
                 "uint256" "[" "]" "calldata" "instances" ")" "public" "returns" "(" "bool" ")"
                 "{" "assembly" block "}"
    block      = "{" statement* "}"
    statement  = block | let | assignment | call | if | for | definition
    let        = "let" names (":=" expression)?
    assignment = names ":=" expression
    if         = "if" expression block
    for        = "for" block expression block block
    definition = "function" NAME "(" names? ")" ("->" names)? block
    names      = NAME ("," NAME)*
    expression = NUMBER | "true" | "false" | NAME | call
    call       = NAME "(" (expression ("," expression)*)? ")"

Reading is bounded: by the length of the source, the number of tokens, and how deeply blocks and expressions may nest.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from zkinfer.counts import counted
from zkinfer.errors import MalformedCommitmentError

MAX_SOURCE_BYTES = 4 << 20
MAX_TOKENS = 800_000
"""Comments and long numbers are most of an honest artifact: it has 7 bytes a token."""

MAX_DEPTH = 24
"""Nesting of blocks and of calls within calls; ezkl's own verifiers reach 7."""

MAX_NUMBER_DIGITS = 80
WORD_MASK = (1 << 256) - 1


@dataclass(frozen=True, slots=True)
class Number:
    """A literal below 2**256."""

    value: int


@dataclass(frozen=True, slots=True)
class Name:
    """A variable or a constant."""

    name: str


@dataclass(frozen=True, slots=True)
class YulCall:
    """A builtin or a function applied to arguments."""

    name: str
    arguments: "tuple[YulExpression, ...]"


YulExpression = Number | Name | YulCall


@dataclass(frozen=True, slots=True)
class YulBlock:
    """Statements in a scope of their own."""

    statements: "tuple[YulStatement, ...]"


@dataclass(frozen=True, slots=True)
class Let:
    """Declares variables; without a value they start at 0."""

    names: tuple[str, ...]
    value: YulExpression | None


@dataclass(frozen=True, slots=True)
class Assign:
    """Sets declared variables."""

    names: tuple[str, ...]
    value: YulExpression


@dataclass(frozen=True, slots=True)
class Evaluate:
    """A call for its effect."""

    call: YulCall


@dataclass(frozen=True, slots=True)
class If:
    """Runs the body where the condition is not 0."""

    condition: YulExpression
    body: YulBlock


@dataclass(frozen=True, slots=True)
class For:
    """A loop; the scope of `start` covers all of it."""

    start: YulBlock
    condition: YulExpression
    step: YulBlock
    body: YulBlock


@dataclass(frozen=True, slots=True)
class YulFunction:
    """A function definition."""

    name: str
    parameters: tuple[str, ...]
    returns: tuple[str, ...]
    body: YulBlock


YulStatement = YulBlock | Let | Assign | Evaluate | If | For | YulFunction


@dataclass(frozen=True, slots=True)
class YulContract:
    """A parsed verifier.

    Attributes:
        constants: the contract's constants.
        body: the assembly of `verifyProof`, in which `proof` and `instances` are the calldata.
        size: number of tokens; the measure that bounds what running it may cost.
    """

    constants: dict[str, int]
    body: YulBlock
    size: int


_TOKEN = re.compile(
    r"(?P<space>[ \t\r\n]+|//[^\n]*)"
    r"|(?P<number>0x[0-9a-fA-F]+|[0-9]+)(?![0-9A-Za-z_.$])"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\.[a-z]+)?)"
    r"|(?P<mark>:=|->|\^0\.8\.0|[{}(),;=\[\]])"
)
_KEYWORDS = frozenset(
    {"let", "if", "for", "function", "switch", "case", "default", "break", "continue", "leave", "true", "false", "hex"}
    | {"pragma", "solidity", "contract", "assembly", "returns"}
)


def tokenize(source: str) -> Iterator[str]:
    """The source's tokens, without space and comments.

    Raises:
        MalformedCommitmentError: a character that begins no token.
    """
    position = 0
    while position < len(source):
        match = _TOKEN.match(source, position)
        if match is None:
            line = source.count("\n", 0, position) + 1
            raise MalformedCommitmentError(f"verifier artifact, line {line}: {source[position]!a} begins no token")
        position = match.end()
        if match.lastgroup != "space":
            yield match.group()


class _Parser:
    def __init__(self, source: str) -> None:
        self.tokens = [*islice(tokenize(source), MAX_TOKENS + 1), ""]
        if len(self.tokens) > MAX_TOKENS + 1:
            raise MalformedCommitmentError(f"verifier artifact: more than {MAX_TOKENS} tokens")
        self.position = 0
        self.depth = 0

    def fail(self, wanted: str) -> MalformedCommitmentError:
        return MalformedCommitmentError(
            f"verifier artifact, token {self.position}: {self.tokens[self.position][:40]!a} where {wanted} is needed"
        )

    def peek(self) -> str:
        return self.tokens[self.position]

    def next(self) -> str:
        token = self.tokens[self.position]
        if token:
            self.position += 1
        return token

    def accept(self, token: str) -> bool:
        if self.peek() == token:
            self.position += 1
            return True
        return False

    def expect(self, *tokens: str) -> None:
        for token in tokens:
            if not self.accept(token):
                raise self.fail(repr(token))

    def name(self) -> str:
        token = self.peek()
        if not (token[:1].isalpha() or token[:1] == "_") or token in _KEYWORDS:
            raise self.fail("a name")
        return self.next()

    def names(self) -> tuple[str, ...]:
        names = [self.name()]
        while self.accept(","):
            names.append(self.name())
        return tuple(names)

    def number(self) -> int:
        token = self.peek()
        if not token[:1].isdecimal() or len(token) > MAX_NUMBER_DIGITS:
            raise self.fail("a number")
        value = int(token, 16 if token.startswith("0x") else 10)
        if value > WORD_MASK:
            raise self.fail("a number below 2**256")
        self.position += 1
        return value

    def enter(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise MalformedCommitmentError(
                f"verifier artifact, token {self.position}: nested deeper than {MAX_DEPTH} levels"
            )

    def contract(self) -> YulContract:
        self.expect("pragma", "solidity", "^0.8.0", ";", "contract")
        self.name()
        self.expect("{")
        constants: dict[str, int] = {}
        while self.accept("uint256"):
            self.expect("internal", "constant")
            name = self.name()
            if name in constants:
                raise self.fail("a constant's name that is not taken")
            self.expect("=")
            constants[name] = self.number()
            self.expect(";")
        self.expect("function", "verifyProof", "(", "bytes", "calldata", "proof", ",")
        self.expect("uint256", "[", "]", "calldata", "instances", ")", "public", "returns", "(", "bool", ")")
        self.expect("{", "assembly")
        body = self.block()
        self.expect("}", "}")
        if self.peek():
            raise self.fail("the end")
        return YulContract(constants, body, len(self.tokens))

    def block(self) -> YulBlock:
        self.enter()
        self.expect("{")
        statements = []
        while not self.accept("}"):
            statements.append(self.statement())
        self.depth -= 1
        return YulBlock(tuple(statements))

    def statement(self) -> YulStatement:
        if self.peek() == "{":
            return self.block()
        if self.accept("let"):
            names = self.names()
            return Let(names, self.expression() if self.accept(":=") else None)
        if self.accept("if"):
            return If(self.expression(), self.block())
        if self.accept("for"):
            return For(self.block(), self.expression(), self.block(), self.block())
        if self.accept("function"):
            return self.function()
        if self.tokens[self.position + 1 : self.position + 2] == ["("]:
            call = self.expression()
            if not isinstance(call, YulCall):
                raise self.fail("a call")
            return Evaluate(call)
        names = self.names()
        self.expect(":=")
        return Assign(names, self.expression())

    def function(self) -> YulFunction:
        name = self.name()
        self.expect("(")
        parameters = () if self.peek() == ")" else self.names()
        self.expect(")")
        returns = self.names() if self.accept("->") else ()
        return YulFunction(name, parameters, returns, self.block())

    def expression(self) -> YulExpression:
        token = self.peek()
        if token[:1].isdecimal():
            return Number(self.number())
        if token in ("true", "false"):
            self.position += 1
            return Number(int(token == "true"))
        name = self.name()
        if not self.accept("("):
            return Name(name)
        self.enter()
        arguments = []
        if not self.accept(")"):
            arguments.append(self.expression())
            while self.accept(","):
                arguments.append(self.expression())
            self.expect(")")
        self.depth -= 1
        return YulCall(name, tuple(arguments))


def parse(source: bytes) -> YulContract:
    """The syntax tree of a verifier's source.

    Raises:
        MalformedCommitmentError: too long, too deep, or not in the grammar above.
    """
    if len(source) > MAX_SOURCE_BYTES:
        raise MalformedCommitmentError(
            f"verifier artifact: {counted(len(source), 'byte')} of source; at most {MAX_SOURCE_BYTES:,} are accepted"
        )
    try:
        text = source.decode("ascii")
    except UnicodeDecodeError as error:
        raise MalformedCommitmentError(f"verifier artifact: byte {error.start} is not ASCII") from None
    return _Parser(text).contract()
