"""The pipeline ``data_ingest``."""
