"""The pipeline ``hvrt_fitting``."""
