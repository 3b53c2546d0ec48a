"""AutoEncoder: reconstruct the slice itself, with the encoder and decoder of Audio2Vec.

ICLR section 4 ("Models"), which tried denoising and variational variants too. The encoder's input
is X_(0), `[batch, 1, N, F]`, which is also the target. Denoising adds noise to the input;
variational decodes a sample around the embedding, and adds the divergence of its posterior from
N(0, 1) to the loss.
"""

import keras
from keras import layers

from a2v_tf.models import heads
from a2v_tf.tasks.crops import MIDDLE, Crops
from a2v_tf.tasks.task import Setup, Task


def head(z: keras.KerasTensor, setup: Setup) -> keras.KerasTensor:
    """Reconstruct the slice from `[batch, 1, d]`."""
    size = setup.slicing.frames, setup.bins
    if setup.options.variant == "variational":
        log_variance = layers.Dense(z.shape[-1], name="autoencoder_log_variance")(z)
        # The evidence lower bound of a decoder with unit variance, over the N·F values that the
        # mean squared error averages: half the squared errors plus the divergence.
        kl_weight = 2.0 / (size[0] * size[1])
        z = heads.Variational(kl_weight, name="autoencoder_sample")(z, log_variance)
    dense = setup.options.slice_decoder == "dense"
    return heads.reconstruct(z, "autoencoder", setup.config, *size, 1, setup.stats, dense=dense)


TASK = Task(
    name="autoencoder",
    learning_rate=1e-3,  # ICLR section 4, "Models"
    loss="mean_squared_error",
    slices=(MIDDLE,),
    crop_frames=lambda slicing: slicing.frames,
    targets=Crops.middle,
    head=head,
    reconstructs=True,
)
