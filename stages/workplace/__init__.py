"""Where a stage works: its store, machines and the one who hears of it."""
