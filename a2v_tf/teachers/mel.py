"""Spectrograms as librosa computes them, for teachers that were trained on those: NumPy only."""

import functools
from typing import Literal

import numpy as np

# Slaney's mel scale: linear up to 1 kHz, logarithmic above.
_LINEAR_STEP, _BREAK_HZ = 200.0 / 3.0, 1_000.0
_LOG_STEP = np.log(6.4) / 27.0


def power_spectrogram(
    pcm: np.ndarray, fft_length: int, hop: int, pad: Literal["constant", "reflect"]
) -> np.ndarray:
    """Squared modulus under a periodic Hann window, frames centred on multiples of `hop`.

    Args:
      pcm: `[n, samples]`.
      fft_length: samples of a window.
      hop: samples from frame to frame.
      pad: NumPy's mode for the half windows beyond both ends.

    Returns:
      float32 `[n, 1 + samples // hop, 1 + fft_length // 2]`.
    """
    half = fft_length // 2
    padded = np.pad(pcm.astype(np.float32), ((0, 0), (half, half)), mode=pad)
    frames = np.lib.stride_tricks.sliding_window_view(padded, fft_length, axis=1)[:, ::hop]
    window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(fft_length) / fft_length)
    return np.square(np.abs(np.fft.rfft(frames * window.astype(np.float32)))).astype(np.float32)


@functools.cache
def mel_filters(
    sample_rate: int, fft_length: int, bands: int, high_hz: float, *, htk: bool, norm: str
) -> np.ndarray:
    """Triangular filters, evenly spaced in mel from 0 Hz on.

    Args:
      sample_rate: in Hz.
      fft_length: of the spectrogram.
      bands: number of filters.
      high_hz: where the last one ends.
      htk: HTK's mel scale instead of Slaney's.
      norm: "slaney" divides each by half its width in Hz, "sum" by the sum of its weights.

    Returns:
      float32 `[1 + fft_length // 2, bands]`.
    """
    to_mel, to_hz = (_hz_to_htk, _htk_to_hz) if htk else (_hz_to_slaney, _slaney_to_hz)
    edges = to_hz(np.linspace(0.0, to_mel(np.array(high_hz)), bands + 2))
    bins = np.arange(1 + fft_length // 2) * (sample_rate / fft_length)
    widths = np.diff(edges)
    rising = (bins[:, np.newaxis] - edges[:-2]) / widths[:-1]
    falling = (edges[2:] - bins[:, np.newaxis]) / widths[1:]
    filters = np.maximum(0.0, np.minimum(rising, falling))
    if norm == "slaney":
        filters *= 2.0 / (edges[2:] - edges[:-2])
    elif norm == "sum":
        filters /= np.maximum(filters.sum(0), 1e-12)
    else:
        raise ValueError(f"norm is {norm!r}: expected 'slaney' or 'sum'")
    return filters.astype(np.float32)


def _hz_to_htk(hz: np.ndarray) -> np.ndarray:
    return 2595.0 * np.log10(1.0 + hz / 700.0)


def _htk_to_hz(mel: np.ndarray) -> np.ndarray:
    return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)


def _hz_to_slaney(hz: np.ndarray) -> np.ndarray:
    above = _BREAK_HZ / _LINEAR_STEP + np.log(np.maximum(hz, _BREAK_HZ) / _BREAK_HZ) / _LOG_STEP
    return np.where(hz < _BREAK_HZ, hz / _LINEAR_STEP, above)


def _slaney_to_hz(mel: np.ndarray) -> np.ndarray:
    break_mel = _BREAK_HZ / _LINEAR_STEP
    above = _BREAK_HZ * np.exp(_LOG_STEP * (mel - break_mel))
    return np.where(mel < break_mel, mel * _LINEAR_STEP, above)
