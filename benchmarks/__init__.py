"""Measurements. Each module prints its table and writes it to docs/benchmarks.md with machine and versions."""
