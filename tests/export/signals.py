"""Test signals for comparing the forms, float32 `[samples]` in [-1, 1]."""

import numpy as np

from a2v_tf.export.check import probe_signal
from a2v_tf.frontend import log_mel

STEPS = 7  # a window is full after 3; the states have seen more than one window after 6
HOP = 5_120
CARRIED = 240


def _noise(samples: int) -> np.ndarray:
    return np.random.default_rng(2).uniform(-1, 1, samples)


def _chirp(samples: int) -> np.ndarray:
    time = np.arange(samples) / 16_000
    return 0.8 * np.sin(2 * np.pi * (200 * time + 1_000 * time**2))


def _bursts_and_silence(samples: int) -> np.ndarray:
    return probe_signal(samples)


def _silence(samples: int) -> np.ndarray:
    return np.zeros(samples)


SIGNALS = {
    "noise": _noise,
    "chirp": _chirp,
    "bursts_and_silence": _bursts_and_silence,
    "silence": _silence,
}


def stream_of(name: str, steps: int = STEPS) -> np.ndarray:
    """PCM of a whole number of steps, `[5120 * steps]`."""
    return SIGNALS[name](steps * HOP).astype(np.float32)


def with_silence(pcm: np.ndarray) -> np.ndarray:
    """Prepend the silence that precedes a stream, as the offline form takes it."""
    return np.concatenate([np.zeros(CARRIED, np.float32), pcm])


def frames_of(pcm: np.ndarray) -> np.ndarray:
    """Log-mel of a stream, 32 frames per step."""
    return log_mel(with_silence(pcm)).numpy()


def random_frames(steps: int, seed: int = 0) -> np.ndarray:
    """Random values, partly outside the calibrated range, `[32 * steps, 64]`."""
    return np.random.default_rng(seed).normal(-3, 4, (32 * steps, 64)).astype(np.float32)
