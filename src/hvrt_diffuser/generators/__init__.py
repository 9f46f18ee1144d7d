"""Whole models that draw images, which HVRT is compared with."""
