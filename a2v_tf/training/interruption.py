"""End a run between two steps of a round, and resume it there, bit for bit.

A checkpoint is of the end of a round. A signal ends a run after the step in progress, and what that
leaves is saved in a file of its own: weights, the optimizer's state, the random numbers' and the
sums of the round's losses, so that the resumed run has the same log, too.
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from a2v_tf.ending import Interrupted
from a2v_tf.errors import A2vError
from a2v_tf.files import read_npz, whole_file
from a2v_tf.training.checkpoints import interrupted_path
from a2v_tf.training.resuming import check_resumes
from a2v_tf.training.settings import TrainSettings


@dataclasses.dataclass(frozen=True)
class Interruption:
    """What was saved after `step` steps, in the middle of a round: `values` of all variables."""

    step: int
    values: Sequence[np.ndarray]


def read_interruption(
    model_dir: pathlib.Path, step: int, settings: TrainSettings
) -> Interruption | None:
    """Read what a signal left of the round that begins after `step` steps.

    Returns:
      None if there is nothing, if it cannot be read, or if it is not of this run: the round is
      repeated then.
    """
    try:
        arrays = read_npz(interrupted_path(model_dir))
        step_saved, *values = (arrays[f"arr_{i}"] for i in range(len(arrays)))
        saved = int(step_saved)
        check_resumes(settings, model_dir, saved)
    except (A2vError, ValueError, KeyError, TypeError):
        return None
    end = settings.step_after(step // settings.eval_every)
    if not step < saved < end or (saved - step) % settings.steps_per_execution:
        return None
    return Interruption(saved, values)


class GoOn(keras.callbacks.Callback):
    """Restore an interrupted round when it begins."""

    def __init__(self, interruption: Interruption):
        super().__init__()
        self._values = interruption.values

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        # Here, as Keras sets the sums of the losses to 0 before.
        for variable, value in zip(_variables(self.model), self._values, strict=True):
            variable.assign(value)


class EndOnSignal(keras.callbacks.Callback):
    """After a signal, save the step in progress, or let the round end if it was its last."""

    def __init__(
        self,
        model_dir: pathlib.Path,
        signals: Sequence[int],
        settings: TrainSettings,
        first_step: int,
    ):
        """Save to a model directory.

        Args:
          model_dir: where to save.
          signals: the numbers of those that came, from `ending.signals_noted`.
          settings: of the run.
          first_step: the steps trained when `fit` is called.
        """
        super().__init__()
        self._model_dir = model_dir
        self._signals = signals
        self._settings = settings
        self._step = self._begin = first_step
        self._round = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._begin, self._round = self._step, epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._step = self._begin + batch + 1
        if self._settings.strategy == "multi_worker":
            return  # no process alone may run what the others do not
        if self._signals and self._step < self._settings.step_after(self._round):
            save_interruption(self.model, self._model_dir, self._step)
            self._end()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._signals:
            self._end()

    def _end(self) -> None:
        raise Interrupted(
            self._signals[0],
            f"interrupted after step {self._step}, which is saved: run the same command to go on",
        )


def save_interruption(model: keras.Model, model_dir: pathlib.Path, step: int) -> None:
    """Save all that the rest of a round depends on."""
    path = interrupted_path(model_dir)
    path.parent.mkdir(exist_ok=True)
    values = [np.asarray(variable) for variable in _variables(model)]
    with whole_file(path) as partial, partial.open("wb") as file:
        np.savez(file, np.int64(step), *values)


def fits(interruption: Interruption, model: keras.Model) -> bool:
    """Whether an interruption is of such a model, also as the settings of this run feed it."""
    now = [tuple(x.shape) for x in _once(*model.variables, *model.optimizer.variables)]
    return now == [value.shape for value in interruption.values[: len(now)]]


def _variables(model: keras.Model) -> list[Any]:
    """Weights, seeds, the optimizer's state and the sums of the losses, which `fit` makes."""
    return _once(*model.variables, *model.optimizer.variables, *model.metrics_variables)


def _once(*variables: Any) -> list[Any]:
    return list({id(variable): variable for variable in variables}.values())
