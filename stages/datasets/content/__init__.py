"""What the bytes of images say before they are decoded: their hash, repeats, more than 8 bits."""
