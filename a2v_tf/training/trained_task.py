"""Run a trained model on its own task, at chosen places of a recording."""

import dataclasses
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from a2v_tf.audio.read import read_audio
from a2v_tf.data.spectrogram_csv import read_levels
from a2v_tf.errors import A2vError
from a2v_tf.frontend import FRONT_END, FrontEnd, log_mel
from a2v_tf.specs import BandLevels, Slicing
from a2v_tf.tasks import multi_head, task_names
from a2v_tf.tasks.crops import Crops
from a2v_tf.tasks.task import Task, find_tasks
from a2v_tf.training.model_dir import front_end_of, load_model, read_config

NOT_RANDOM = (0, 0)  # a key for `Crops` where nothing random is used


@dataclasses.dataclass(frozen=True)
class TrainedTask:
    """One task of a trained model.

    Attributes:
      name: of the task, for example "cbow".
      tasks: all tasks that the model learned.
      slicing: N, P, G and N_max.
      model: from the slices of `multi_head.examples` to a dict of outputs.
      front_end: of the slices.
      spectrogram_time: the column of timestamps in CSV files of band levels; None for the first.
    """

    name: str
    tasks: list[Task]
    slicing: Slicing
    model: keras.Model
    front_end: FrontEnd | BandLevels = FRONT_END
    spectrogram_time: str | None = None

    @property
    def crop_frames(self) -> int:
        """Frames that this task takes from a recording."""
        return next(task for task in self.tasks if task.name == self.name).crop_frames(self.slicing)

    @property
    def all_crop_frames(self) -> int:
        """Frames of the crops that `run` takes: enough for every task of the model."""
        return multi_head.crop_frames(self.tasks, self.slicing)

    def goes_with(self, encoder: keras.Model) -> bool:
        """Whether an encoder has the weights that the task's head was trained with.

        That of `encoder.keras` has others after --whiten.
        """
        ours, theirs = encoder.get_weights(), self.model.get_layer("encoder").get_weights()
        return len(ours) == len(theirs) and all(map(np.array_equal, ours, theirs))

    def read(self, path: pathlib.Path | str, channels: str) -> np.ndarray:
        """Read a recording as the model takes it.

        Args:
          path: of an audio file, or of a CSV file of band levels.
          channels: what to use of several channels of audio.

        Returns:
          PCM, float32 `[samples]`; or levels, float32 `[T, F]`, NaN where they are missing.

        Raises:
          A2vError: it cannot be read.
        """
        if isinstance(self.front_end, BandLevels):
            return read_levels(path, self.spectrogram_time, self.front_end)
        return read_audio(path, channels, self.front_end.sample_rate)

    def log_mel(self, recording: np.ndarray) -> np.ndarray:
        """Frames of parts of recordings, `[..., T, F]`: levels are frames already."""
        if isinstance(self.front_end, BandLevels):
            return recording
        return log_mel(recording, self.front_end).numpy()

    def run(self, crops: Crops) -> tuple[np.ndarray, np.ndarray]:
        """Run the model as training does; the slices of other tasks may be anything.

        Returns:
          This task's output and target, each `[batch, ...]`.
        """
        slices, targets, _ = multi_head.examples(self.tasks, crops)
        outputs = self.model.predict_on_batch(slices.numpy())
        return np.asarray(outputs[self.name]), targets[self.name].numpy()


def open_task(model_dir: pathlib.Path | str, wanted: Sequence[str]) -> TrainedTask:
    """Open a model directory for the first of the tasks `wanted` that its model learned.

    Raises:
      A2vError: it learned none of them, or it is no model directory.
    """
    config = read_config(model_dir)
    names = task_names(config["task"], config.get("heads", ()))
    tasks = find_tasks(names, config.get("teachers") or ())
    found = [name for name in wanted if name in {task.name for task in tasks}]
    if not found:
        raise A2vError(
            f"{str(model_dir)!r} was trained on {', '.join(names) or config['task']}: expected a "
            f"model of {' or '.join(wanted)}"
        )
    model = load_model(model_dir, for_audio=False)
    if not isinstance(model.output, dict):
        raise A2vError(f"{str(model_dir)!r} was trained by an older version: train it again")
    return TrainedTask(
        found[0],
        tasks,
        slicing_of(config),
        model,
        front_end_of(model_dir),
        config.get("spectrogram_time"),
    )


def slicing_of(config: Mapping[str, Any]) -> Slicing:
    """N, P, G and N_max of the run that `config.json` describes."""
    fields = dataclasses.fields(Slicing)
    return Slicing(**{field.name: config.get(field.name, field.default) for field in fields})


def first_sample(
    flag: str,
    seconds: float,
    recording: np.ndarray,
    frames: int,
    frames_before: int = 0,
    front_end: FrontEnd | BandLevels = FRONT_END,
) -> int:
    """Where a stretch of a recording begins.

    Args:
      flag: that gave `seconds`, for the message.
      seconds: a time in the recording.
      recording: PCM `[samples]` or levels `[T, F]`, as by `TrainedTask.read`.
      frames: of the stretch.
      frames_before: how many of these lie before `seconds`.
      front_end: of the recording.

    Raises:
      A2vError: the stretch does not lie within the recording, or some of its levels are missing.
    """
    rate, before = front_end.sample_rate, frames_before * front_end.hop_length
    room = len(recording) - front_end.samples(frames)
    duration = f"the recording lasts {len(recording) / rate:.2f} s"
    if room < 0:
        raise A2vError(f"{duration}: expected at least {front_end.seconds(frames):.3f} s")
    start = round(seconds * rate) - before if math.isfinite(seconds) else -1
    if not 0 <= start <= room:
        first, last = before / rate, math.floor(1000 * (before + room) / rate) / 1000
        raise A2vError(f"--{flag}={seconds:g}: {duration}, so expected {first:g} to {last:g}")
    if np.isnan(recording[start : start + front_end.samples(frames)]).any():
        end = start / rate + front_end.seconds(frames)
        raise A2vError(
            f"--{flag}={seconds:g}: levels are missing between {start / rate:g} and {end:g} s: "
            "expected a time without gaps"
        )
    return start
