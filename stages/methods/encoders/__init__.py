"""What methods do with several encoders of the same images."""
