"""The pipelines ``balance`` and ``shots``."""
