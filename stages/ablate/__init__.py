"""Vary one part of XMAdapter at a time, and measure it."""
