"""Small convolutional autoencoders: networks, objectives, training."""

from hvrt_diffuser.autoencoders.network import Architecture, Autoencoder
from hvrt_diffuser.autoencoders.regularisers import Regulariser
from hvrt_diffuser.autoencoders.training import TrainingOptions, train_autoencoder
from hvrt_diffuser.autoencoders.transform import (
    decode_latents,
    encode_augmented,
    encode_images,
    to_uint8,
)

__all__ = [
    "Architecture",
    "Autoencoder",
    "Regulariser",
    "TrainingOptions",
    "decode_latents",
    "encode_augmented",
    "encode_images",
    "to_uint8",
    "train_autoencoder",
]
