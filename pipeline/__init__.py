"""Composes the stages: one config, a plan of steps, and a run that reuses or builds each of them."""
