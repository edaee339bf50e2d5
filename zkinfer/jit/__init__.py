"""How kernels are compiled, kept on disk, and divided among threads."""
