"""The pipeline ``export``."""
