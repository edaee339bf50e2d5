"""The native protocol: field, transcript, channel, and the arguments that prover and verifier share."""
