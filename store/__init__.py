"""What is on disk: artifacts, feature tables, vector indexes, logs, SQL."""
