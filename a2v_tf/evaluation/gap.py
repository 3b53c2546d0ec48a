"""How far apart in time two slices of a recording are, estimated by a temporal_gap model.

Patent paragraphs 140-145, figure 9.
"""

import dataclasses
import functools

import numpy as np
import tensorflow as tf

from a2v_tf.frontend import FRONT_END, log_mel
from a2v_tf.tasks.crops import Crops
from a2v_tf.training.trained_task import NOT_RANDOM, TrainedTask


def greatest(task: TrainedTask) -> float:
    """The greatest distance that the model was trained for, N_max - N frames, in seconds."""
    frames = task.slicing.reach - task.slicing.frames
    return frames * FRONT_END.hop_length / FRONT_END.sample_rate


def estimate(task: TrainedTask, pcm: np.ndarray, first: int, second: int) -> float:
    """Estimate the distance in time between two slices.

    The estimate is the mean of the model's outputs for both orders of the slices, so that it does
    not depend on which of them is given first.

    Args:
      task: a trained temporal_gap.
      pcm: float32 `[samples]`, the recording.
      first: sample where one slice starts.
      second: sample where the other starts.

    Returns:
      Seconds, from 0 to `greatest(task)`.
    """
    length = FRONT_END.samples(task.slicing.frames)
    slices = log_mel(np.stack([pcm[start : start + length] for start in (first, second)]))
    unused = tf.zeros([2, task.all_crop_frames, FRONT_END.mel_bins])
    both_orders = tf.stack([slices, slices[::-1]])
    key = tf.constant(NOT_RANDOM)
    crops = _ChosenPair(unused, tf.range(2), task.slicing, key, chosen=both_orders)
    estimates, _ = task.run(crops)
    return float(estimates.mean()) * greatest(task)


@dataclasses.dataclass(frozen=True)
class _ChosenPair(Crops):
    """Crops whose two slices, `[batch, 2, N, F]`, are given instead of drawn at random."""

    chosen: tf.Tensor | None = None

    @functools.cached_property
    def _pair(self) -> tuple[tf.Tensor, tf.Tensor]:
        return self.chosen, tf.zeros([2, 1])  # the distance is what the model estimates
