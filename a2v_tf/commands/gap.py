"""Estimate how far apart in time two slices of a recording are: the `a2v_gap` command.

  a2v_gap --model_dir=models/gap --audio=song.flac --first=2.0 --second=5.5

The model is one of --task=temporal_gap, or of multi_head with that task among its heads (patent
paragraphs 140-145, figure 9).
"""

import dataclasses

import numpy as np
import tensorflow as tf
from absl import flags

from a2v_tf.audio.read import read_audio
from a2v_tf.errors import run_app
from a2v_tf.frontend import FRONT_END, log_mel
from a2v_tf.tasks.crops import Crops
from a2v_tf.training.trained_task import NOT_RANDOM, TrainedTask, first_sample, open_task

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Define the command's flags; not on import, so that commands can be imported together."""
    flags.DEFINE_string("model_dir", None, "Model directory of a2v_train.", required=True)
    flags.DEFINE_string("audio", None, "Audio file.", required=True)
    flags.DEFINE_float("first", None, "Seconds where one slice starts.", required=True)
    flags.DEFINE_float("second", None, "Seconds where the other slice starts.", required=True)


def main(argv: list[str]) -> None:
    del argv
    task = open_task(FLAGS.model_dir, ["temporal_gap"])
    pcm = read_audio(FLAGS.audio)
    starts = [
        first_sample(flag, FLAGS[flag].value, pcm, task.slicing.frames)
        for flag in ("first", "second")
    ]
    true = abs(starts[0] - starts[1]) / FRONT_END.sample_rate
    print(f"estimated distance: {estimate(task, pcm, *starts):6.2f} s")
    print(f"true distance:      {true:6.2f} s")
    if true > greatest(task):
        print(
            f"The true distance is beyond what the model was trained for, 0 to "
            f"{greatest(task):.2f} s (N_max = {task.slicing.reach} frames): it cannot find it."
        )


def greatest(task: TrainedTask) -> float:
    """The greatest distance that the model was trained for, N_max - N frames, in seconds."""
    frames = task.slicing.reach - task.slicing.frames
    return frames * FRONT_END.hop_length / FRONT_END.sample_rate


def estimate(task: TrainedTask, pcm: np.ndarray, first: int, second: int) -> float:
    """Estimate the distance in time of two slices.

    The model hears them in both orders, since it was trained on either, and the mean counts: so
    that it does not matter which is called the first.

    Args:
      task: a trained temporal_gap.
      pcm: float32 `[samples]`, the recording.
      first: sample where one slice starts.
      second: sample where the other does.

    Returns:
      Seconds, from 0 to `greatest(task)`.
    """
    length = FRONT_END.samples(task.slicing.frames)
    slices = log_mel(np.stack([pcm[start : start + length] for start in (first, second)]))
    nothing = tf.zeros([2, task.all_crop_frames, FRONT_END.mel_bins])
    both_orders = tf.stack([slices, slices[::-1]])
    key = tf.constant(NOT_RANDOM)
    crops = _ChosenPair(nothing, tf.range(2), task.slicing, key, chosen=both_orders)
    estimates, _ = task.run(crops)
    return float(estimates.mean()) * greatest(task)


@dataclasses.dataclass(frozen=True)
class _ChosenPair(Crops):
    """Crops whose two slices are chosen, `[batch, 2, N, F]`, instead of random."""

    chosen: tf.Tensor | None = None

    def pair(self) -> tf.Tensor:
        return self.chosen


def run() -> None:
    """Entry point of `a2v_gap`."""
    define_flags()
    run_app(main)


if __name__ == "__main__":
    run()
