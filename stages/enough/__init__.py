"""How accuracy grows with the labels, and what more of them would bring."""
