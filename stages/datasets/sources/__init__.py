"""What a user may have: folders, tables, tars, Parquet."""
