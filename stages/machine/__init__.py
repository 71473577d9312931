"""What this machine is: its memory, its device, its kind."""
