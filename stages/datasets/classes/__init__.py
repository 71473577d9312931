"""The names of classes: which can be, their order, and what a file says of them."""
