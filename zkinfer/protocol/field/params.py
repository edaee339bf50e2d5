"""The field: F_P, and its cubic extension F_P[u] / (u^3 - 2).

P is just below 2^50, so that its elements and the sums of a few of them are exact in float64, and P - 1 is divisible
by 2^32, which gives Fourier transforms of any practical length. The tests of this file check it:
P is prime, P - 1 = 2^32 * 3 * 23 * 29 * 131, 2 is not a cube modulo P (so that u^3 - 2, of degree 3 and without a root,
is irreducible), and GENERATOR generates the multiplicative group.
"""

P = 1125844072267777
DEGREE = 3
NONRESIDUE = 2
"""u^3 = NONRESIDUE in the extension."""

TWO_ADICITY = 32
"""The largest k for which 2^k divides P - 1."""

GENERATOR = 5
ROOT_OF_UNITY = 786008014450235
"""GENERATOR^((P - 1) / 2^TWO_ADICITY): of order exactly 2^TWO_ADICITY."""

BLOWUP = 4
"""Symbols of a codeword for each symbol of the message: the rate of the code is 1 / BLOWUP unless stated."""
