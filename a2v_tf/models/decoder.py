"""The decoder, from embeddings to log-mel slices: the mirrored encoder (ICLR section 3)."""

import keras
from keras import layers

from a2v_tf.models.batch_norm import BatchNormalization
from a2v_tf.models.encoder import restore_scale
from a2v_tf.specs import EncoderConfig, InputStats


def _deconv_layer(
    x: keras.KerasTensor, channels: int, name: str, *, separable: bool, last: bool
) -> keras.KerasTensor:
    """The mirrored encoder layer: frequency, then time convolution, in parallel to a residual."""
    if separable:
        below = x.shape[-1]
        y = layers.Conv2D(below, (1, 3), padding="same", use_bias=False, name=f"{name}_freq")(x)
        y = layers.ReLU(name=f"{name}_freq_relu")(y)
        y = layers.Conv2D(channels, (3, 1), padding="same", use_bias=last, name=f"{name}_time")(y)
        residual = layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_residual")(x)
        y = layers.Add(name=f"{name}_add")([y, residual])
    else:
        y = layers.Conv2D(channels, 3, padding="same", use_bias=last, name=f"{name}_conv")(x)
    if last:  # a log-mel value may be any real number
        return y
    return layers.ReLU(name=f"{name}_relu")(BatchNormalization(name=f"{name}_bn")(y))


def build_decoder(
    config: EncoderConfig,
    inputs: int,
    frames: int,
    bins: int,
    outputs: int,
    stats: InputStats,
    name: str = "decoder",
) -> keras.Model:
    """Build the decoder: the encoder's layers in reverse order, with up-sampling for pooling.

    Args:
      config: shape of the encoder.
      inputs: size of the input vector (2P·d for CBoW, d for skip-gram).
      frames: N, frames of a slice.
      bins: F, mel bins.
      outputs: number of slices to reconstruct (1 for CBoW, 2P for skip-gram).
      stats: the encoder's input statistics, to restore the log-mel scale.
      name: name of the model.

    Returns:
      A model from `[batch, inputs]` to log-mel slices `[batch, outputs, frames, bins]`.
    """
    scale = config.step_frames
    rows, columns = -(-frames // scale), -(-bins // scale)  # the encoder's last feature map, 3x2
    z = keras.Input((inputs,), name="embeddings")
    x = layers.Dense(rows * columns * config.channels[-1], use_bias=False, name="expand")(z)
    x = layers.ReLU()(BatchNormalization(name="expand_bn")(x))
    x = layers.Reshape((rows, columns, config.channels[-1]))(x)
    below = (outputs, *config.channels[:-1])
    shapes = zip(below, config.pools, strict=True)
    for i, (channels, pooled) in reversed(list(enumerate(shapes, start=1))):
        if pooled:
            x = layers.UpSampling2D(2, interpolation="nearest", name=f"deconv{i}_up")(x)
        x = _deconv_layer(x, channels, f"deconv{i}", separable=config.separable, last=i == 1)
    x = layers.Cropping2D(((0, rows * scale - frames), (0, columns * scale - bins)))(x)
    x = layers.Permute((3, 1, 2), name="slices_first")(x)
    return keras.Model(z, restore_scale(stats)(x), name=name)
