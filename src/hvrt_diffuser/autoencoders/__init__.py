"""Autoencoders: what they share, the convolutional ones, their objectives and training."""

from hvrt_diffuser.autoencoders.base import AUTOENCODERS, Autoencoder, AutoencoderEstimator
from hvrt_diffuser.autoencoders.likelihood import negative_elbo
from hvrt_diffuser.autoencoders.network import Architecture, ConvolutionalAutoencoder
from hvrt_diffuser.autoencoders.regularisers import Regulariser
from hvrt_diffuser.autoencoders.training import TrainingOptions, train_autoencoder
from hvrt_diffuser.autoencoders.transform import (
    decode_latents,
    encode_augmented,
    encode_images,
    to_uint8,
)

__all__ = [
    "AUTOENCODERS",
    "Architecture",
    "Autoencoder",
    "AutoencoderEstimator",
    "ConvolutionalAutoencoder",
    "Regulariser",
    "TrainingOptions",
    "decode_latents",
    "encode_augmented",
    "encode_images",
    "negative_elbo",
    "to_uint8",
    "train_autoencoder",
]
