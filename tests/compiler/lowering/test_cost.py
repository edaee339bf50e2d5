"""Costs of programs that can be counted by hand."""

from zkinfer.circuit.limbs import limb_bits
from zkinfer.circuit.program import PROGRAM_VERSION, Lookup, Program, Tensor
from zkinfer.circuit.table import Table
from zkinfer.circuit.validate import validate
from zkinfer.compiler.lowering.cost import program_cost


def _program(shift: int, *, twice: bool = False) -> Program:
    """A hundred elements through a table of nine entries, and through the same one again."""
    bound = 4 << shift
    table = Table("f", -4, tuple(range(-4, 5)))
    nodes = [Lookup(Tensor("y", (100,), 0, -4, 4), 0, 0, shift)]
    if twice:
        nodes.append(Lookup(Tensor("z", (100,), 0, -4, 4), 1, 0, 0))
    program = Program(
        PROGRAM_VERSION, (Tensor("x", (100,), 0, -bound, bound),), (), (table,), tuple(nodes), (len(nodes),)
    )
    validate(program)
    return program


def test_without_a_shift_elements_and_table_count() -> None:
    cost = program_cost(_program(0))
    assert cost.tensors == {"y": 100}
    assert cost.tables == 9
    assert cost.total == 109


def test_a_remainder_adds_a_limb_and_its_range() -> None:
    assert limb_bits(3, 100) == (3,)
    cost = program_cost(_program(3))
    assert cost.tensors == {"y": 200}
    assert cost.tables == 9 + 2**3


def test_limbs_are_cut_as_the_prover_cuts_them() -> None:
    limbs = limb_bits(20, 100)
    assert len(limbs) > 1
    cost = program_cost(_program(20))
    assert cost.tensors == {"y": 100 * (1 + len(limbs))}
    assert cost.tables == 9 + sum(2**bits for bits in set(limbs))


def test_a_table_counts_once_however_many_read_it() -> None:
    cost = program_cost(_program(3, twice=True))
    assert cost.tensors == {"y": 200, "z": 100}
    assert cost.tables == 9 + 2**3


def test_runs_share_tables() -> None:
    one, many = program_cost(_program(3)), program_cost(_program(3), runs=50)
    assert many.tensors == {"y": 50 * one.tensors["y"]}
    assert many.tables == one.tables
