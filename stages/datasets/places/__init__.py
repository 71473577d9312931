"""Where bytes lie: files, members of tars, cells of tables, URLs."""
