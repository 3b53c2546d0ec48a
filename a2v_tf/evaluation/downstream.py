"""Downstream tasks: labelled clips listed in CSV files that probe an encoder."""

import csv
import dataclasses
import pathlib
from collections.abc import Iterator

import numpy as np
from absl import logging

from a2v_tf.audio import read_audio
from a2v_tf.errors import A2vError

SPLITS = ("train", "val", "test")
COLUMNS = ("path", "label", "split")


@dataclasses.dataclass(frozen=True)
class Clip:
    """One row of a CSV: a labelled recording of a split."""

    path: pathlib.Path
    label: str
    split: str


@dataclasses.dataclass(frozen=True)
class Task:
    """A downstream task: classify clips by label."""

    name: str
    clips: tuple[Clip, ...]

    @property
    def classes(self) -> list[str]:
        """The labels, sorted."""
        return sorted({clip.label for clip in self.clips})


def load_tasks(spec: str) -> list[Task]:
    """Load the tasks of a `--downstream` flag.

    Args:
      spec: `demo`, or `csv:PATH[,csv:PATH...]`; a task is named after its file.

    Raises:
      A2vError: the spec or one of the files is not valid, or two tasks have one name.
    """
    tasks = []
    for part in spec.split(","):
        if part == "demo":
            tasks += [read_csv(path) for path in _demo_csvs()]
        elif part.startswith("csv:"):
            tasks.append(read_csv(pathlib.Path(part.removeprefix("csv:")).expanduser()))
        else:
            raise A2vError(f"downstream task {part!r}: expected 'demo' or 'csv:PATH'")
    names = [task.name for task in tasks]
    for name in names:
        if names.count(name) > 1:
            raise A2vError(f"two downstream tasks are named {name!r}: rename one of the CSV files")
    return tasks


def read_csv(path: pathlib.Path) -> Task:
    """Read a task from a CSV with the columns `path,label,split`.

    Paths are relative to the CSV's directory; split is train, val (optional) or test.

    Raises:
      A2vError: the file is missing or unreadable, lacks columns, has a row without a value or
        with an unknown split, a clip in two splits, fewer than two classes, or no train or test
        rows.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise A2vError(
                    f"{path}: no column {', '.join(missing)} in its header "
                    f"{reader.fieldnames or []}; expected {','.join(COLUMNS)}"
                )
            clips = tuple(_clip(path, reader.line_num, row) for row in reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise A2vError(f"cannot read {path}: {reason}") from error
    task = Task(path.stem, clips)
    check_splits(task, str(path))
    _check_leakage(path, clips)
    return task


def check_splits(task: Task, where: str) -> None:
    """Check that a probe can be trained and tested.

    Raises:
      A2vError: no train or test clips, or fewer than two classes among the train clips.
    """
    for split in ("train", "test"):
        if not any(clip.split == split for clip in task.clips):
            raise A2vError(f"{where}: no {split} clips; expected both train and test rows")
    train_classes = {clip.label for clip in task.clips if clip.split == "train"}
    if len(train_classes) < 2:
        raise A2vError(f"{where}: one class {train_classes} in train; expected at least two")
    for label in sorted(set(task.classes) - train_classes):
        logging.warning("%s: class %r has no train clips, so it counts as wrong", where, label)


def read_clips(task: Task, max_bad_fraction: float) -> Iterator[tuple[Clip, np.ndarray]]:
    """Read the clips of a task; what cannot be read is logged and left out.

    Yields:
      A clip and its PCM, float32 `[samples]`, in the order of the CSV.

    Raises:
      A2vError: more than `max_bad_fraction` of the clips cannot be read.
    """
    bad = 0
    for clip in task.clips:
        try:
            pcm = read_audio(clip.path)
        except A2vError as error:
            logging.warning("%s: skipped %s", task.name, error)
            bad += 1
            if bad > max_bad_fraction * len(task.clips):
                raise A2vError(
                    f"{task.name}: {bad} of {len(task.clips)} clips cannot be read, more than "
                    f"--max_bad_fraction={max_bad_fraction:g}; the last: {error}"
                ) from error
            continue
        yield clip, pcm


def _demo_csvs() -> list[pathlib.Path]:
    from a2v_tf.data import demo  # writes the corpus on first use

    return demo.task_csvs(demo.ensure())


def _clip(csv_path: pathlib.Path, line: int, row: dict[str, str]) -> Clip:
    values = [(row[name] or "").strip() for name in COLUMNS]
    for name, value in zip(COLUMNS, values, strict=True):
        if not value:
            raise A2vError(f"{csv_path} line {line}: no {name}")
    path, label, split = values
    if split not in SPLITS:
        raise A2vError(f"{csv_path} line {line}: split {split!r}; expected {', '.join(SPLITS)}")
    return Clip(csv_path.parent / path, label, split)


def _check_leakage(csv_path: pathlib.Path, clips: tuple[Clip, ...]) -> None:
    split_of: dict[pathlib.Path, str] = {}
    for clip in clips:
        if split_of.setdefault(clip.path, clip.split) != clip.split:
            raise A2vError(
                f"{csv_path}: {clip.path} is in both {split_of[clip.path]} and {clip.split}"
            )
