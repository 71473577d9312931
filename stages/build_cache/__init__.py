"""The stage build-cache: the few-shot support and its two caches."""
