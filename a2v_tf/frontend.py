"""The front end, from PCM to frames: the one definition that training, TFLite and Android share.

The default is the papers' (ICLR section 4, "Encoder architecture"): 16 kHz, 25 ms window, 10 ms
hop, 64 mel bins over 60-7800 Hz; section 3: the logarithm of the modulus. Patent paragraphs 24, 42
and 108 allow others, and the short-time Fourier transform instead of log-mel.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from a2v_tf.errors import A2vError

if TYPE_CHECKING:  # imported by the functions below, so that `FrontEnd` works without it
    import tensorflow as tf


RATES = (8_000, 96_000)  # Hz, lowest and highest
LONGEST_FFT = 32_768
_MOST_BINS = 1_024


@dataclasses.dataclass(frozen=True)
class FrontEnd:
    """Parameters of the front end. Two equal specs give the same numbers.

    Raises:
      A2vError: there is no such front end.
    """

    sample_rate: int = 16_000  # Hz
    window_length: int = 400  # samples, 25 ms, Hann
    hop_length: int = 160  # samples, 10 ms
    fft_length: int = 512
    mel_bins: int = 64  # 0: the Fourier transform's own bins instead
    mel_low_hz: float = 60.0  # of the Fourier transform's bins, too
    mel_high_hz: float = 7_800.0
    # Added to every magnitude before the logarithm: a full-scale sine reaches about 100, so
    # 1e-2 leaves a range of 80 dB. With a tenth of it, inaudible noise weighs more in distances
    # between slices, which costs 2 points of mean kNN accuracy (BUILD_NOTES.md, "Front end").
    log_offset: float = 1e-2

    def __post_init__(self) -> None:
        if flaw := _flaw(self):
            raise A2vError(f"front end: {flaw}")

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> FrontEnd:
        """The front end that `vars` of one describes, as in config.json and in TFLite files.

        Raises:
          A2vError: they are not those of a front end.
        """
        fields = {field.name: field.type for field in dataclasses.fields(cls)}
        if set(facts) != set(fields):
            raise A2vError(f"front end: {sorted(facts)}: expected {', '.join(fields)}")
        for name, kind in fields.items():
            types = int if kind == "int" else (int, float)
            if not isinstance(facts[name], types) or isinstance(facts[name], bool):
                raise A2vError(f"front end: {name} is {facts[name]!r}: expected a number")
        return cls(**facts)

    @property
    def is_mel(self) -> bool:
        """Whether frames are log-mel; otherwise log-magnitudes of the Fourier transform."""
        return self.mel_bins > 0

    @property
    def stft_bins(self) -> range:
        """The bins of the Fourier transform within the band limits, without the one at half the
        sample rate."""
        spacing = self.sample_rate / self.fft_length
        first, last = math.ceil(self.mel_low_hz / spacing), math.floor(self.mel_high_hz / spacing)
        return range(first, min(last + 1, self.fft_length // 2))

    @property
    def bins(self) -> int:
        """F, values in a frame."""
        return self.mel_bins or len(self.stft_bins)

    @property
    def overlap(self) -> int:
        """Samples that two neighbouring frames share; a stream carries them from step to step."""
        return self.window_length - self.hop_length

    @property
    def period(self) -> float:
        """Seconds from one frame to the next."""
        return self.hop_length / self.sample_rate

    def frames(self, samples: int) -> int:
        """Number of frames in `samples` samples: without padding, so 0 below one window."""
        return max(0, 1 + (samples - self.window_length) // self.hop_length)

    def samples(self, frames: int) -> int:
        """Smallest number of samples that gives `frames` frames."""
        return self.window_length + (frames - 1) * self.hop_length if frames > 0 else 0

    def seconds(self, frames: int) -> float:
        """Duration of `frames` consecutive frames."""
        return self.samples(frames) / self.sample_rate


def _flaw(spec: FrontEnd) -> str | None:
    """Why there is no such front end, and what was expected; None if there is."""
    rate, window, fft = spec.sample_rate, spec.window_length, spec.fft_length
    low, high, bins = spec.mel_low_hz, spec.mel_high_hz, spec.mel_bins
    if not RATES[0] <= rate <= RATES[1]:
        return f"a sample rate of {rate} Hz: expected {RATES[0]} to {RATES[1]}"
    if not 0 < spec.hop_length < window:
        return (
            f"a window of {window} samples every {spec.hop_length} samples: expected a hop of at "
            "least one, shorter than the window"
        )
    if not window <= fft <= LONGEST_FFT or fft & (fft - 1):
        return (
            f"a Fourier transform of {fft} samples: expected a power of two from the window's "
            f"{window} samples to {LONGEST_FFT}"
        )
    if not 0 <= low < high <= rate / 2:
        return (
            f"a band from {low:g} to {high:g} Hz: expected limits between 0 and {rate / 2:g} Hz, "
            "half of the sample rate"
        )
    if not 0 < spec.log_offset < math.inf:
        return f"an offset of the logarithm of {spec.log_offset}: expected a number above 0"
    if not 0 <= bins <= _MOST_BINS:
        return f"{bins} mel bins: expected at most {_MOST_BINS}"
    if not bins:
        return None if spec.stft_bins else f"no frequency of {fft} between {low:g} and {high:g} Hz"
    if (empty := _empty_filter(spec)) is not None:
        return (
            f"{bins} mel bins from {low:g} to {high:g} Hz: number {empty} contains no frequency of "
            f"a Fourier transform of {fft} samples: expected fewer bins, or a longer transform"
        )
    return None


def _empty_filter(spec: FrontEnd) -> int | None:
    """The first mel filter between two frequencies of the Fourier transform, from 1."""
    low, high = (1127.0 * math.log1p(hz / 700.0) for hz in (spec.mel_low_hz, spec.mel_high_hz))
    edges = 700.0 * np.expm1(np.linspace(low, high, spec.mel_bins + 2) / 1127.0)
    places = edges * spec.fft_length / spec.sample_rate
    # The constant component is in no filter.
    after = np.maximum(np.floor(places[:-2]) + 1, 1)
    empty = np.flatnonzero(after >= places[2:])
    return int(empty[0]) + 1 if empty.size else None


FRONT_END = FrontEnd()  # the papers'


@functools.cache
def hann_window(spec: FrontEnd = FRONT_END) -> np.ndarray:
    """The window, float32 `[window_length]`."""
    import tensorflow as tf

    with tf.init_scope():
        return tf.signal.hann_window(spec.window_length).numpy()


@functools.cache
def mel_matrix(spec: FrontEnd = FRONT_END) -> np.ndarray:
    """The mel filters, float32 `[fft_length / 2 + 1, mel_bins]`."""
    import tensorflow as tf

    with tf.init_scope():
        return tf.signal.linear_to_mel_weight_matrix(
            spec.mel_bins,
            spec.fft_length // 2 + 1,
            spec.sample_rate,
            spec.mel_low_hz,
            spec.mel_high_hz,
        ).numpy()


def log_mel(pcm: tf.Tensor, spec: FrontEnd = FRONT_END) -> tf.Tensor:
    """Compute the log-mel spectrogram of PCM, or its log-magnitude spectrogram.

    Args:
      pcm: float32 `[..., samples]` in [-1, 1], at the front end's sample rate.
      spec: the front end.

    Returns:
      float32 `[..., frames, F]` with `frames = spec.frames(samples)` and `F = spec.bins`.

    Raises:
      ValueError: fewer samples than one window.
    """
    import tensorflow as tf

    samples = pcm.shape[-1]
    if samples is not None and samples < spec.window_length:
        raise ValueError(f"{samples} samples give no frame: expected at least {spec.window_length}")
    frames = tf.signal.frame(pcm, spec.window_length, spec.hop_length)
    spectrum = tf.signal.rfft(frames * hann_window(spec), [spec.fft_length])
    if not spec.is_mel:
        spectrum = spectrum[..., spec.stft_bins.start : spec.stft_bins.stop]
    # tf.abs of complex numbers avoids overflow, which takes as long as the FFT.
    squares = tf.square(tf.math.real(spectrum)) + tf.square(tf.math.imag(spectrum))
    magnitudes = tf.sqrt(squares)
    if spec.is_mel:
        magnitudes = tf.matmul(magnitudes, mel_matrix(spec))
    return tf.math.log(magnitudes + spec.log_offset)


def pcm_to_float(pcm: tf.Tensor) -> tf.Tensor:
    """Convert int16 PCM to float32 in [-1, 1)."""
    import tensorflow as tf

    return tf.cast(pcm, tf.float32) / 32_768.0


def float_to_pcm(pcm: tf.Tensor) -> tf.Tensor:
    """Convert float32 in [-1, 1] to int16 PCM; int16 values are restored exactly."""
    import tensorflow as tf

    return tf.cast(tf.minimum(tf.round(pcm * 32_768.0), 32_767.0), tf.int16)
