"""From a statement about a program to claims about committed matrices: what native prover and verifier share.

The statement "this program, run on these inputs, gives these outputs" is reduced, node by node and backwards, to
linear claims about values (`functional`), and these to evaluations of the vectors that were committed (`boxes`).
Everything here is public computation in numpy, so that both sides run the same code.
"""
