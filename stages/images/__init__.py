"""Bytes to pixels, and views of them."""
