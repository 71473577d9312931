"""What looks after a store and this machine."""
