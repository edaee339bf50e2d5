"""What is said of a proof that holds, for people: one row for each output, by which it can be told from the others."""

import numpy as np

from zkinfer.cli.verified import output_rows


def test_a_single_output_has_no_number() -> None:
    assert output_rows("output", (np.array([[0.5, -1.0]]),)) == [("output", "[[ 0.5 -1. ]]")]


def test_several_outputs_are_numbered_from_one_in_their_order_also_where_one_is_hidden() -> None:
    rows = output_rows("output", (np.array([1.5]), None, np.array([2.5])))
    assert rows == [("output 1", "[1.5]"), ("output 2", "hidden"), ("output 3", "[2.5]")]
