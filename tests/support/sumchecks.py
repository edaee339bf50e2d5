"""Examples of sumchecks: instances of any size, degree and weight, with random tables."""

import random
from dataclasses import dataclass

from hypothesis import strategies as st
from support import plain_sumcheck

from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, Ext
from zkinfer.protocol.sumcheck.params import Batch, Instance, Monomial

Table = list[Ext]


@dataclass
class Example:
    """A batch, its factors' values, and the sums."""

    batch: Batch
    factors: list[list[Table]]
    claims: list[Ext]


def element(rng: random.Random) -> Ext:
    return (rng.randrange(P), rng.randrange(P), rng.randrange(P))


def make_example(seed: int, sizes: list[int], degree: int, weight: str) -> Example:
    """Every instance has a term of `degree` factors. `weight`: "none", "own" (some have a point), "shared"."""
    rng = random.Random(seed)
    instances, factors = [], []
    for variables in sizes:
        count = rng.randint(1, 4)
        if degree == 2 and rng.random() < 0.5:
            count = rng.choice((2, 4))
            terms = tuple(Monomial(ONE, (2 * t, 2 * t + 1)) for t in range(count // 2))
        else:
            lists = [[rng.randrange(count) for _ in range(degree)]]
            lists += [[rng.randrange(count) for _ in range(rng.randint(1, degree))] for _ in range(rng.randint(0, 2))]
            lists += [[k] for k in range(count) if not any(k in one for one in lists)]
            terms = tuple(Monomial(element(rng), tuple(one)) for one in lists)
        own = weight == "own" and rng.random() < 0.7
        point = tuple(element(rng) for _ in range(variables)) if own else None
        instances.append(Instance(variables, count, terms, point))
        factors.append([[element(rng) for _ in range(1 << variables)] for _ in range(count)])
    shared = tuple(element(rng) for _ in range(max(sizes))) if weight == "shared" else None
    batch = Batch(tuple(instances), shared)
    return Example(batch, factors, sums_of(batch, factors))


def sums_of(batch: Batch, factors: list[list[Table]]) -> list[Ext]:
    """The true sum of every instance."""
    pairs = zip(batch.instances, factors, strict=True)
    return [plain_sumcheck.instance_sum(batch, instance, tables) for instance, tables in pairs]


def examples(max_variables: int) -> st.SearchStrategy[Example]:
    """All kinds of batches of one to four instances, of at most so many variables each."""
    return st.builds(
        make_example,
        seed=st.integers(0, 2**32),
        sizes=st.lists(st.integers(0, max_variables), min_size=1, max_size=4),
        degree=st.integers(1, 4),
        weight=st.sampled_from(["none", "own", "shared"]),
    )
