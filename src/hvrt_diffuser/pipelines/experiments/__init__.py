"""Pipelines of experiments, all made by one factory."""
