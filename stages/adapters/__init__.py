"""Adapters on disk, and ready to score."""
