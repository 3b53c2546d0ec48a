"""The decoder: embeddings back to log-mel slices, the encoder in reverse (ICLR section 3)."""

import keras
from keras import layers

from a2v_tf.models.encoder import EncoderConfig, InputStats, conv_bn, restore_scale


def build_decoder(
    config: EncoderConfig,
    inputs: int,
    frames: int,
    bins: int,
    outputs: int,
    stats: InputStats,
) -> keras.Model:
    """Build the mirror of `build_encoder`: its layers in reverse order, pooling up-sampled.

    Args:
      config: the encoder's.
      inputs: size of the vector to decode (2P·d for CBoW, d for skip-gram).
      frames: N, frames of a slice.
      bins: F, mel bins.
      outputs: slices to reconstruct (1 for CBoW, 2P for skip-gram).
      stats: the encoder's, to return to the log-mel scale.

    Returns:
      A model from `[batch, inputs]` to log-mel slices `[batch, outputs, frames, bins]`.
    """
    scale = config.step_frames
    rows, columns = -(-frames // scale), -(-bins // scale)  # the encoder's last map, 3x2
    z = keras.Input((inputs,), name="embeddings")
    x = layers.Dense(rows * columns * config.channels[-1], use_bias=False, name="expand")(z)
    x = layers.ReLU()(layers.BatchNormalization(name="expand_bn")(x))
    x = layers.Reshape((rows, columns, config.channels[-1]))(x)
    below = (outputs, *config.channels[:-1])
    for i, channels in reversed(list(enumerate(below, start=1))):
        x = layers.UpSampling2D(2, interpolation="nearest", name=f"deconv{i}_up")(x)
        y = conv_bn(x, x.shape[-1], (1, 3), f"deconv{i}_freq")
        y = layers.ReLU(name=f"deconv{i}_freq_relu")(y)
        if i == 1:  # the reconstruction is any real number: no batch norm, no ReLU
            y = layers.Conv2D(channels, (3, 1), padding="same", name="deconv1_time")(y)
            residual = layers.Conv2D(channels, 1, name="deconv1_residual")(x)
            x = layers.Add(name="deconv1_add")([y, residual])
        else:
            y = conv_bn(y, channels, (3, 1), f"deconv{i}_time")
            residual = conv_bn(x, channels, (1, 1), f"deconv{i}_residual")
            x = layers.ReLU(name=f"deconv{i}_relu")(
                layers.Add(name=f"deconv{i}_add")([y, residual])
            )
    x = layers.Cropping2D(((0, rows * scale - frames), (0, columns * scale - bins)))(x)
    x = layers.Permute((3, 1, 2), name="slices_first")(x)
    return keras.Model(z, restore_scale(stats)(x), name="decoder")
