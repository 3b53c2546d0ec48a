"""Sizes and choices as plain data: slices, encoders, task options. No TensorFlow here."""

import dataclasses
import itertools

from a2v_tf.errors import A2vError
from a2v_tf.plugins import is_reference, load_object

MAX_BAD_FRACTION = 0.1  # of the recordings of a corpus that may be unusable
PERIOD = 0.125  # seconds from one frame of a precomputed spectrogram to the next (SpecCense)
STRATEGIES = ("none", "mirrored", "multi_worker")
PRECISIONS = ("float32", "bfloat16")
AUTOENCODERS = ("plain", "denoising", "variational")
SPECTROGRAM = "spectrogram:"  # how --data names a corpus of precomputed spectrograms
# Of `data.sources.open_source`, those that are part of a run's settings.
SOURCE_OPTIONS = (
    "max_bad_fraction",
    "decoder",
    "spectrogram_time",
    "spectrogram_columns",
    "spectrogram_period",
)
MIX_DB = (5.0, 25.0)  # how much quieter the slice is that `mix` adds: uniform


@dataclasses.dataclass(frozen=True)
class Slicing:
    """Which slices are cut out of a clip (ICLR section 3).

    Attributes:
      frames: N, frames in a slice.
      context: P, slices on each side of the middle one.
      gap: G, frames between two slices, so that overlapping STFT windows leak nothing.
      max_frames: N_max, frames of the part of a clip that two random slices are cut from; None
        for `span`. The papers' clips of 10 s have 998.
    """

    frames: int = 96
    context: int = 2
    gap: int = 2
    max_frames: int | None = None

    @property
    def stride(self) -> int:
        """Frames from the start of one slice to the start of the next: N + G."""
        return self.frames + self.gap

    @property
    def span(self) -> int:
        """Frames from the first frame of X_(-P) to the last frame of X_(P)."""
        return 2 * self.context * self.stride + self.frames

    @property
    def reach(self) -> int:
        """N_max: frames in which the two slices of a pair lie."""
        return self.max_frames or self.span


@dataclasses.dataclass(frozen=True)
class BandLevels:
    """The frames of a corpus of precomputed spectrograms; takes the place of a `FrontEnd`.

    Attributes:
      columns: names of the bands.
      period: seconds from one frame to the next.
    """

    columns: tuple[str, ...]
    period: float

    @property
    def bins(self) -> int:
        """F, values in a frame."""
        return len(self.columns)

    def samples(self, frames: int) -> int:
        """What `Source.crops` needs for `frames` frames: a sample of such a source is a frame."""
        return frames

    def seconds(self, frames: int) -> float:
        """Duration of `frames` consecutive frames."""
        return frames * self.period


@dataclasses.dataclass(frozen=True)
class EncoderConfig:
    """The shape of an encoder.

    Attributes:
      channels: output channels of each convolutional layer.
      embedding_dim: d, outputs of the fully-connected layer.
      separable: a layer is a convolution along time and one along frequency beside a pointwise
        residual (ICLR Table 1); otherwise one 3x3 convolution (SPL).
      pool_before_growth: halve time and frequency only after the layers that the next one has
        more channels than (SPL); otherwise after every layer (ICLR).
    """

    channels: tuple[int, ...]
    embedding_dim: int
    separable: bool = True
    pool_before_growth: bool = False

    @property
    def pools(self) -> tuple[bool, ...]:
        """For each convolutional layer, whether 2x2 max-pooling follows it."""
        if not self.pool_before_growth:
            return (True,) * len(self.channels)
        grows = (after > here for here, after in itertools.pairwise(self.channels))
        return (*grows, False)

    @property
    def step_frames(self) -> int:
        """Frames that one column of the last layer stands for: the least streaming step."""
        return 2 ** sum(self.pools)


ENCODERS = {
    # ICLR Table 1.
    "small": EncoderConfig(channels=(8, 16, 32, 64, 128), embedding_dim=128),
    # ICLR section 4, "Impact of encoder architecture size": channels x4.
    "large": EncoderConfig(channels=(32, 64, 128, 256, 512), embedding_dim=256),
    # SPL section IV, "Encoder architecture".
    "vgg6": EncoderConfig(
        channels=(64, 128, 256, 256, 512, 512),
        embedding_dim=128,
        separable=False,
        pool_before_growth=True,
    ),
}


def find_encoder(name: str, flag: str = "--encoder") -> EncoderConfig:
    """Look up an encoder by name, or import the `EncoderConfig` that `package.module:NAME` names.

    Raises:
      A2vError: there is no such encoder.
    """
    if name in ENCODERS:
        return ENCODERS[name]
    if not is_reference(name):
        raise A2vError(f"{flag}={name}: expected {', '.join(ENCODERS)} or package.module:NAME")
    config = load_object(name, flag)
    if not isinstance(config, EncoderConfig):
        raise A2vError(f"{flag}={name}: expected an EncoderConfig, not {type(config).__name__}")
    sizes = (*config.channels, config.embedding_dim)
    if not config.channels or not all(isinstance(n, int) and n > 0 for n in sizes):
        raise A2vError(
            f"{flag}={name}: channels={config.channels} and embedding_dim={config.embedding_dim}: "
            "expected positive whole numbers, channels of at least one layer"
        )
    return config


@dataclasses.dataclass(frozen=True)
class InputStats:
    """Mean and variance of every log-mel value of the training data: two scalars."""

    mean: float = 0.0
    variance: float = 1.0


@dataclasses.dataclass(frozen=True)
class TaskOptions:
    """What tasks leave open, with the papers' values where they have any.

    Attributes:
      variant: of the autoencoder, one of `AUTOENCODERS`.
      noise: that the denoising autoencoder adds, in standard deviations of the log-mel values.
      margin: of the triplet loss, a squared distance on the unit sphere.
      temperature: divides the cosine similarities of the contrastive losses.
      decorrelation: weight of the redundancy penalty on contrastive embeddings.
      mix: fraction of the slices that are mixed with another slice during training.
      slice_gain_db: greatest random gain of a slice during training, in decibels.
    """

    variant: str = "plain"
    noise: float = 0.5
    margin: float = 0.1
    temperature: float = 0.1
    decorrelation: float = 0.0
    mix: float = 0.0
    slice_gain_db: float = 0.0
