"""Labelled images: where they come from, and what goes with them."""
