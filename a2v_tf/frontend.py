"""The log-mel front end: the one definition that training, TFLite and Android share.

ICLR paper, section 4 ("Encoder architecture"): 16 kHz, 25 ms window, 10 ms hop, 64 mel bins over
60-7800 Hz; section 3: the logarithm of the modulus.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # imported by the functions below, so that `FrontEnd` works without it
    import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class FrontEnd:
    """Parameters of the front end. Two equal specs give the same numbers."""

    sample_rate: int = 16_000  # Hz
    window_length: int = 400  # samples, 25 ms, Hann
    hop_length: int = 160  # samples, 10 ms
    fft_length: int = 512
    mel_bins: int = 64
    mel_low_hz: float = 60.0
    mel_high_hz: float = 7_800.0
    # Added to every mel magnitude before the logarithm: a full-scale sine reaches about 100, so
    # 1e-2 leaves a range of 80 dB. With a tenth of it, inaudible noise weighs more in distances
    # between slices, which costs 2 points of mean kNN accuracy (BUILD_NOTES.md, "Front end").
    log_offset: float = 1e-2

    @property
    def bins(self) -> int:
        """F, values in a frame."""
        return self.mel_bins

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


FRONT_END = FrontEnd()


@functools.cache
def window_and_mel(spec: FrontEnd = FRONT_END) -> tuple[np.ndarray, np.ndarray]:
    """The Hann window, `[window_length]`, and the mel matrix, `[fft_length / 2 + 1, mel_bins]`."""
    import tensorflow as tf

    with tf.init_scope():
        window = tf.signal.hann_window(spec.window_length).numpy()
        mel = tf.signal.linear_to_mel_weight_matrix(
            spec.mel_bins,
            spec.fft_length // 2 + 1,
            spec.sample_rate,
            spec.mel_low_hz,
            spec.mel_high_hz,
        ).numpy()
    return window, mel


def log_mel(pcm: tf.Tensor, spec: FrontEnd = FRONT_END) -> tf.Tensor:
    """Compute the log-mel spectrogram of PCM.

    Args:
      pcm: float32 `[..., samples]` in [-1, 1].
      spec: the front end.

    Returns:
      float32 `[..., frames, mel_bins]` with `frames = spec.frames(samples)`.

    Raises:
      ValueError: fewer samples than one window.
    """
    import tensorflow as tf

    samples = pcm.shape[-1]
    if samples is not None and samples < spec.window_length:
        raise ValueError(f"{samples} samples give no frame: expected at least {spec.window_length}")
    window, mel = window_and_mel(spec)
    frames = tf.signal.frame(pcm, spec.window_length, spec.hop_length)
    spectrum = tf.signal.rfft(frames * window, [spec.fft_length])
    # tf.abs of complex numbers avoids overflow, which takes as long as the FFT.
    squares = tf.square(tf.math.real(spectrum)) + tf.square(tf.math.imag(spectrum))
    return tf.math.log(tf.matmul(tf.sqrt(squares), mel) + spec.log_offset)


def pcm_to_float(pcm: tf.Tensor) -> tf.Tensor:
    """Convert int16 PCM to float32 in [-1, 1)."""
    import tensorflow as tf

    return tf.cast(pcm, tf.float32) / 32_768.0


def float_to_pcm(pcm: tf.Tensor) -> tf.Tensor:
    """Convert float32 in [-1, 1] to int16 PCM; int16 values are restored exactly."""
    import tensorflow as tf

    return tf.cast(tf.minimum(tf.round(pcm * 32_768.0), 32_767.0), tf.int16)
