"""What a run is made of: its plan, and doing it."""
