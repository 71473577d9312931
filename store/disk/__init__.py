"""What a file system must be asked for: whole files or none, plain files only, room, headers, what a user names to write."""
