"""The encoders, from log-mel slices to embeddings (ICLR section 4, Table 1; SPL section IV)."""

import keras
import numpy as np
from keras import layers

from a2v_tf.models.batch_norm import BatchNormalization
from a2v_tf.models.multiscale import multiscale_features
from a2v_tf.specs import AnyEncoder, EncoderConfig, InputStats, MultiscaleConfig


def standardise(stats: InputStats) -> layers.Layer:
    """Layer that standardises log-mel values to zero mean and unit variance."""
    return _normalization(stats, "standardise")


def restore_scale(stats: InputStats) -> layers.Layer:
    """Layer that inverts `standardise`."""
    return _normalization(stats, "restore_scale", invert=True)


def _normalization(stats: InputStats, name: str, *, invert: bool = False) -> layers.Layer:
    return layers.Normalization(
        axis=None,
        mean=stats.mean,
        variance=stats.variance,
        invert=invert,
        dtype="float32",
        name=name,
    )


def conv_layer(
    x: keras.KerasTensor, channels: int, name: str, *, separable: bool, folded: bool = False
) -> keras.KerasTensor:
    """A convolutional layer with batch norm and ReLU, without pooling.

    Separable (ICLR): a convolution along time (3x1), then one along frequency (1x3), in parallel
    to a pointwise residual. Otherwise (SPL): one 3x3 convolution. Time is padded only before the
    first frame (causal), so that the layer can stream.

    Args:
      x: `[batch, time, frequency, input channels]`.
      channels: output channels.
      name: prefix of the Keras layers' names.
      separable: whether the layer is separable.
      folded: omit the batch norm of a separable layer, and add a bias into which it is folded.
    """
    if separable:
        y = layers.ZeroPadding2D(((2, 0), (0, 0)), name=f"{name}_pad")(x)
        y = layers.Conv2D(channels, (3, 1), use_bias=False, name=f"{name}_time")(y)
        y = layers.ReLU(name=f"{name}_time_relu")(y)
        y = layers.Conv2D(channels, (1, 3), padding="same", use_bias=folded, name=f"{name}_freq")(y)
        residual = layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_residual")(x)
        y = layers.Add(name=f"{name}_add")([y, residual])
    else:
        y = layers.ZeroPadding2D(((2, 0), (1, 1)), name=f"{name}_pad")(x)
        y = layers.Conv2D(channels, 3, use_bias=False, name=f"{name}_conv")(y)
    if not folded:
        y = BatchNormalization(name=f"{name}_bn")(y)
    return layers.ReLU(name=f"{name}_relu")(y)


