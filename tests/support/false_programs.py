"""Programs whose stated bounds are false: what their author says of inner nodes is not what the nodes can give."""

from zkinfer.circuit.program import Einsum, Lookup, Node, Program, Tensor, Term, View
from zkinfer.circuit.table import Table
from zkinfer.protocol.field.params import P

X = Tensor("x", (1, 1), 0, -15, 15)
W = Tensor("w", (1, 1), 0, -7, 7)
RELU = Table("relu", -105, tuple(max(0, i) for i in range(-105, 106)))
INNER = Tensor("inner", (1, 1), 0, -105, 105)
ANSWER = Tensor("answer", (1, 1), 0, 0, 105)

PRODUCT = Einsum(INNER, "bi,oi->bo", (0, 1))


def looked_up(*nodes: Node) -> Program:
    """The nodes, and relu of the last one as the only output."""
    last = 1 + len(nodes)
    return Program(1, (X,), (W,), (RELU,), (*nodes, Lookup(ANSWER, last, 0, 0)), (last + 1,))


HONEST = looked_up(PRODUCT)

HALVED = looked_up(PRODUCT, View(INNER, (Term(2, (P + 1) // 2, ()),)))
"""For x = 2 and w = 1 the sum is P + 1 in integers, and 1 in the field."""

SHIFTED = looked_up(PRODUCT, View(INNER, (Term(2, 1, ()),), P))
POWERS = looked_up(PRODUCT, *(Einsum(INNER, "bi,bi->bi", (v, v)) for v in range(2, 6)))
MANY = looked_up(
    PRODUCT, View(INNER, tuple(Term(2, c, ()) for c in (P // 300,) * 2)), View(INNER, (Term(3, 1, ()), Term(3, -1, ())))
)

FALSE = {"coefficient": HALVED, "offset": SHIFTED, "products": POWERS, "sum": MANY}
