"""Where shards are encoded and adapters trained."""
