"""The stage train: adapters fitted on cached features."""
