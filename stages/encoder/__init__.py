"""The frozen CLIP: its name, its identity, its model."""
