"""The pipeline ``evaluation``."""
