"""Grids of runs, ablations, reports."""
