"""Sizes and choices as plain data: slices, encoders, task options. No TensorFlow here."""

import dataclasses
import itertools
import operator

from a2v_tf.errors import A2vError
from a2v_tf.plugins import is_reference, load_object

CHANNELS = ("mix", "left", "loudest")  # which of a recording's channels are used
MAX_BAD_FRACTION = 0.1  # of the recordings of a corpus that may be unusable
PERIOD = 0.125  # seconds from one frame of a precomputed spectrogram to the next (SpecCense)
CLIP = "clip"  # as N_max: the length of each clip
STRATEGIES = ("none", "mirrored", "multi_worker")
PRECISIONS = ("float32", "bfloat16")
AUTOENCODERS = ("plain", "denoising", "variational")
SLICE_DECODERS = ("mirror", "dense")
SPECTROGRAM = "spectrogram:"  # how --data names a corpus of precomputed spectrograms
# Of `data.sources.open_source`, those that are part of a run's settings.
SOURCE_OPTIONS = (
    "max_bad_fraction",
    "decoder",
    "channels",
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
        for `span`, `CLIP` for the whole clip, whatever its length. The papers' clips of 10 s have
        998.
      context_before: slices before the middle one; None for `context`.
      context_after: slices after the middle one; None for `context`.
    """

    frames: int = 96
    context: int = 2
    gap: int = 2
    max_frames: int | str | None = None
    context_before: int | None = None
    context_after: int | None = None

    @property
    def before(self) -> int:
        """Slices before the middle one."""
        return self.context if self.context_before is None else self.context_before

    @property
    def after(self) -> int:
        """Slices after the middle one."""
        return self.context if self.context_after is None else self.context_after

    @property
    def sides(self) -> list[int]:
        """p of the slices X_(p) around the middle one: -P to -1 and 1 to P."""
        return [*range(-self.before, 0), *range(1, self.after + 1)]

    @property
    def stride(self) -> int:
        """Frames from the start of one slice to the start of the next: N + G."""
        return self.frames + self.gap

    @property
    def span(self) -> int:
        """Frames from the first frame of X_(-P) to the last frame of X_(P)."""
        return len(self.sides) * self.stride + self.frames

    @property
    def whole_clips(self) -> bool:
        """Whether N_max is the length of each clip: pairs are not cut from crops then."""
        return self.max_frames == CLIP

    @property
    def reach(self) -> int:
        """N_max: frames of a crop in which the two slices of a pair lie; N with `whole_clips`."""
        if isinstance(self.max_frames, str):
            return self.frames
        return self.max_frames or self.span

    def middle(self, frames: int) -> int:
        """Where X_(0) begins if it and the slices around it are in the middle of a crop.

        Args:
          frames: of the crop, at least N; if there is no room for the slices around it, X_(0) alone
            is in the middle.
        """
        if frames < self.span:
            return (frames - self.frames) // 2
        return (frames - self.span) // 2 + self.before * self.stride


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

    @property
    def sample_rate(self) -> float:
        """Frames in a second: a sample of such a source is a frame."""
        return 1.0 / self.period

    @property
    def hop_length(self) -> int:
        """Samples from one frame to the next."""
        return 1

    def frames(self, samples: int) -> int:
        """Frames in `samples` samples."""
        return samples

    def samples(self, frames: int) -> int:
        """What `Source.crops` needs for `frames` frames."""
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


@dataclasses.dataclass(frozen=True)
class Level:
    """Layers of a multiscale encoder at one resolution, and the pool after them.

    Attributes:
      channels: output channels of each layer.
      kernel: size of each layer's kernel, frames and bins, the latter odd.
      pool: size of the max-pool after the last layer, frames and bins.
      reads: how the embedding reads the level after its pool, some of `READS`: over the slice, of
        the learned sum over frequency of each column and channel.
    """

    channels: tuple[int, ...]
    kernel: tuple[int, int] = (3, 3)
    pool: tuple[int, int] = (2, 2)
    reads: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class MultiscaleConfig:
    """The shape of an encoder whose embedding reads several levels, not only the last one.

    The first layer is a convolution; the others are depthwise separable, with a residual where the
    number of channels does not change.

    Attributes:
      levels: from the input on.
      embedding_dim: d, outputs of the fully-connected layer.
      frequency_stride: of the first layer.
      log_mel_statistics: whether the embedding also reads the mean and the deviation over the slice
        of each log-mel bin.
    """

    levels: tuple[Level, ...]
    embedding_dim: int
    frequency_stride: int = 2
    log_mel_statistics: bool = True

    @property
    def column_frames(self) -> tuple[int, ...]:
        """For each level, the frames that one column of it stands for after its pool."""
        return tuple(itertools.accumulate((level.pool[0] for level in self.levels), operator.mul))

    @property
    def step_frames(self) -> int:
        """Frames that one column of the last level stands for: the least streaming step."""
        return self.column_frames[-1]


AnyEncoder = EncoderConfig | MultiscaleConfig

READS = ("mean", "max")  # of a level's columns over a slice

ENCODERS: dict[str, AnyEncoder] = {
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
    # For distillation. A first layer with more channels keeps harmonics, depthwise separable layers
    # make room for them, and what the embedding reads includes levels of finer resolution.
    "multiscale": MultiscaleConfig(
        levels=(
            Level((24,), kernel=(3, 5), pool=(2, 1)),
            Level((40,), reads=("mean",)),
            Level((80, 80), reads=("mean", "max")),
            Level((128, 128), reads=("mean", "max")),
        ),
        embedding_dim=256,
    ),
}


def find_encoder(name: str, flag: str = "--encoder") -> AnyEncoder:
    """Look up an encoder by name, or import the one that `package.module:NAME` names.

    Raises:
      A2vError: there is no such encoder.
    """
    if name in ENCODERS:
        return ENCODERS[name]
    if not is_reference(name):
        raise A2vError(f"{flag}={name}: expected {', '.join(ENCODERS)} or package.module:NAME")
    config = load_object(name, flag)
    if isinstance(config, MultiscaleConfig):
        _check_multiscale(config, f"{flag}={name}")
    elif isinstance(config, EncoderConfig):
        _check_sizes(config.channels, config.embedding_dim, f"{flag}={name}")
    else:
        raise A2vError(
            f"{flag}={name}: expected an EncoderConfig or a MultiscaleConfig, not "
            f"{type(config).__name__}"
        )
    return config


def _check_sizes(channels: tuple[int, ...], embedding_dim: int, what: str) -> None:
    if not channels or not all(map(_positive, (*channels, embedding_dim))):
        raise A2vError(
            f"{what}: channels={channels} and embedding_dim={embedding_dim}: "
            "expected positive whole numbers, channels of at least one layer"
        )


def _check_multiscale(config: MultiscaleConfig, what: str) -> None:
    if not config.levels:
        raise A2vError(f"{what}: expected at least one level")
    if not _positive(config.frequency_stride):
        raise A2vError(
            f"{what}: frequency_stride={config.frequency_stride}: expected a positive whole number"
        )
    for number, level in enumerate(config.levels, start=1):
        where = f"{what}: level {number}"
        _check_sizes(level.channels, config.embedding_dim, where)
        if not all(map(_positive, (*level.kernel, *level.pool))) or level.kernel[1] % 2 == 0:
            raise A2vError(
                f"{where}: kernel={level.kernel} and pool={level.pool}: expected positive whole "
                "numbers, an odd number of bins in the kernel"
            )
        if unknown := [how for how in level.reads if how not in READS]:
            raise A2vError(f"{where}: reads {unknown[0]!r}: expected some of {', '.join(READS)}")
    if not config.levels[-1].reads:
        raise A2vError(f"{what}: expected reads of the last level, which nothing else takes")


def _positive(number: object) -> bool:
    return isinstance(number, int) and number > 0


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
      dropout: fraction of each embedding that is set to 0 before the heads, during training.
      slice_decoder: how decoders make the encoder's last feature map, one of `SLICE_DECODERS`.
    """

    variant: str = "plain"
    noise: float = 0.5
    margin: float = 0.1
    temperature: float = 0.1
    decorrelation: float = 0.0
    mix: float = 0.0
    slice_gain_db: float = 0.0
    dropout: float = 0.0
    slice_decoder: str = "mirror"
