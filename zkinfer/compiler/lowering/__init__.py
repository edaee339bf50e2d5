"""Building a program: formats, tables, and the arithmetic that operators are lowered to."""
