"""The stage pairs: images that are there twice, byte for byte or nearly, within a split and in two of them."""
