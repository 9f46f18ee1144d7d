"""The pipelines: thin nodes that tie the library to Kedro's files and parameters."""
