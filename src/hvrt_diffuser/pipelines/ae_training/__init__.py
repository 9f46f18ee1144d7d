"""The pipeline ``ae_training``."""
