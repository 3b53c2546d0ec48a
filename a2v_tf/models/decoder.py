"""The decoder, from embeddings to log-mel slices: the encoder's layers in reverse order.

ICLR section 3 ("Audio2Vec (CBoW)"), patent paragraphs 44 and 112, claim 7.
"""

import math

import keras
from keras import layers

from a2v_tf.models.batch_norm import BatchNormalization
from a2v_tf.models.encoder import restore_scale
from a2v_tf.specs import AnyEncoder, EncoderConfig, InputStats, MultiscaleConfig


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
    config: AnyEncoder,
    inputs: int,
    frames: int,
    bins: int,
    outputs: int,
    stats: InputStats,
    *,
    dense: bool = False,
    name: str = "decoder",
) -> keras.Model:
    """Build the decoder: the encoder's layers in reverse order, with up-sampling for pooling.

    The fully-connected layer comes first. Nearest-neighbour up-sampling then repeats its outputs
    at every position of the encoder's last feature map, as global max-pooling reduced it to one
    vector, and takes the place of every other max-pooling too. Convolutions pad time on both sides,
    since decoders do not stream. Like the encoder's, no layer has a bias, but the last one does: it
    has neither batch norm nor ReLU, because a log-mel value may be any real number.

    Args:
      config: shape of the encoder.
      inputs: size of the input vector (2P·d for CBoW, d for skip-gram).
      frames: N, frames of a slice.
      bins: F, mel bins.
      outputs: number of slices to reconstruct (1 for CBoW, 2P for skip-gram).
      stats: the encoder's input statistics, to restore the log-mel scale.
      dense: compute every value of the last feature map from the embeddings instead: the
        fully-connected layer has an output for each of them, batch norm and ReLU.
      name: name of the model.

    Returns:
      A model from `[batch, inputs]` to log-mel slices `[batch, outputs, frames, bins]`.
    """
    z = keras.Input((inputs,), name="embeddings")
    if isinstance(config, MultiscaleConfig):
        x = _mirrored_levels(config, z, frames, bins, outputs, dense)
    else:
        x = _mirrored_layers(config, z, frames, bins, outputs, dense)
    _, made_frames, made_bins, _ = x.shape
    x = layers.Cropping2D(((0, made_frames - frames), (0, made_bins - bins)))(x)
    x = layers.Permute((3, 1, 2), name="slices_first")(x)
    return keras.Model(z, restore_scale(stats)(x), name=name)


def _last_map(
    z: keras.KerasTensor, rows: int, columns: int, channels: int, dense: bool
) -> keras.KerasTensor:
    """The encoder's last feature map, made from the embeddings."""
    if dense:
        x = layers.Dense(rows * columns * channels, use_bias=False, name="expand")(z)
        x = layers.ReLU()(BatchNormalization(name="expand_bn")(x))
        return layers.Reshape((rows, columns, channels))(x)
    x = layers.Dense(channels, use_bias=False, name="fully_connected")(z)
    return _up(layers.Reshape((1, 1, channels))(x), (rows, columns), "global_up")


def _mirrored_layers(
    config: EncoderConfig, z: keras.KerasTensor, frames: int, bins: int, outputs: int, dense: bool
) -> keras.KerasTensor:
    scale = config.step_frames
    x = _last_map(z, -(-frames // scale), -(-bins // scale), config.channels[-1], dense)
    below = (outputs, *config.channels[:-1])
    shapes = zip(below, config.pools, strict=True)
    for i, (channels, pooled) in reversed(list(enumerate(shapes, start=1))):
        if pooled:
            x = layers.UpSampling2D(2, interpolation="nearest", name=f"deconv{i}_up")(x)
        x = _deconv_layer(x, channels, f"deconv{i}", separable=config.separable, last=i == 1)
    return x


def _mirrored_levels(
    config: MultiscaleConfig,
    z: keras.KerasTensor,
    frames: int,
    bins: int,
    outputs: int,
    dense: bool,
) -> keras.KerasTensor:
    scale = math.prod(level.pool[1] for level in config.levels) * config.frequency_stride
    rows, columns = -(-frames // config.step_frames), -(-bins // scale)
    x = _last_map(z, rows, columns, config.levels[-1].channels[-1], dense)
    channels = [n for level in config.levels for n in level.channels]
    below = iter(reversed([outputs, *channels[:-1]]))
    i = len(channels)
    for level in reversed(config.levels):
        x = _up(x, level.pool, f"deconv{i}_up")
        for _ in level.channels:
            if i > 1:
                x = _separable_deconv_layer(x, next(below), level.kernel, f"deconv{i}")
            i -= 1
    x = _up(x, (1, config.frequency_stride), "deconv1_frequency_up")
    kernel = config.levels[0].kernel
    return layers.Conv2D(next(below), kernel, padding="same", name="deconv1_conv")(x)


def _up(x: keras.KerasTensor, size: tuple[int, int], name: str) -> keras.KerasTensor:
    if size == (1, 1):
        return x
    return layers.UpSampling2D(size, interpolation="nearest", name=name)(x)


def _separable_deconv_layer(
    x: keras.KerasTensor, channels: int, kernel: tuple[int, int], name: str
) -> keras.KerasTensor:
    """The mirrored separable layer: a pointwise, then a depthwise convolution."""
    y = layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_pointwise")(x)
    y = layers.DepthwiseConv2D(kernel, padding="same", use_bias=False, name=f"{name}_depthwise")(y)
    y = BatchNormalization(name=f"{name}_bn")(y)
    if x.shape[-1] == channels:
        y = layers.Add(name=f"{name}_add")([y, x])
    return layers.ReLU(name=f"{name}_relu")(y)
