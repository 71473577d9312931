"""Artifacts: identity, manifest, locks."""
