"""The store as SQL views."""
