"""The pipeline ``tstr``."""