def _convolutions(
    config: EncoderConfig,
    frames: int | None,
    bins: int,
    stats: InputStats,
    *,
    folded: bool = False,
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Build the convolutional layers: the encoder's input and the last layer's output."""
    log_mel = keras.Input((frames, bins), name="log_mel")
    x = standardise(stats)(log_mel)
    x = layers.Reshape((-1, bins, 1), name="add_channel")(x)
    for i, (channels, pool) in enumerate(zip(config.channels, config.pools, strict=True), start=1):
        x = conv_layer(x, channels, f"conv{i}", separable=config.separable, folded=folded)
        if pool:
            x = layers.MaxPooling2D(2, padding="same", name=f"conv{i}_pool")(x)
    return log_mel, x


def build_encoder(
    config: AnyEncoder,
    frames: int | None,
    bins: int,
    stats: InputStats,
    *,
    folded: bool = False,
) -> keras.Model:
    """Build the encoder.

    It has convolutional layers with max-pooling, and a fully-connected layer. What that takes is
    the global maximum of the last layer, or the `multiscale_features`.

    Args:
      config: shape of the encoder.
      frames: N, frames of a slice; None for any number.
      bins: F, mel bins.
      stats: mean and variance of the input. It is standardised, so zero padding is the average.
      folded: omit the batch norm of separable layers, for export; see `fold_batch_norm`.

    Returns:
      A model from log-mel `[batch, frames, bins]` to embeddings `[batch, embedding_dim]`.
    """
    if isinstance(config, MultiscaleConfig):
        log_mel = keras.Input((frames, bins), name="log_mel")
        x = multiscale_features(config, standardise(stats)(log_mel))
    else:
        log_mel, x = _convolutions(config, frames, bins, stats, folded=folded)
        x = layers.GlobalMaxPooling2D(name="global_pool")(x)
    embedding = layers.Dense(config.embedding_dim, use_bias=False, name="embedding")(x)
    return keras.Model(log_mel, embedding, name="encoder")


def build_stream_encoder(
    config: AnyEncoder, frames: int, bins: int, stats: InputStats
) -> keras.Model:
    """Build the stateless equivalent of a streaming export, for whole streams.

    The receptive field of the convolutions extends to earlier frames, where `build_encoder` has
    zero padding. For each column of the last layer, `step_frames` frames, the model gives an
    embedding of the `frames` frames that end there. Its weights are those of `build_encoder`, in
    the same order.

    Args:
      config: shape of the encoder.
      frames: N, a multiple of `config.step_frames`.
      bins: F, mel bins.
      stats: mean and variance of the input.

    Returns:
      A model from log-mel `[batch, T, bins]`, T a multiple of `step_frames`, to embeddings
      `[batch, T / step_frames, embedding_dim]`.
    """
    if isinstance(config, MultiscaleConfig):
        log_mel = keras.Input((None, bins), name="log_mel")
        x = multiscale_features(config, standardise(stats)(log_mel), window=frames)
    else:
        log_mel, x = _convolutions(config, None, bins, stats)
        x = _sliding_maximum(x, frames // config.step_frames)
    embeddings = layers.Dense(config.embedding_dim, use_bias=False, name="embedding")(x)
    return keras.Model(log_mel, embeddings, name="stream_encoder")


def _sliding_maximum(x: keras.KerasTensor, columns: int) -> keras.KerasTensor:
    """Maximum over frequency and the last `columns` columns, `[batch, columns, channels]`."""
    # Zeros before the stream do not change the maximum, since ReLU outputs are at least zero.
    x = layers.ZeroPadding2D(((columns - 1, 0), (0, 0)), name="before_stream")(x)
    x = layers.MaxPooling2D((columns, x.shape[2]), strides=1, name="sliding_pool")(x)
    return layers.Reshape((-1, x.shape[-1]), name="columns")(x)


def fold_batch_norm(encoder: keras.Model, folded: keras.Model) -> None:
    """Copy the weights of `encoder` to `folded`, with batch norm folded into the convolutions.

    Batch norm scales and shifts the sum of the frequency and the residual convolution by constants
    per channel, so both kernels take the scale and one bias takes the shift. (The converter itself
    folds batch norm that follows a single convolution.)

    Args:
      encoder: result of `build_encoder` for a separable config.
      folded: result of `build_encoder(..., folded=True)` for the same config.
    """
    for layer in encoder.layers:
        if not isinstance(layer, layers.BatchNormalization):
            continue
        prefix = layer.name.removesuffix("_bn")
        gamma, beta, mean, variance = (np.asarray(w, np.float64) for w in layer.get_weights())
        scale = gamma / np.sqrt(variance + layer.epsilon)
        (freq,) = encoder.get_layer(f"{prefix}_freq").get_weights()
        (residual,) = encoder.get_layer(f"{prefix}_residual").get_weights()
        time = encoder.get_layer(f"{prefix}_time").get_weights()
        folded.get_layer(f"{prefix}_time").set_weights(time)
        folded.get_layer(f"{prefix}_freq").set_weights([freq * scale, beta - mean * scale])
        folded.get_layer(f"{prefix}_residual").set_weights([residual * scale])
    folded.get_layer("embedding").set_weights(encoder.get_layer("embedding").get_weights())
