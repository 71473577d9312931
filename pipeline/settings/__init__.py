"""All settings of a run: flags, `xmap.toml`, Python."""
