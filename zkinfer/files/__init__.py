"""The files that zkinfer writes and reads: envelope, public files, budget."""
