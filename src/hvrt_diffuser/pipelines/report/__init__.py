"""The pipeline ``report``."""
