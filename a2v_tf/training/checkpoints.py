"""Checkpoints of a training run: a weights file for each round, complete or not there at all."""

import csv
import dataclasses
import math
import pathlib
import re
import shutil

import keras

from a2v_tf.errors import A2vError
from a2v_tf.files import whole_file
from a2v_tf.models.batch_norm import as_keras_layers
from a2v_tf.models.precision import as_float32
from a2v_tf.training.model_dir import ENCODER, MODEL
from a2v_tf.training.strategy import batch_norm_of_one_device

DIRECTORY = "checkpoints"
KEEP = 2
_BEST = "best_of_full_rounds"
_NAME = re.compile(r"step_(\d+)\.weights\.h5")


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """Weights and optimizer state after `step` steps."""

    path: pathlib.Path
    step: int

    def restore(self, model: keras.Model) -> None:
        """Load into a compiled model whose optimizer is built.

        Raises:
          A2vError: the file does not fit the model, or is damaged.
        """
        try:
            model.load_weights(self.path)
        except Exception as error:  # h5py and Keras raise many kinds
            first_line = (str(error).splitlines() or [type(error).__name__])[0]
            raise A2vError(f"cannot resume from {self.path}: {first_line}") from error


def latest_checkpoint(model_dir: pathlib.Path, before: float = math.inf) -> Checkpoint | None:
    """The newest checkpoint in a model directory of fewer than `before` steps, if any.

    Raises:
      A2vError: its checkpoints were written by version 0.1, which this one cannot resume.
    """
    old = sorted((model_dir / DIRECTORY).glob("round_*.weights.h5"))
    if old:
        raise A2vError(f"cannot resume {old[-1]}, of version 0.1: use another --model_dir")
    found = (checkpoint for checkpoint in _all_checkpoints(model_dir) if checkpoint.step < before)
    return max(found, key=lambda c: c.step, default=None)


def checkpoint_at(model_dir: pathlib.Path, step: int) -> Checkpoint | None:
    """The checkpoint after `step` steps, None for 0.

    Raises:
      A2vError: there is no such checkpoint.
    """
    if step == 0:
        return None
    checkpoint = Checkpoint(_path(model_dir, step), step)
    if not checkpoint.path.is_file():
        raise A2vError(
            f"no {checkpoint.path}, which the first worker sees: expected a --model_dir that all "
            "workers share"
        )
    return checkpoint


def save_checkpoint(model: keras.Model, model_dir: pathlib.Path, step: int) -> None:
    """Save weights and optimizer state; delete all but the newest `KEEP` checkpoints."""
    (model_dir / DIRECTORY).mkdir(exist_ok=True)
    with whole_file(_path(model_dir, step)) as partial:
        model.save_weights(partial)
    for old in sorted(_all_checkpoints(model_dir), key=lambda c: c.step)[:-KEEP]:
        old.path.unlink()
    interrupted_path(model_dir).unlink(missing_ok=True)


def interrupted_path(model_dir: pathlib.Path) -> pathlib.Path:
    """Where a signal leaves the round in progress; see `training.interruption`."""
    return model_dir / DIRECTORY / "interrupted.npz"


def save_model(model: keras.Model, path: pathlib.Path) -> None:
    """Save a `.keras` file that any backend can load on any number of devices."""
    with (
        whole_file(path) as partial,
        batch_norm_of_one_device(model),
        as_float32(model),
        as_keras_layers(model),
    ):
        model.save(partial)


def trim_log(path: pathlib.Path, rounds: int) -> None:
    """Keep the header and the rows of the first `rounds` rounds; the others are trained again.

    Raises:
      A2vError: the log is damaged.
    """
    rows = _read_log(path)
    if not rows:
        return
    with whole_file(path) as partial, partial.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows[: 1 + rounds])


def best_validation_loss(path: pathlib.Path) -> float:
    """Lowest `val_loss` in the log, or infinity.

    Raises:
      A2vError: the log is damaged.
    """
    rows = _read_log(path)
    if not rows:
        return math.inf
    header, *rounds = rows
    try:
        column = header.index("val_loss")
        return min((float(row[column]) for row in rounds), default=math.inf)
    except (ValueError, IndexError) as error:
        raise A2vError(f"{path} is damaged: {error}; expected the log of a2v_train") from error


def _read_log(path: pathlib.Path) -> list[list[str]]:
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.reader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise A2vError(f"{path} is damaged: {error}; expected the log of a2v_train") from error


def keep_best(model_dir: pathlib.Path) -> None:
    """Copy the best models so far: a shorter last round may replace them, and be undone."""
    kept = model_dir / DIRECTORY / _BEST
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    _copy_models(model_dir, kept)


def undo_round(model_dir: pathlib.Path, step: int) -> None:
    """Undo a shorter last round, if any, so that a longer run repeats it at its full length.

    A longer run is then the run that it would have been from the start, bit for bit.

    Args:
      model_dir: of the run.
      step: at the end of the last full round.
    """
    later = [checkpoint for checkpoint in _all_checkpoints(model_dir) if checkpoint.step > step]
    if not later:
        return
    _copy_models(model_dir / DIRECTORY / _BEST, model_dir)
    for checkpoint in later:
        checkpoint.path.unlink()


def _copy_models(source: pathlib.Path, target: pathlib.Path) -> None:
    for name in (ENCODER, MODEL):
        if (source / name).is_file():
            with whole_file(target / name) as partial:
                shutil.copy(source / name, partial)


def _path(model_dir: pathlib.Path, step: int) -> pathlib.Path:
    return model_dir / DIRECTORY / f"step_{step:08d}.weights.h5"


def _all_checkpoints(model_dir: pathlib.Path) -> list[Checkpoint]:
    found = ((path, _NAME.fullmatch(path.name)) for path in (model_dir / DIRECTORY).glob("*"))
    return [Checkpoint(path, int(match[1])) for path, match in found if match]
