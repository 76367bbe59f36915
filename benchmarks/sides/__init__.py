"""One side of a comparison each: most of them are started as a process of their own for every block."""
