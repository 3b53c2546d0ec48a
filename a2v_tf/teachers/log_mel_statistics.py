"""Log-mel statistics as a teacher: what a classifier without learning would start from.

Of each of the 64 log-mel bins of this project's front end: mean, deviation, and deviation of its
change from frame to frame; 192 numbers. No weights, so no licence and no data.
"""

import numpy as np
import tensorflow as tf

from a2v_tf.frontend import FRONT_END, log_mel
from a2v_tf.teachers.base import Teacher, fingerprint, in_batches

BATCH = 64
REVISION = 1  # increase it with every change of the outputs


def load() -> Teacher:
    """The teacher `log_mel_statistics`."""
    return Teacher(
        "log_mel_statistics",
        3 * FRONT_END.bins,
        embed,
        "Apache-2.0",
        "a2v_tf",
        fingerprint("log_mel_statistics", REVISION, FRONT_END),
    )


def embed(pcm: np.ndarray) -> np.ndarray:
    """Statistics of PCM `[n, samples]`, float32 `[n, 192]`."""
    parts = in_batches(pcm, BATCH)
    return np.concatenate([statistics(log_mel(tf.constant(part)).numpy()) for part in parts])


def statistics(frames: np.ndarray) -> np.ndarray:
    """Statistics of log-mel frames `[n, frames, bins]`, float32 `[n, 3 * bins]`."""
    changes = np.diff(frames, axis=1)
    return np.concatenate([frames.mean(1), frames.std(1), changes.std(1)], axis=1)
