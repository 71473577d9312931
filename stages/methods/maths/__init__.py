"""The formulas that methods share."""
