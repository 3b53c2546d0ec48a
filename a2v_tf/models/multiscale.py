"""The multiscale encoder: what its embedding reads, and the layers that compute it.

The last layer reads columns of several levels, at several resolutions in time, besides the mean and
the deviation of each log-mel bin. A column is a learned sum over frequency, weighted by position,
of one channel, so that a pitch or a formant stays visible; its mean and its maximum over the slice
follow. All of it streams: see `export/streaming.py`.
"""

import math
from typing import Any

import keras
from keras import layers

from a2v_tf.models.batch_norm import BatchNormalization
from a2v_tf.specs import Level, MultiscaleConfig

LEAST_VARIANCE = 1e-4  # of standardised values, added before the square root


def multiscale_features(
    config: MultiscaleConfig, x: keras.KerasTensor, window: int | None = None
) -> keras.KerasTensor:
    """Build all layers below the fully-connected one.

    Args:
      config: shape of the encoder.
      x: standardised log-mel `[batch, frames, bins]`.
      window: None for one vector of each slice; a number of frames for one vector of each step of a
        stream, of the `window` frames that end there. Before the stream there are zeros.

    Returns:
      `[batch, features]`, or `[batch, frames / config.step_frames, features]`.
    """
    parts = []
    if config.log_mel_statistics:
        sliding = {} if window is None else {"window": window, "step": config.step_frames}
        parts.append(LogMelStatistics(**sliding, dtype="float32", name="log_mel_statistics")(x))
    y = layers.Reshape((-1, x.shape[2], 1), name="add_channel")(x)
    first = 1
    for i, (level, frames) in enumerate(zip(config.levels, config.column_frames, strict=True), 1):
        y = _level(level, y, first, config.frequency_stride)
        first += len(level.channels)
        if level.reads:
            columns = _columns(y, f"level{i}")
            step = config.step_frames // frames
            parts += _reads(level, columns, f"level{i}", window and window // frames, step)
    features = parts[0] if len(parts) == 1 else layers.Concatenate(name="features")(parts)
    return BatchNormalization(name="features_bn")(features)


def _level(
    level: Level, x: keras.KerasTensor, first: int, frequency_stride: int
) -> keras.KerasTensor:
    """The layers of a level, the first of them being the encoder's layer `first`, and its pool."""
    for i, channels in enumerate(level.channels, start=first):
        if i == 1:
            x = _first_layer(x, channels, level.kernel, frequency_stride)
        else:
            x = _separable_layer(x, channels, level.kernel, f"conv{i}")
    name = f"conv{first + len(level.channels) - 1}_pool"
    return layers.MaxPooling2D(level.pool, padding="same", name=name)(x)


def _first_layer(
    x: keras.KerasTensor, channels: int, kernel: tuple[int, int], frequency_stride: int
) -> keras.KerasTensor:
    y = _causal_padding(x, kernel, "conv1")
    y = layers.Conv2D(
        channels,
        kernel,
        strides=(1, frequency_stride),
        use_bias=False,
        kernel_initializer="he_normal",
        name="conv1_conv",
    )(y)
    return layers.ReLU(name="conv1_relu")(BatchNormalization(name="conv1_bn")(y))


def _separable_layer(
    x: keras.KerasTensor, channels: int, kernel: tuple[int, int], name: str
) -> keras.KerasTensor:
    """A depthwise and a pointwise convolution, causal in time, with batch norm and ReLU."""
    y = _causal_padding(x, kernel, name)
    y = _depthwise(y, kernel, f"{name}_depthwise")
    y = layers.Conv2D(
        channels, 1, use_bias=False, kernel_initializer="he_normal", name=f"{name}_pointwise"
    )(y)
    y = BatchNormalization(name=f"{name}_bn")(y)
    if x.shape[-1] == channels:
        y = layers.Add(name=f"{name}_add")([y, x])
    return layers.ReLU(name=f"{name}_relu")(y)


def _causal_padding(x: keras.KerasTensor, kernel: tuple[int, int], name: str) -> keras.KerasTensor:
    frames, bins = kernel
    return layers.ZeroPadding2D(((frames - 1, 0), (bins // 2, bins // 2)), name=f"{name}_pad")(x)


def _depthwise(x: keras.KerasTensor, kernel: tuple[int, int], name: str) -> keras.KerasTensor:
    # Keras counts all channels as inputs of a depthwise kernel, which has one.
    initializer = keras.initializers.RandomNormal(stddev=math.sqrt(2 / math.prod(kernel)))
    return layers.DepthwiseConv2D(
        kernel, use_bias=False, depthwise_initializer=initializer, name=name
    )(x)


def _columns(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Sum over frequency, weighted by position and channel: `[batch, columns, 1, channels]`."""
    y = _depthwise(x, (1, x.shape[2]), f"{name}_columns")
    return BatchNormalization(name=f"{name}_columns_bn")(y)


def _reads(
    level: Level, columns: keras.KerasTensor, name: str, window: int | None, step: int
) -> list[keras.KerasTensor]:
    """Mean or maximum over the slice, or over the last `window` columns of each step."""
    whole = {"mean": layers.GlobalAveragePooling2D, "max": layers.GlobalMaxPooling2D}
    if window is None:
        return [whole[how](name=f"{name}_{how}")(columns) for how in level.reads]
    sliding = {"mean": layers.AveragePooling2D, "max": layers.MaxPooling2D}
    before = layers.ZeroPadding2D(((window - step, 0), (0, 0)), name=f"{name}_before_stream")
    padded = before(columns)
    read = []
    for how in level.reads:
        pooled = sliding[how]((window, 1), strides=(step, 1), name=f"{name}_{how}")(padded)
        read.append(layers.Reshape((-1, columns.shape[-1]), name=f"{name}_{how}_steps")(pooled))
    return read


@keras.saving.register_keras_serializable("a2v_tf")
class LogMelStatistics(layers.Layer):
    """Mean and deviation over time of each bin: `[batch, T, F]` -> `[batch, 2 F]`.

    Args:
      window: None for the whole slice; a number of frames for one row of statistics every `step`
        frames, of the `window` frames that end there: `[batch, T / step, 2 F]`.
      step: frames.
    """

    def __init__(self, window: int | None = None, step: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.window, self.step = window, step

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        if self.window is None or self.step is None:
            mean, variance = keras.ops.mean(x, axis=1), keras.ops.var(x, axis=1)
        else:
            x = keras.ops.pad(x, ((0, 0), (self.window - self.step, 0), (0, 0)))
            mean, square = (
                keras.ops.average_pool(y, self.window, self.step, "valid")
                for y in (x, keras.ops.square(x))
            )
            variance = keras.ops.relu(square - keras.ops.square(mean))
        return keras.ops.concatenate([mean, keras.ops.sqrt(variance + LEAST_VARIANCE)], axis=-1)

    def compute_output_shape(self, input_shape: tuple[Any, ...]) -> tuple[int | None, ...]:
        batch, frames, bins = input_shape
        if self.step is None:
            return batch, 2 * bins
        return batch, frames and frames // self.step, 2 * bins

    def get_config(self) -> dict:
        return {**super().get_config(), "window": self.window, "step": self.step}
