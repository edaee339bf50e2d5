"""The native prover: keys, witness, proof, estimates."""
