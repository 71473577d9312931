"""What to label next: which images of a pool teach an adapter most."""
