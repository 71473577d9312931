"""The stage extract: images and prompts to features."""
