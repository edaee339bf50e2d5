"""The ezkl backend: halo2 over KZG, in a wing of its own."""
