"""The eleven benchmarks and their layouts."""
