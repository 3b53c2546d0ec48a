"""How far apart in time two slices of a recording are, estimated by a temporal_gap model.

Patent paragraphs 140-145, figure 9.
"""

import numpy as np
import tensorflow as tf

from a2v_tf.tasks.crops import Crops
from a2v_tf.training.trained_task import NOT_RANDOM, TrainedTask


def longest_clip(task: TrainedTask, frames: int) -> int:
    """N_max of a recording of `frames` frames: its length, for a model trained on whole clips."""
    return frames if task.slicing.whole_clips else task.slicing.reach


def greatest(task: TrainedTask, frames: int) -> float:
    """The greatest distance that can be estimated, N_max - N frames, in seconds.

    Args:
      task: a trained temporal_gap.
      frames: of the recording.
    """
    distance = longest_clip(task, frames) - task.slicing.frames
    return distance * task.front_end.hop_length / task.front_end.sample_rate


def estimate(task: TrainedTask, recording: np.ndarray, first: int, second: int) -> float:
    """Estimate the distance in time between two slices.

    The estimate is the mean of the model's outputs for both orders of the slices, so that it does
    not depend on which of them is given first. The papers do not say how the order is chosen.

    Args:
      task: a trained temporal_gap.
      recording: as `task.read` gives it.
      first: sample where one slice starts.
      second: sample where the other starts.

    Returns:
      Seconds, from 0 to `greatest`.
    """
    length = task.front_end.samples(task.slicing.frames)
    parts = np.stack([recording[start : start + length] for start in (first, second)])
    slices = task.log_mel(parts)
    unused = tf.zeros([2, task.all_crop_frames, task.front_end.bins])
    both_orders = tf.stack([slices, slices[::-1]])
    given = both_orders, tf.zeros([2, 1])  # the distance is what the model estimates
    key = tf.constant(NOT_RANDOM)
    crops = Crops(unused, tf.range(2), task.slicing, key, given=given)
    estimates, _ = task.run(crops)
    return float(estimates.mean()) * greatest(task, task.front_end.frames(len(recording)))
