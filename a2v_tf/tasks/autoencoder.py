"""AutoEncoder: reconstruct the slice itself, with the encoder and decoder of Audio2Vec.

ICLR section 4 ("Models"), which tried denoising and variational variants too. The encoder hears
X_(0), `[batch, 1, N, F]`, which is also the target. Denoising adds noise to what the encoder hears;
variational decodes a sample around the embedding, and the divergence of its posterior from N(0, 1)
joins the loss.
"""

import keras
import tensorflow as tf
from keras import layers

from a2v_tf.models import heads
from a2v_tf.specs import Slicing
from a2v_tf.tasks.crops import Crops
from a2v_tf.tasks.setup import Setup

LEARNING_RATE = 1e-3  # ICLR section 4, "Models"
LOSS = "mean_squared_error"
SLICES = ("middle",)
VARIANTS = ("plain", "denoising", "variational")


def crop_frames(slicing: Slicing) -> int:
    """Frames that one example takes from a clip."""
    return slicing.frames


def targets(crops: Crops) -> tf.Tensor:
    """X_(0), `[batch, 1, N, F]`."""
    return crops.middle()


def head(z: keras.KerasTensor, setup: Setup) -> keras.KerasTensor:
    """Reconstruct the slice from `[batch, 1, d]`."""
    size = setup.slicing.frames, setup.bins
    if setup.variant == "variational":
        log_variance = layers.Dense(z.shape[-1], name="autoencoder_log_variance")(z)
        # The evidence lower bound of a decoder with unit variance, over the N·F values that the
        # mean squared error averages: half the squared errors plus the divergence.
        kl_weight = 2.0 / (size[0] * size[1])
        z = heads.Variational(kl_weight, name="autoencoder_sample")(z, log_variance)
    return heads.reconstruct(z, "autoencoder", setup.config, *size, 1, setup.stats)
