"""From a float model to an exact integer circuit."""
