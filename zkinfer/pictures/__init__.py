"""Pictures as SVG: what a program is, and where the time and the bytes of a proof go."""
