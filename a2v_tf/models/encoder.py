"""The encoders: a log-mel slice to an embedding (ICLR section 4 and Table 1; SPL section IV)."""

import keras
import numpy as np
from keras import layers

from a2v_tf.specs import EncoderConfig, InputStats


def standardise(stats: InputStats) -> layers.Layer:
    """Layer from log-mel to zero mean and unit variance."""
    return layers.Normalization(
        axis=None,
        mean=stats.mean,
        variance=stats.variance,
        dtype="float32",
        name="standardise",
    )


def restore_scale(stats: InputStats) -> layers.Layer:
    """Layer from zero mean and unit variance back to log-mel."""
    return layers.Normalization(
        axis=None,
        mean=stats.mean,
        variance=stats.variance,
        invert=True,
        dtype="float32",
        name="restore_scale",
    )


def conv_layer(
    x: keras.KerasTensor, channels: int, name: str, *, separable: bool, folded: bool = False
) -> keras.KerasTensor:
    """One convolutional layer, before its pooling; then batch norm and ReLU.

    Separable (ICLR): a convolution along time (3x1), then one along frequency (1x3), in parallel
    to a pointwise residual. Otherwise (SPL): one 3x3 convolution. Time is padded before the first
    frame only (causal), so that the layer can stream.

    Args:
      x: `[batch, time, frequency, channels in]`.
      channels: channels out.
      name: prefix of the Keras layers' names.
      separable: which of the two.
      folded: of a separable layer leave batch norm out, and give a convolution a bias to fold it
        into.
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
        y = layers.BatchNormalization(name=f"{name}_bn")(y)
    return layers.ReLU(name=f"{name}_relu")(y)


def _convolutions(
    config: EncoderConfig,
    frames: int | None,
    bins: int,
    stats: InputStats,
    *,
    folded: bool = False,
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """The encoder's input and the output of its last convolutional layer."""
    log_mel = keras.Input((frames, bins), name="log_mel")
    x = standardise(stats)(log_mel)
    x = layers.Reshape((-1, bins, 1), name="add_channel")(x)
    for i, (channels, pool) in enumerate(zip(config.channels, config.pools, strict=True), start=1):
        x = conv_layer(x, channels, f"conv{i}", separable=config.separable, folded=folded)
        if pool:
            x = layers.MaxPooling2D(2, padding="same", name=f"conv{i}_pool")(x)
    return log_mel, x


def build_encoder(
    config: EncoderConfig,
    frames: int | None,
    bins: int,
    stats: InputStats,
    *,
    folded: bool = False,
) -> keras.Model:
    """Build the encoder: convolutional layers with 2x2 max-pooling, then global max-pooling and a
    fully-connected layer.

    Args:
      config: its shape.
      frames: N, frames of a slice; None builds for any.
      bins: F, mel bins.
      stats: standardises the input, so that the zeros of the causal padding mean "average".
      folded: the form to export, without batch norm; see `fold_batch_norm`.

    Returns:
      A model from log-mel `[batch, frames, bins]` to embeddings `[batch, embedding_dim]`.
    """
    log_mel, x = _convolutions(config, frames, bins, stats, folded=folded)
    x = layers.GlobalMaxPooling2D(name="global_pool")(x)
    embedding = layers.Dense(config.embedding_dim, use_bias=False, name="embedding")(x)
    return keras.Model(log_mel, embedding, name="encoder")


def build_stream_encoder(
    config: EncoderConfig, frames: int, bins: int, stats: InputStats
) -> keras.Model:
    """Build the encoder over a whole stream: what a streaming export computes, without state.

    The convolutions hear all that came before (`build_encoder` hears zeros before its slice), and
    each column of the last layer, `step_frames` frames, gives an embedding of the `frames` frames
    that end with it. It has the weights of `build_encoder`, in the same order.

    Args:
      config: channels and embedding size.
      frames: N, a multiple of `config.step_frames`.
      bins: F, mel bins.
      stats: the encoder's.

    Returns:
      A model from log-mel `[batch, T, bins]`, T a multiple of `step_frames`, to embeddings
      `[batch, T / step_frames, embedding_dim]`.
    """
    log_mel, x = _convolutions(config, None, bins, stats)
    columns = frames // config.step_frames
    # Zeros before the stream are neutral: what is pooled is never below zero.
    x = layers.ZeroPadding2D(((columns - 1, 0), (0, 0)), name="before_stream")(x)
    x = layers.MaxPooling2D((columns, x.shape[2]), strides=1, name="sliding_pool")(x)
    x = layers.Reshape((-1, x.shape[-1]), name="columns")(x)
    embeddings = layers.Dense(config.embedding_dim, use_bias=False, name="embedding")(x)
    return keras.Model(log_mel, embeddings, name="stream_encoder")


def fold_batch_norm(encoder: keras.Model, folded: keras.Model) -> None:
    """Give `folded` the weights of `encoder`, batch norm folded into the convolutions before it.

    Batch norm scales and shifts the sum of the frequency and the residual convolution by constants
    a channel, so both kernels take the scale and one bias the shift. (Where it follows a single
    convolution, the converter folds it.)
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
