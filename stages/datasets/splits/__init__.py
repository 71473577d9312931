"""How samples are divided: drawn, or under the names that people give splits."""
