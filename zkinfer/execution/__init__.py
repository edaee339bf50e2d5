"""Running a program fast and exactly, on integers, with numba."""
