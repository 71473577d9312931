"""The stage eval: test images scored, once."""
