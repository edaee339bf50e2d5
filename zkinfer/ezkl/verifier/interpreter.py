"""From a syntax tree to closures over the machine's state.

Each closure does what one node of the tree says, with Python integers; no text is ever executed. Variables are
resolved to slots of a frame once, when the tree is translated; so are functions. A function may call builtins only,
so that a run's depth is bounded by the tree's.

Arguments are evaluated from right to left, as in Yul.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import and_, eq, gt, lt, or_, xor

from zkinfer.errors import MalformedCommitmentError
from zkinfer.ezkl.verifier.machine import PROOF_OFFSET, Machine, Returned, Reverted
from zkinfer.ezkl.verifier.yul import (
    WORD_MASK,
    Assign,
    Evaluate,
    For,
    If,
    Let,
    Name,
    Number,
    YulBlock,
    YulCall,
    YulContract,
    YulExpression,
    YulFunction,
    YulStatement,
)

Frame = list[int]
"""The variables of a function that is running, by slot."""

CompiledExpression = Callable[[Machine, Frame], int]
CompiledStatement = Callable[[Machine, Frame], None]
"""What one node of the tree does: an expression gives a word below 2**256, a statement has an effect."""

_BINARY: Mapping[str, Callable[[int, int], int]] = {
    "add": lambda a, b: (a + b) & WORD_MASK,
    "sub": lambda a, b: (a - b) & WORD_MASK,
    "mul": lambda a, b: (a * b) & WORD_MASK,
    "div": lambda a, b: a // b if b else 0,
    "mod": lambda a, b: a % b if b else 0,
    "and": and_,
    "or": or_,
    "xor": xor,
    "eq": lambda a, b: int(eq(a, b)),
    "lt": lambda a, b: int(lt(a, b)),
    "gt": lambda a, b: int(gt(a, b)),
    "shl": lambda shift, a: (a << shift) & WORD_MASK if shift < 256 else 0,
    "shr": lambda shift, a: a >> shift if shift < 256 else 0,
}
_EFFECTS = {"mstore": 2, "mstore8": 2, "pop": 1, "return": 2, "revert": 2}
_VALUES = {
    **dict.fromkeys(_BINARY, 2),
    "addmod": 3,
    "mulmod": 3,
    "iszero": 1,
    "not": 1,
    "mload": 1,
    "calldataload": 1,
    "keccak256": 2,
    "staticcall": 6,
    "gas": 0,
}
_GAS = WORD_MASK
_CALLDATA: Mapping[str, CompiledExpression] = {
    "proof.offset": lambda m, f: PROOF_OFFSET,
    "proof.length": lambda m, f: len(m.proof),
    "instances.offset": lambda m, f: m.instances_offset,
    "instances.length": lambda m, f: len(m.instances) // 32,
}


def _malformed(message: str) -> MalformedCommitmentError:
    return MalformedCommitmentError(f"verifier artifact: {message}")


@dataclass
class _CompiledFunction:
    """A function: its arity, and what runs its body on a fresh frame."""

    arity: int
    results: int
    run: Callable[[Machine, list[int]], list[int]]


@dataclass
class _FrameLayout:
    """How many slots the frame of the function being translated has."""

    size: int = 0

    def slot(self) -> int:
        self.size += 1
        return self.size - 1


@dataclass
class _Scope:
    """What names mean inside one block."""

    constants: Mapping[str, int]
    layout: _FrameLayout
    variables: dict[str, int] = field(default_factory=dict)
    functions: dict[str, _CompiledFunction] = field(default_factory=dict)
    parent: "_Scope | None" = None

    def inner(self) -> "_Scope":
        return _Scope(self.constants, self.layout, parent=self)

    def find_variable(self, name: str) -> int | None:
        scope: _Scope | None = self
        while scope is not None:
            if name in scope.variables:
                return scope.variables[name]
            scope = scope.parent
        return None

    def find_function(self, name: str) -> _CompiledFunction | None:
        scope: _Scope | None = self
        while scope is not None:
            if name in scope.functions:
                return scope.functions[name]
            scope = scope.parent
        return None

    def declare(self, name: str, slot: int | None = None) -> int:
        """Give a name a meaning: a slot of its own unless one is handed in."""
        taken = self.find_variable(name) is not None or self.find_function(name) is not None
        if taken or name in self.constants or name in _VALUES or name in _EFFECTS or "." in name:
            raise _malformed(f"declares {name!a}, which has a meaning already")
        self.variables[name] = self.layout.slot() if slot is None else slot
        return self.variables[name]


def _weight(node: YulExpression) -> int:
    """Nodes in an expression: what evaluating it costs."""
    return 1 + sum(map(_weight, node.arguments)) if isinstance(node, YulCall) else 1


def _expression(node: YulExpression, scope: _Scope) -> CompiledExpression:
    match node:
        case Number(value=value):
            return lambda m, f: value
        case Name(name=name):
            return _name(name, scope)
        case YulCall(name=name, arguments=arguments):
            values = [_expression(argument, scope) for argument in arguments]
            if name in _VALUES:
                if len(values) != _VALUES[name]:
                    raise _malformed(f"{name} with {len(values)} arguments")
                return _builtin(name, values)
            call = _function_call(name, values, scope, results=1)
            return lambda m, f: call(m, f)[0]


def _name(name: str, scope: _Scope) -> CompiledExpression:
    slot = scope.find_variable(name)
    if slot is not None:
        return lambda m, f: f[slot]
    if name in scope.constants:
        constant = scope.constants[name]
        return lambda m, f: constant
    if name in _CALLDATA:
        return _CALLDATA[name]
    raise _malformed(f"{name[:60]!a} is not declared")


def _builtin(name: str, values: list[CompiledExpression]) -> CompiledExpression:
    if name in _BINARY:
        return _binary(_BINARY[name], *values)
    match name, values:
        case "addmod", [first, second, modulus]:

            def addmod(m: Machine, f: Frame) -> int:
                n = modulus(m, f)
                total = second(m, f) + first(m, f)
                return total % n if n else 0

            return addmod
        case "mulmod", [first, second, modulus]:

            def mulmod(m: Machine, f: Frame) -> int:
                n = modulus(m, f)
                product = second(m, f) * first(m, f)
                return product % n if n else 0

            return mulmod
        case "iszero", [value]:
            return lambda m, f: int(value(m, f) == 0)
        case "not", [value]:
            return lambda m, f: value(m, f) ^ WORD_MASK
        case "mload", [start]:
            return lambda m, f: m.load(start(m, f))
        case "calldataload", [start]:
            return lambda m, f: m.calldata(start(m, f))
        case "keccak256", [start, size]:
            return _binary_with_machine(Machine.keccak, start, size)
        case "staticcall", [gas, *rest]:

            def staticcall(m: Machine, f: Frame) -> int:
                out_size, out_start, size, start, address = (value(m, f) for value in reversed(rest))
                gas(m, f)
                return m.call(address, start, size, out_start, out_size)

            return staticcall
        case _:
            return lambda m, f: _GAS


def _binary(
    operation: Callable[[int, int], int], first: CompiledExpression, second: CompiledExpression
) -> CompiledExpression:
    def apply(m: Machine, f: Frame) -> int:
        b = second(m, f)
        return operation(first(m, f), b)

    return apply


def _binary_with_machine(
    operation: Callable[[Machine, int, int], int], first: CompiledExpression, second: CompiledExpression
) -> CompiledExpression:
    def apply(m: Machine, f: Frame) -> int:
        b = second(m, f)
        return operation(m, first(m, f), b)

    return apply


def _function_call(
    name: str, values: list[CompiledExpression], scope: _Scope, *, results: int
) -> Callable[[Machine, Frame], list[int]]:
    function = scope.find_function(name)
    if function is None:
        raise _malformed(f"{name[:60]!a} is neither a function nor a builtin that is allowed here")
    if len(values) != function.arity or results != function.results:
        raise _malformed(f"{name!a} takes {function.arity} arguments and gives {function.results} values")
    run, backwards = function.run, values[::-1]

    def call(m: Machine, f: Frame) -> list[int]:
        arguments = [value(m, f) for value in backwards]
        return run(m, arguments[::-1])

    return call


def _effect(call: YulCall, scope: _Scope) -> CompiledStatement:
    name = call.name
    values = [_expression(argument, scope) for argument in call.arguments]
    if name not in _EFFECTS:
        invoke = _function_call(name, values, scope, results=0)

        def discard(m: Machine, f: Frame) -> None:
            invoke(m, f)

        return discard
    if len(values) != _EFFECTS[name]:
        raise _malformed(f"{name} with {len(values)} arguments")
    if name == "pop":
        (value,) = values

        def pop(m: Machine, f: Frame) -> None:
            value(m, f)

        return pop
    first, second = values
    if name == "return":

        def leave(m: Machine, f: Frame) -> None:
            size = second(m, f)
            raise Returned(m.slice(first(m, f), size))

        return leave
    if name == "revert":

        def revert(m: Machine, f: Frame) -> None:
            raise Reverted

        return revert
    store = Machine.store if name == "mstore" else Machine.store_byte

    def write(m: Machine, f: Frame) -> None:
        word = second(m, f)
        store(m, first(m, f), word)

    return write


def _assignment(slots: list[int], value: YulExpression, scope: _Scope) -> CompiledStatement:
    if len(slots) == 1:
        (slot,), single = slots, _expression(value, scope)

        def assign(m: Machine, f: Frame) -> None:
            f[slot] = single(m, f)

        return assign
    if not isinstance(value, YulCall):
        raise _malformed("assigns one value to several variables")
    call = _function_call(value.name, [_expression(a, scope) for a in value.arguments], scope, results=len(slots))

    def assign_all(m: Machine, f: Frame) -> None:
        for slot, result in zip(slots, call(m, f), strict=True):
            f[slot] = result

    return assign_all


def _statement(node: YulStatement, scope: _Scope) -> tuple[CompiledStatement, int]:
    """What a statement does, and what it costs beyond the blocks inside it."""
    match node:
        case YulBlock():
            return _block(node, scope.inner()), 1
        case Let(names=names, value=None):
            slots = [scope.declare(name) for name in names]

            def clear(m: Machine, f: Frame) -> None:
                for slot in slots:
                    f[slot] = 0

            return clear, len(slots)
        case Let(names=names, value=Number() | Name() | YulCall() as value):
            # Translated before the names are declared: a value cannot mention what it initialises.
            reserved = [scope.layout.slot() for _ in names]
            action = _assignment(reserved, value, scope)
            for name, slot in zip(names, reserved, strict=True):
                scope.declare(name, slot)
            return action, 1 + _weight(value)
        case Assign(names=names, value=value):
            found = [scope.find_variable(name) for name in names]
            known = [slot for slot in found if slot is not None]
            if len(known) != len(names):
                raise _malformed(f"assigns to a variable that is not declared, among {names!a}"[:200])
            return _assignment(known, value, scope), 1 + _weight(value)
        case Evaluate(call=call):
            return _effect(call, scope), _weight(call)
        case If(condition=condition, body=body):
            return _if(condition, body, scope), 1 + _weight(condition)
        case For():
            return _for(node, scope), 1
        case _:
            raise _malformed("defines a function where none can be")


def _if(condition: YulExpression, body: YulBlock, scope: _Scope) -> CompiledStatement:
    test, run = _expression(condition, scope), _block(body, scope.inner())

    def branch(m: Machine, f: Frame) -> None:
        if test(m, f):
            run(m, f)

    return branch


def _for(node: For, scope: _Scope) -> CompiledStatement:
    outer = scope.inner()
    start = _block(node.start, outer)
    test, cost = _expression(node.condition, outer), _weight(node.condition) + 1
    body, step = _block(node.body, outer.inner()), _block(node.step, outer.inner())

    def loop(m: Machine, f: Frame) -> None:
        start(m, f)
        while test(m, f):
            m.spend(cost)
            body(m, f)
            step(m, f)

    return loop


def _block(block: YulBlock, scope: _Scope) -> CompiledStatement:
    """The block's statements, in this very scope (the caller opens it)."""
    for node in block.statements:
        if isinstance(node, YulFunction):
            if scope.parent is not None:
                raise _malformed("defines a function inside a function or an inner block")
            if node.name in scope.functions or node.name in _VALUES or node.name in _EFFECTS:
                raise _malformed(f"defines {node.name!a} twice")
            scope.functions[node.name] = _function(node, scope.constants)
    translated = [_statement(node, scope) for node in block.statements if not isinstance(node, YulFunction)]
    actions, cost = [action for action, _ in translated], sum(cost for _, cost in translated)

    def run(m: Machine, f: Frame) -> None:
        m.spend(cost)
        for action in actions:
            action(m, f)

    return run


def _function(node: YulFunction, constants: Mapping[str, int]) -> _CompiledFunction:
    layout = _FrameLayout()
    scope = _Scope(constants, layout)
    for name in node.parameters:
        scope.declare(name)
    outputs = [scope.declare(name) for name in node.returns]
    body = _block(node.body, scope.inner())

    def run(m: Machine, arguments: list[int]) -> list[int]:
        frame = arguments + [0] * (layout.size - len(arguments))
        body(m, frame)
        return [frame[slot] for slot in outputs]

    return _CompiledFunction(len(node.parameters), len(node.returns), run)


def translate(contract: YulContract) -> Callable[[Machine], None]:
    """What runs the contract on a machine.

    The result ends by raising `Returned` or `Reverted`, or returns where the contract just ends.

    Raises:
        MalformedCommitmentError: names that are not declared, wrong numbers of arguments, builtins that a verifier
            has no use for. Running raises it too, where the machine refuses something.
    """
    layout = _FrameLayout()
    body = _block(contract.body, _Scope(contract.constants, layout))
    return lambda machine: body(machine, [0] * layout.size)
