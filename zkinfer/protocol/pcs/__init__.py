"""The matrix commitment: Reed-Solomon encoded rows, a Merkle tree over the columns, hiding, many claims an opening.

Claim: for committed rows M_i, a row vector q and a column point z, sum_i q_i M_i(z) = v, where M_i(z) is the
multilinear polynomial whose values on the cube are the row's data.

Messages: the values of masks; one random combination of all rows (it shows that they are codewords) and one for each
distinct column point, sent or, where they are long, committed to; some columns of the matrix with their Merkle paths;
and what opens the commitment to combinations, level by level.

Check: the columns are committed and every combination, encoded, agrees with them; the combinations evaluate to the
claimed values.

The family is Ligero's (Ames, Hazay, Ishai, Venkitasubramaniam 2017) and Brakedown's (Golovnev, Lee, Setty, Thaler,
Wahby 2021), the recursion Ligerito's (Novakovic and Angeris 2025). docs/protocol/transcript-and-commitment.md states
the messages, the checks and the two proofs.

`params`, `claims`, `combinations`, `levels` and `functionals` are shared; `protocol` is the opening for both sides, and
`folding` its levels; these need numpy and blake3 alone. `prover` and `folding_prover` make them a prover's. `search`
chooses parameters, `sizes` tells their bytes, `soundness` their terms. `rotation` and `rotation_prover` show that two
commitments are to equal data.
"""
