"""Features that others extracted, as ordinary feature artifacts."""
