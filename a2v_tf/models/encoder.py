"""The encoder: a log-mel slice to an embedding (ICLR section 4 and Table 1)."""

import dataclasses

import keras
from keras import layers


@dataclasses.dataclass(frozen=True)
class EncoderConfig:
    """The shape of an encoder.

    Attributes:
      channels: output channels of each convolutional layer; each halves time and frequency.
      embedding_dim: d, outputs of the fully-connected layer.
    """

    channels: tuple[int, ...]
    embedding_dim: int

    @property
    def step_frames(self) -> int:
        """Frames that one column of the last layer stands for: the least streaming step."""
        return 2 ** len(self.channels)


ENCODERS = {
    "small": EncoderConfig(channels=(8, 16, 32, 64, 128), embedding_dim=128),
}


@dataclasses.dataclass(frozen=True)
class InputStats:
    """Mean and variance of every log-mel value of the training data: two scalars."""

    mean: float = 0.0
    variance: float = 1.0


def standardise(stats: InputStats) -> layers.Layer:
    """Layer from log-mel to zero mean and unit variance."""
    return layers.Normalization(
        axis=None, mean=stats.mean, variance=stats.variance, name="standardise"
    )


def restore_scale(stats: InputStats) -> layers.Layer:
    """Layer from zero mean and unit variance back to log-mel."""
    return layers.Normalization(
        axis=None, mean=stats.mean, variance=stats.variance, invert=True, name="restore_scale"
    )


def conv_bn(
    x: keras.KerasTensor, channels: int, kernel: tuple[int, int], name: str, causal: bool = False
) -> keras.KerasTensor:
    """Convolve and batch-normalise; `causal` pads time before the first frame only."""
    if causal:
        x = layers.ZeroPadding2D(((kernel[0] - 1, 0), (0, 0)), name=f"{name}_pad")(x)
    x = layers.Conv2D(
        channels, kernel, padding="valid" if causal else "same", use_bias=False, name=name
    )(x)
    return layers.BatchNormalization(name=f"{name}_bn")(x)


def build_encoder(
    config: EncoderConfig, frames: int | None, bins: int, stats: InputStats
) -> keras.Model:
    """Build the encoder.

    Each layer is a convolution along time (3x1, causal so that the encoder can stream), then one
    along frequency (1x3), in parallel to a pointwise residual; batch norm after each, ReLU, and
    2x2 max-pooling. Global max-pooling and a fully-connected layer give the embedding.

    Args:
      config: channels and embedding size.
      frames: N, frames of a slice; None builds for any.
      bins: F, mel bins.
      stats: standardises the input, so that the zeros of the causal padding mean "average".

    Returns:
      A model from log-mel `[batch, frames, bins]` to embeddings `[batch, embedding_dim]`.
    """
    log_mel = keras.Input((frames, bins), name="log_mel")
    x = standardise(stats)(log_mel)
    x = layers.Reshape((-1, bins, 1), name="add_channel")(x)
    for i, channels in enumerate(config.channels, start=1):
        y = conv_bn(x, channels, (3, 1), f"conv{i}_time", causal=True)
        y = layers.ReLU(name=f"conv{i}_time_relu")(y)
        y = conv_bn(y, channels, (1, 3), f"conv{i}_freq")
        residual = conv_bn(x, channels, (1, 1), f"conv{i}_residual")
        x = layers.ReLU(name=f"conv{i}_relu")(layers.Add(name=f"conv{i}_add")([y, residual]))
        x = layers.MaxPooling2D(2, padding="same", name=f"conv{i}_pool")(x)
    x = layers.GlobalMaxPooling2D(name="global_pool")(x)
    embedding = layers.Dense(config.embedding_dim, use_bias=False, name="embedding")(x)
    return keras.Model(log_mel, embedding, name="encoder")
