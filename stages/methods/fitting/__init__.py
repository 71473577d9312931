"""Epochs, trials and the search for settings."""
