"""Pages that a browser opens from disk: one file each, with all that it shows in it."""
