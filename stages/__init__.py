"""The work: datasets, extraction, caches, methods, evaluation. A stage is a typed function from a config to an artifact."""
