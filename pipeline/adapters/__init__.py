"""Adapters by name, with their encoder; export."""
