"""The reduction against a prover that knows every value: true statements leave true claims, false ones do not."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from support.example_programs import sums_of_sums
from support.linear_claims import Knowing, is_true
from support.native_prover import Case, make_case
from support.random_statements import knowing, random_case, reduce_knowing

from zkinfer.circuit.program import Einsum, Node, Program, Tensor, Term, View
from zkinfer.circuit.steps import Transpose
from zkinfer.errors import ProvingError
from zkinfer.protocol.field.scalar import ext_powers
from zkinfer.protocol.reduction import contraction, plan
from zkinfer.protocol.reduction import reduce as under_test
from zkinfer.protocol.reduction.claims import CommittedClaim
from zkinfer.protocol.reduction.contraction import Contraction, contract
from zkinfer.protocol.reduction.plan import INPUTS, OUTPUTS, WEIGHTS, WITNESS
from zkinfer.protocol.reduction.reduce import SUM_CHECK
from zkinfer.typing import IntArray


def reduced(case: Case, publics: dict[int, IntArray]) -> tuple[list[CommittedClaim], Knowing]:
    party = knowing(case)
    return reduce_knowing(case, publics, party), party


@pytest.mark.parametrize("seed", range(25))
def test_a_true_statement_leaves_true_claims(seed: int) -> None:
    case = random_case(seed)
    claims, party = reduced(case, case.publics)
    assert not party.false
    assert claims
    assert all(is_true(case.plan, party.stacks, claim) for claim in claims)


@pytest.mark.parametrize("seed", range(25))
def test_a_false_public_value_leaves_a_false_claim(seed: int) -> None:
    """Whichever element of whichever public input or output is changed, if any output depends on it."""
    case = random_case(seed)
    rng = np.random.default_rng(seed)
    for key, array in case.publics.items():
        flat = int(rng.integers(array.size))
        publics = dict(case.publics)
        publics[key] = array.copy()
        publics[key].reshape(-1)[flat] += 1
        claims, party = reduced(case, publics)
        caught = party.false or not all(is_true(case.plan, party.stacks, claim) for claim in claims)
        is_output = key >= case.plan.program.num_values
        assert caught or not is_output, "a false output must not pass"


def test_a_false_public_input_that_counts_leaves_a_false_claim() -> None:
    case = doubling_case()
    for position in range(6):
        publics = {key: array.copy() for key, array in case.publics.items()}
        publics[0].reshape(-1)[position] += 1
        claims, party = reduced(case, publics)
        assert party.false == [SUM_CHECK]
        assert not claims


def tensor(label: str, shape: tuple[int, ...], magnitude: int = 1 << 20) -> Tensor:
    return Tensor(label, shape, 0, -magnitude, magnitude)


def doubling_case() -> Case:
    """y = 2 x + 1, and a weight that nothing reads."""
    view = View(tensor("y", (3,)), (Term(0, 2, ()),), 1)
    program = Program(1, (tensor("x", (3,), 8),), (tensor("w", (2,)),), (), (view,), (2,))
    return make_case(program, [np.array([1, 2])], [np.arange(6).reshape(2, 3)])


def test_a_linear_program_with_public_values_leaves_nothing_to_open() -> None:
    """All is public: one check, and no claim on anything committed."""
    case = doubling_case()
    claims, party = reduced(case, case.publics)
    assert (claims, party.false, party.asked) == ([], [], [])


def test_every_committed_matrix_is_claimed_of() -> None:
    """Weights, private inputs, private outputs and lookups' vectors, none forgotten."""
    for seed in range(60):
        case = random_case(seed)
        claims, _ = reduced(case, case.publics)
        named = {(term.matrix, term.vector) for claim in claims for term in claim.terms}
        for matrix in (INPUTS, OUTPUTS, WITNESS):
            vectors = range(len(case.plan.layouts[matrix].cuts))
            assert {v for m, v in named if m == matrix} == set(vectors)


def test_an_output_made_of_weights_alone_is_the_same_in_every_run() -> None:
    """The statement shows it for every run; a run in which it differs is refused."""
    program = Program(
        1,
        (tensor("x", (3,), 8),),
        (tensor("w", (2, 3), 5),),
        (),
        (Einsum(tensor("sums", (2,)), "ab->a", (1,)),),
        (2,),
    )
    weights = [np.array([[1, 2, 3], [4, 5, 6]])]
    case = make_case(program, weights, [np.zeros((4, 3), dtype=np.int64)])
    (output,) = (key for key in case.publics if key >= program.num_values)
    assert case.publics[output].tolist() == [[6, 15]] * 4
    claims, party = reduced(case, case.publics)
    assert [claim.terms[0].matrix for claim in claims] == [WEIGHTS]
    assert is_true(case.plan, party.stacks, claims[0])
    for run in range(4):
        publics = {key: array.copy() for key, array in case.publics.items()}
        publics[output][run, 1] += 1
        claims, party = reduced(case, publics)
        assert not is_true(case.plan, party.stacks, claims[0])


def test_claims_on_one_value_are_combined_by_a_challenge(monkeypatch: pytest.MonkeyPatch) -> None:
    """A product is an output twice: errors that are opposite cancel if the challenge is one, and otherwise not."""
    product = Einsum(tensor("p", (1,)), "a,a->a", (0, 0))
    program = Program(1, (tensor("x", (1,), 8),), (tensor("w", (1,), 8),), (), (product,), (2, 2))
    case = make_case(program, [np.array([1])], [np.array([[3]])])
    first, second = (key for key in case.publics if key >= program.num_values)
    publics = {key: array.copy() for key, array in case.publics.items()}
    publics[first] += 1
    publics[second] -= 1
    assert reduced(case, publics)[1].false
    challenge = ext_powers
    monkeypatch.setattr(under_test, "ext_powers", lambda _, count: challenge((1, 0, 0), count))
    assert not reduced(case, publics)[1].false


