"""The pipeline ``generation``."""
