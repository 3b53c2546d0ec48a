"""Split an encoder into a float part, beside the front end, and the part that is quantised.

The float part standardises the log-mel values; for a multiscale encoder it also computes their
statistics over the slice. For export, batch norm is folded where the converter cannot fold it:

  a sum of two convolutions    into both kernels and one bias
  the features of multiscale   into depthwise convolutions, each with one weight and one bias per
                               channel: over all columns for a mean, over the maximum for a maximum

So every feature has about unit variance before all share one int8 scale, and a mean is an exact sum
of integers, in a window as in a stream.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from a2v_tf.errors import A2vError
from a2v_tf.models.encoder import build_encoder, fold_batch_norm
from a2v_tf.models.multiscale import LEAST_VARIANCE, LogMelStatistics
from a2v_tf.specs import EncoderConfig, InputStats

STANDARDISE = "standardise"
X, STATISTICS, Y = "x", "statistics", "y"  # names of the quantised part's inputs and output
_MOST_PARTS = 5  # of a CONCATENATION in XNNPACK

Tensor = Any  # a Keras tensor, or TensorFlow's in a function that is converted


@dataclasses.dataclass(frozen=True)
class Parts:
    """An encoder as two functions.

    Attributes:
      front: from log-mel `[1, N, F]` to the inputs of `core` by name, float.
      core: from these to the embedding, `{"y": [1, d]}`.
      owner: has the variables of both.
      short_names: whether tensors of the file are named after the layers alone. Files of encoders
        with a global maximum keep the converter's names, and so every byte.
    """

    front: Callable[[Tensor], dict[str, Tensor]]
    core: Callable[[dict[str, Tensor]], dict[str, Tensor]]
    owner: keras.Model
    short_names: bool = False


def split(encoder: keras.Model, frames: int) -> Parts:
    """Split an encoder for slices of N frames.

    Raises:
      A2vError: it has no layer `standardise`.
    """
    names = {layer.name for layer in encoder.layers}
    if STANDARDISE not in names:
        raise A2vError(f"encoder {encoder.name!r} has no layer {STANDARDISE!r}: cannot export it")
    if "features_bn" in names:
        return _split_multiscale(encoder, frames)
    encoder = _folded(encoder)
    standardise = encoder.get_layer(STANDARDISE)
    core = keras.Model(standardise.output, encoder.output, name="core")
    return Parts(
        lambda log_mel: {X: standardise(log_mel)},
        lambda inputs: {Y: core(inputs[X], training=False)},
        encoder,
    )


def _folded(encoder: keras.Model) -> keras.Model:
    """Fold the batch norms that follow a sum, which the converter cannot fold."""
    names = {layer.name for layer in encoder.layers}
    prefixes = [n.removesuffix("_bn") for n in names if n.endswith("_bn")]
    if not any(f"{prefix}_residual" in names for prefix in prefixes):
        return encoder
    standardise = encoder.get_layer(STANDARDISE)
    last = [layer for layer in encoder.layers if layer.name.endswith("_residual")]
    config = EncoderConfig(tuple(layer.filters for layer in last), encoder.output_shape[-1])
    stats = InputStats(float(standardise.input_mean), float(standardise.input_variance))
    frames, bins = encoder.input_shape[1:]
    folded = build_encoder(config, frames, bins, stats, folded=True)
    fold_batch_norm(encoder, folded)
    return folded


# Multiscale --------------------------------------------------------------------------------------


def _split_multiscale(encoder: keras.Model, frames: int) -> Parts:
    standardise = encoder.get_layer(STANDARDISE)
    made_by = {id(layer.output): layer for layer in encoder.layers}
    norm = encoder.get_layer("features_bn")
    read = [made_by[id(x)] for x in _inputs(norm)]
    if len(read) == 1 and isinstance(read[0], layers.Concatenate):
        read = [made_by[id(x)] for x in _inputs(read[0])]
    scale, shift = scale_and_shift(norm)
    ends = np.cumsum([layer.output.shape[-1] for layer in read])[:-1]
    folded = list(zip(np.split(scale, ends), np.split(shift, ends), strict=True))

    inputs = {X: keras.Input((frames, encoder.input_shape[-1]), batch_size=1, name=X)}
    columns = {id(x.input): x.input for x in read if not isinstance(x, LogMelStatistics)}
    trunk = keras.Model(standardise.output, list(columns.values()), name="trunk")
    of_columns = dict(zip(columns, as_list(trunk(inputs[X])), strict=True))
    features, statistics = [], None
    for layer, (a, b) in zip(read, folded, strict=True):
        if isinstance(layer, LogMelStatistics):
            inputs[STATISTICS] = keras.Input((1, 1, len(a)), batch_size=1, name=STATISTICS)
            features.append(inputs[STATISTICS])
            statistics = a, b
        else:
            features.append(_read(layer, of_columns[id(layer.input)], a, b))
    joined = _concatenated(features)
    (kernel,) = encoder.get_layer("embedding").get_weights()
    last = layers.Dense(kernel.shape[-1], use_bias=False, name="embedding")
    core = keras.Model(inputs, last(ops.reshape(joined, (1, -1))), name="core")
    last.set_weights([kernel])

    def front(log_mel: Tensor) -> dict[str, Tensor]:
        x = standardise(log_mel)
        return {X: x} if statistics is None else {X: x, STATISTICS: _statistics(x, *statistics)}

    return Parts(front, lambda given: {Y: core(given, training=False)}, core, short_names=True)


def _concatenated(features: list[Tensor]) -> Tensor:
    """Concatenate, a few at a time: XNNPACK leaves a larger CONCATENATION to builtin kernels."""
    while len(features) > 1:
        groups = [features[i : i + _MOST_PARTS] for i in range(0, len(features), _MOST_PARTS)]
        features = [ops.concatenate(x, axis=-1) if len(x) > 1 else x[0] for x in groups]
    return features[0]


def _read(layer: layers.Layer, columns: Tensor, scale: np.ndarray, shift: np.ndarray) -> Tensor:
    """Mean or maximum over all columns, scaled and shifted: `[1, 1, 1, channels]`."""
    count, channels = columns.shape[1], columns.shape[-1]
    if isinstance(layer, layers.GlobalMaxPooling2D):
        columns = layers.MaxPooling2D((count, 1), name=layer.name)(columns)
        name, count = f"{layer.name}_norm", 1
    else:
        name = layer.name
    read = layers.DepthwiseConv2D((count, 1), name=name)
    y = read(columns)
    kernel = np.broadcast_to(scale / count, (count, 1, channels))[..., np.newaxis]
    read.set_weights([kernel, shift])
    return y


def _statistics(x: Tensor, scale: np.ndarray, shift: np.ndarray) -> Tensor:
    """`LogMelStatistics` in ops that stream, scaled and shifted: `[batch, 1, 1, 2 F]`."""
    mean = tf.reduce_mean(x, axis=1, keepdims=True)
    variance = tf.reduce_mean(tf.math.squared_difference(x, mean), axis=1, keepdims=True)
    both = tf.concat([mean, tf.sqrt(variance + LEAST_VARIANCE)], axis=-1)
    both = both * scale.astype(np.float32) + shift.astype(np.float32)
    return tf.reshape(both, (-1, 1, 1, len(scale)))


def scale_and_shift(norm: layers.BatchNormalization) -> tuple[np.ndarray, np.ndarray]:
    """The constants of batch norm, which is scale * x + shift."""
    gamma, beta, mean, variance = (np.asarray(w, np.float64) for w in norm.get_weights())
    scale = gamma / np.sqrt(variance + norm.epsilon)
    return scale, beta - mean * scale


def _inputs(layer: layers.Layer) -> list[Tensor]:
    return as_list(layer.input)


def as_list(x: Tensor | list[Tensor]) -> list[Tensor]:
    return list(x) if isinstance(x, (list, tuple)) else [x]
