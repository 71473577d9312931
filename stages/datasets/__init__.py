"""Datasets: what a user has (folders, tables, benchmarks) as one `Dataset` of samples, classes and splits."""