def tower(floors: int) -> Case:
    """Each product is of the two below it, so that each is read again by the next but one; all numbers are units."""
    nodes = tuple(Einsum(tensor(f"p{i}", (3,), 1), "a,a->a", (i, i + 1)) for i in range(floors))
    program = Program(1, (tensor("x", (3,), 1),), (tensor("w", (3,), 1),), (), nodes, (floors + 1,))
    return make_case(program, [np.array([-1, -1, 1])], [np.array([[1, -1, 1]])])


@pytest.mark.parametrize("floors", [8, 32])
def test_products_that_are_read_again_are_contracted_once(floors: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever publishes a program of many products could otherwise make checks take the square of their number."""
    contracted = 0

    def counted(*arguments: Any) -> Contraction:
        nonlocal contracted
        contracted += 1
        return contract(*arguments)

    monkeypatch.setattr(under_test, "contract", counted)
    case = tower(floors)
    _, party = reduced(case, case.publics)
    assert not party.false
    assert contracted == floors


def heads(count: int) -> Case:
    """So many products of two inputs of one shape, each seen through a view of its own; all are outputs."""
    inputs = tuple(tensor(f"x{i}", (5, 3), 4) for i in range(2 * count))
    nodes: list[Node] = []
    first = 2 * count + 1
    for i in range(count):
        nodes += [
            View(tensor(f"turned{i}", (3, 5), 4), (Term(2 * i, 1, (Transpose((1, 0)),)),)),
            Einsum(tensor(f"product{i}", (3, 3)), "ab,bc->ac", (first + 2 * i, 2 * i + 1)),
        ]
    outputs = tuple(first + 2 * i + 1 for i in range(count))
    program = Program(1, inputs, (tensor("w", (1,)),), (), tuple(nodes), outputs)
    rng = np.random.default_rng(count)
    return make_case(program, [np.array([1])], [rng.integers(-4, 5, (2, 5, 3)) for _ in inputs])


def test_claims_on_equal_nodes_are_followed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are: a network of many heads and layers takes hardly longer to follow than one of them."""
    followed: Counter[str] = Counter()

    def counted(place: Any, name: str) -> None:
        function = getattr(place, name)

        def run(*arguments: Any) -> Any:
            followed[name] += 1
            return function(*arguments)

        monkeypatch.setattr(place, name, run)

    counted(under_test, "pull")
    counted(contraction, "sides_of")
    found = []
    for count in (1, 6):
        followed.clear()
        case = heads(count)
        claims, party = reduced(case, case.publics)
        assert not party.false
        assert all(is_true(case.plan, party.stacks, claim) for claim in claims)
        found.append(dict(followed))
    assert found[0] == found[1]
    assert found[0]["sides_of"] == 1


def test_a_dry_run_needs_no_values() -> None:
    """The same questions in the same order, whatever the values: what lets the prover commit to pads beforehand."""
    case = random_case(3)
    _, party = reduced(case, case.publics)
    dry = knowing(case)
    reduce_knowing(case, None, dry)
    assert dry.asked == party.asked


def test_a_statement_without_its_public_values_is_no_dry_run() -> None:
    """Nothing is taken for zero because a caller left it out."""
    case = random_case(3)
    assert case.publics
    with pytest.raises(KeyError):
        reduced(case, {})


def test_a_claim_of_no_terms_must_be_zero() -> None:
    """An output that is a constant: 0 * x + 5."""
    view = View(tensor("y", (2,)), (Term(0, 0, ()),), 5)
    program = Program(1, (tensor("x", (2,), 8),), (tensor("w", (1,)),), (), (view,), (2,))
    case = make_case(program, [np.array([1])], [np.array([[3, 4]])])
    claims, party = reduced(case, case.publics)
    assert (claims, party.false) == ([], [])
    publics = {key: array.copy() for key, array in case.publics.items()}
    publics[program.num_values][0, 0] = 6
    assert reduced(case, publics)[1].false == [SUM_CHECK]


def test_what_sums_of_sums_take_is_limited_in_proportion_to_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of n sums adds one thing to the sum before, and each is read by a product: claims on them ask for n^2."""
    example = sums_of_sums(24)
    case = make_case(example.program, list(example.weights), [np.array([[1, -1]])])
    most = 2 * sum(range(1, 25)) + 24
    assert plan.most_pulled(case.plan.program) > most
    reduced(case, case.publics)
    monkeypatch.setattr(under_test, "most_pulled", lambda _: most)
    reduced(case, case.publics)
    monkeypatch.setattr(under_test, "most_pulled", lambda _: most - 1)
    with pytest.raises(ProvingError, match="too many places"):
        reduced(case, case.publics)


def test_sums_may_be_read_as_often_as_there_are_more_of_them() -> None:
    sizes = [plan.most_pulled(sums_of_sums(count).program) - plan.FREE_PULLED for count in (10, 20, 40)]
    assert sizes == [plan.PULLED_PER_SOURCE * 5 * count for count in (10, 20, 40)]
