"""BLAKE3's compression function as LLVM instructions, on LANES messages at once: a word of each is a packed word.

O'Connor, Aumasson, Neves and Wilcox-O'Hearn 2020, section 2. The kernels of this folder are made of it.
"""

from llvmlite import ir  # type: ignore[import-untyped]

LANES = 16

DIGEST_WORDS = 8

BLOCK_BYTES, CHUNK_BYTES = 64, 1024

CHUNK_START, CHUNK_END, PARENT, ROOT, KEYED_HASH = 1, 2, 4, 8, 16

WORD = ir.IntType(32)
PACKED = ir.VectorType(WORD, LANES)
DIGEST = ir.VectorType(WORD, DIGEST_WORDS)

_ROUNDS = 7

_IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A)
_PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
_COLUMNS = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15))
_DIAGONALS = ((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))

Lines = list[ir.Value]
"""Packed words: those of a state or of a block, or one line of a square."""


def compressed(builder: ir.IRBuilder, chaining: Lines, block: Lines, last: Lines) -> Lines:
    """The first eight words of the compression; `last` are the words of counter, length and flags, the same in all
    lanes. A counter has one word: no message is as long as 2^32 chunks."""
    state = _mixed(builder, chaining, block, last)
    return [builder.xor(state[i], state[i + DIGEST_WORDS]) for i in range(DIGEST_WORDS)]


def extension(builder: ir.IRBuilder, chaining: Lines, block: Lines, last: Lines) -> Lines:
    """The next eight words of the compression: of a root's output, those behind the digest."""
    state = _mixed(builder, chaining, block, last)
    return [builder.xor(state[i + DIGEST_WORDS], chaining[i]) for i in range(DIGEST_WORDS)]


def _mixed(builder: ir.IRBuilder, chaining: Lines, block: Lines, last: Lines) -> Lines:
    """The state after all rounds."""
    zero = constant(0)
    counter, length, flags = (_spread(builder, word) for word in last)
    state = [*chaining, *map(constant, _IV), counter, zero, length, flags]
    for _ in range(_ROUNDS):
        for number, words in enumerate(_COLUMNS + _DIAGONALS):
            _mix(builder, state, words, block[2 * number], block[2 * number + 1])
        block = [block[i] for i in _PERMUTATION]
    return state


def lines(builder: ir.IRBuilder, data: ir.Value, at: ir.Value, pitch: ir.Value, count: int, kind: ir.Type) -> Lines:
    """Pointers to `count` packed values, from place `at` of some memory on, `pitch` places from one to the next."""
    found = []
    for _ in range(count):
        found.append(builder.bitcast(builder.gep(data, [at]), kind.as_pointer()))
        at = builder.add(at, pitch)
    return found


def turned(builder: ir.IRBuilder, square: Lines) -> Lines:
    """Eight packed words, one of each message a lane, as lines that hold all eight words of one message, then those of
    the message eight lanes on; or the other way round.

    Blocks of size 1, 2 and 4 off the diagonals of both squares are exchanged.
    """
    lines = list(square)
    for size in (1, 2, 4):
        upper = [lane if not lane & size else LANES + (lane ^ size) for lane in range(LANES)]
        lower = [lane | size if not lane & size else LANES + lane for lane in range(LANES)]
        for i in (i for i in range(DIGEST_WORDS) if not i & size):
            a, b = lines[i], lines[i | size]
            for line, lanes in ((i, upper), (i | size, lower)):
                lines[line] = builder.shuffle_vector(a, b, ir.Constant(PACKED, lanes))
    return lines


def _mix(builder: ir.IRBuilder, state: Lines, words: tuple[int, ...], x: ir.Value, y: ir.Value) -> None:
    """The paper's G, on four words of the state and two of the block."""
    a, b, c, d = words
    for message, first, second in ((x, 16, 12), (y, 8, 7)):
        state[a] = builder.add(builder.add(state[a], state[b]), message)
        state[d] = _rotated(builder, builder.xor(state[d], state[a]), first)
        state[c] = builder.add(state[c], state[d])
        state[b] = _rotated(builder, builder.xor(state[b], state[c]), second)


def _rotated(builder: ir.IRBuilder, value: ir.Value, right: int) -> ir.Value:
    return builder.or_(builder.lshr(value, constant(right)), builder.shl(value, constant(32 - right)))


def constant(value: int) -> ir.Constant:
    return ir.Constant(PACKED, [value] * LANES)


def _spread(builder: ir.IRBuilder, word: ir.Value) -> ir.Value:
    """The word in every lane."""
    first = builder.insert_element(ir.Constant(PACKED, ir.Undefined), word, WORD(0))
    return builder.shuffle_vector(first, first, constant(0))
