"""What this machine remembers beside a store: hashes of files, notes, where a data set lay, when runs used what."""
