"""Features of several encoders of the same images, joined row by row."""
