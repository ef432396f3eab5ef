"""Side-by-side measurements: each starts both sides in one run, interleaved, and prints the ratio."""
