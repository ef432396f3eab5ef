"""Putting models to work: one function's life (`serving`), all functions without Docker (`host`), and their files."""
