"""The matrix commitment: Reed-Solomon encoded rows, a Merkle tree over the columns, hiding, many claims an opening.

Claim: for committed rows M_i, a row vector q and a column point z, sum_i q_i M_i(z) = v, where M_i(z) is the
multilinear polynomial whose values on the cube are the row's data.

Messages: the values of masks, one random combination of all rows (it shows that they are codewords), one combination
of rows for each distinct column point, and some columns of the matrix with their Merkle paths.

Check: the columns are committed and every combination, encoded, agrees with them; the combinations evaluate to the
claimed values.

The family is Ligero's (Ames, Hazay, Ishai, Venkitasubramaniam 2017) and Brakedown's (Golovnev, Lee, Setty, Thaler,
Wahby 2021). docs/protocol/transcript-and-commitment.md states the messages, the checks and the two proofs.

`params` and `claims` are shared; `merkle` and `modular` serve both sides; `verifier` needs numpy and blake3 alone;
`prover`, `storage` and `merkle_prover`, with its `merkle_kernels`, belong to the prover; `search` chooses parameters.
`rotation` and `rotation_prover` show that two commitments are to equal data.
"""
