"""Side-by-side measurements: ours and a peer by turns in one run, and the ratio (docs/benchmarks.md)."""
