"""The pipeline ``latent_encoding``."""
