"""Autoencoders: what they share, the convolutional ones and their training, pretrained ones."""

from hvrt_diffuser.autoencoders.base import AUTOENCODERS, Autoencoder, AutoencoderEstimator
from hvrt_diffuser.autoencoders.likelihood import negative_elbo
from hvrt_diffuser.autoencoders.network import Architecture, ConvolutionalAutoencoder
from hvrt_diffuser.autoencoders.pretrained import PretrainedAutoencoder
from hvrt_diffuser.autoencoders.pretrained_fit import FineTuning, PretrainedOptions
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
    "FineTuning",
    "PretrainedAutoencoder",
    "PretrainedOptions",
    "Regulariser",
    "TrainingOptions",
    "decode_latents",
    "encode_augmented",
    "encode_images",
    "negative_elbo",
    "to_uint8",
    "train_autoencoder",
]
