"""The slices of a recording that a model predicts, as numbers and as sound.

Patent paragraphs 129-139, figure 8.
"""

import dataclasses
import pathlib

import numpy as np
import soundfile
import tensorflow as tf

from a2v_tf.evaluation import inversion
from a2v_tf.evaluation.settings import RECONSTRUCTING, begins
from a2v_tf.frontend import FRONT_END, FrontEnd
from a2v_tf.specs import BandLevels
from a2v_tf.tasks.crops import Crops
from a2v_tf.training.trained_task import NOT_RANDOM, TrainedTask, first_sample


@dataclasses.dataclass(frozen=True)
class Reconstruction:
    """An excerpt of a recording, and what a model predicts of it.

    Attributes:
      task: the task that predicts.
      start: seconds in the recording where the excerpt begins.
      truth: log-mel of the excerpt, float32 `[T, F]`.
      inputs: frames of `truth` where the encoder's input slices begin.
      predicted: frames of `truth` where the predicted slices begin.
      slices: the predicted slices, float32 `[n, N, F]`.
      front_end: of the frames.
    """

    task: str
    start: float
    truth: np.ndarray
    inputs: list[int]
    predicted: list[int]
    slices: np.ndarray
    front_end: FrontEnd | BandLevels = FRONT_END

    @property
    def first(self) -> int:
        """Frame of `truth` where the first predicted slice begins."""
        return self.predicted[0]

    @property
    def end(self) -> int:
        """Frame of `truth` after the last predicted slice."""
        return self.predicted[-1] + self.slices.shape[1]

    @property
    def errors(self) -> np.ndarray:
        """Mean squared error of each predicted slice, `[n]`."""
        frames = self.slices.shape[1]
        true = np.stack([self.truth[i : i + frames] for i in self.predicted])
        return np.mean((self.slices - true) ** 2, axis=(1, 2))

    def inputs_and_predictions(self) -> np.ndarray:
        """The excerpt with predictions in their places, `[T, F]`: NaN between slices."""
        frames = self.slices.shape[1]
        image = np.full_like(self.truth, np.nan)
        for begin in self.inputs:
            image[begin : begin + frames] = self.truth[begin : begin + frames]
        for begin, predicted in zip(self.predicted, self.slices, strict=True):
            image[begin : begin + frames] = predicted
        return image

    def without_gaps(self) -> np.ndarray:
        """Log-mel from the first to the last predicted slice, `[frames, F]`.

        Input slices in between are the truth. The few frames between two slices are interpolated
        linearly.
        """
        known = self.inputs_and_predictions()[self.first : self.end]
        frames = np.flatnonzero(np.isfinite(known[:, 0]))
        every = np.arange(len(known))
        return np.stack([np.interp(every, frames, band[frames]) for band in known.T], axis=1)


def reconstruct(task: TrainedTask, recording: np.ndarray, at: float) -> Reconstruction:
    """Predict slices of a recording.

    Args:
      task: a trained task of `RECONSTRUCTING`.
      recording: as `task.read` gives it.
      at: seconds where the middle slice starts.

    Raises:
      A2vError: the slices around it do not all lie within the recording.
    """
    frames, middle = task.crop_frames, task.slicing.middle(task.crop_frames)
    front_end = task.front_end
    start = first_sample("at", at, recording, frames, middle, front_end)
    truth = task.log_mel(recording[start : start + front_end.samples(frames)])
    # Other tasks of the model may need longer crops, in whose middle the slices then stand.
    before = task.slicing.middle(task.all_crop_frames) - middle
    after = task.all_crop_frames - before - frames
    crop = np.pad(truth, ((before, after), (0, 0)))[np.newaxis]
    crops = Crops(tf.constant(crop), tf.range(1), task.slicing, tf.constant(NOT_RANDOM))
    return reconstruct_crops(task, crops, start / front_end.sample_rate)[0]


def reconstruct_crops(task: TrainedTask, crops: Crops, start: float = 0.0) -> list[Reconstruction]:
    """Predict slices of each crop of a batch, whose excerpts begin at `start` seconds."""
    frames, middle = task.crop_frames, task.slicing.middle(task.crop_frames)
    before = task.slicing.middle(task.all_crop_frames) - middle
    inputs, predicted = (begins(kind, middle, task.slicing) for kind in RECONSTRUCTING[task.name])
    slices, _ = task.run(crops)
    truths = np.asarray(crops.log_mel)[:, before : before + frames]
    return [
        Reconstruction(task.name, start, truth, inputs, predicted, of_crop, task.front_end)
        for truth, of_crop in zip(truths, slices, strict=True)
    ]


def write_sounds(result: Reconstruction, pcm: np.ndarray, output: pathlib.Path) -> list[str]:
    """Write three WAV files with the same gain, which is below 1 where one of them would clip.

    Band levels cannot be made sound.

    Args:
      result: a reconstruction.
      pcm: float32 `[samples]`, the whole recording.
      output: prefix of the files.

    Returns:
      Their paths.
    """
    front_end = result.front_end
    assert isinstance(front_end, FrontEnd)  # checked by the command
    start = round(result.start * front_end.sample_rate) + result.first * front_end.hop_length
    frames = result.end - result.first
    sounds = {
        "original": pcm[start : start + front_end.samples(frames)],
        "truth": inversion.invert(result.truth[result.first : result.end], front_end),
        "prediction": inversion.invert(result.without_gaps(), front_end),
    }
    gain = 0.99 / max(0.99, *(np.abs(sound).max() for sound in sounds.values()))
    paths = {name: f"{output}_{name}.wav" for name in sounds}
    for name, sound in sounds.items():
        soundfile.write(paths[name], gain * sound, front_end.sample_rate)
    return list(paths.values())
