"""A labelled clip, and the checks and cropping common to all labelled data."""

import dataclasses
import hashlib
from collections.abc import Collection, Iterable, Sequence

import numpy as np
import tensorflow as tf
from absl import logging

from a2v_tf.audio import decode
from a2v_tf.audio.bad_files import BadFiles
from a2v_tf.data import sampling
from a2v_tf.errors import A2vError

SPLITS = ("train", "val", "test")
LABEL_SEPARATOR = "|"


@dataclasses.dataclass(frozen=True)
class Clip:
    """A labelled recording.

    Attributes:
      name: path of the file, or id in a TFDS data set.
      label: class name; for multi-label data, the class names joined with "|".
      split: one of `SPLITS`.
    """

    name: str
    label: str
    split: str


def check_splits(clips: Iterable[Clip], where: str, needs: Collection[str]) -> None:
    """Check that a classifier can be trained and evaluated.

    Args:
      clips: the clips of all splits.
      where: the data set, for messages.
      needs: splits that must not be empty.

    Raises:
      A2vError: a split in `needs` is empty, or the train clips have fewer than two classes.
    """
    classes: dict[str, set[str]] = {split: set() for split in SPLITS}
    for clip in clips:
        classes[clip.split].add(clip.label)
    for split in SPLITS:
        if split in needs and not classes[split]:
            raise A2vError(f"{where}: no {split} clips; expected some of {' and '.join(needs)}")
    if "train" in needs and len(classes["train"]) < 2:
        raise A2vError(f"{where}: one class {classes['train']} in train; expected at least two")
    for label in sorted(set.union(*classes.values()) - classes["train"]):
        logging.warning("%s: class %r has no train clips, so it counts as wrong", where, label)


def choose(
    labels: np.ndarray, classes: int, per_class: int | None, seed: int, total: int | None = None
) -> np.ndarray:
    """Choose clips: all, or `per_class` random ones of each class, or `total` random ones.

    Args:
      labels: int `[clips]`, or bool `[clips, classes]` for multi-label data.
      classes: number of classes.
      per_class: clips of each class; None for all clips.
      seed: seed of the choice.
      total: clips of all classes together, if there is no `per_class`; None for all clips.

    Returns:
      Indices of the clips in ascending order, int64 `[n]`.
    """
    rng = np.random.default_rng(seed)
    if per_class is None:
        drawn = rng.permutation(len(labels))[:total]
        return np.sort(drawn) if total else np.arange(len(labels), dtype=np.int64)
    chosen = np.zeros(len(labels), bool)
    for label in range(classes):
        of_class = labels[:, label] if labels.ndim == 2 else labels == label
        chosen[rng.permutation(np.flatnonzero(of_class))[:per_class]] = True
    return np.flatnonzero(chosen)


def draw_place(key: tf.Tensor, ordinal: tf.Tensor) -> tf.Tensor:
    """Draw the relative position of a crop in its clip, float64 in [0, 1), for `locate`."""
    return tf.random.stateless_uniform([], sampling.fold_in(key, ordinal), dtype=tf.float64)


def locate(length: int, samples: int, place: float) -> tuple[int, int]:
    """Return start and length, in samples, of a crop of at most `samples` samples."""
    start = int(place * (max(length - samples, 0) + 1))
    return start, min(samples, length - start)


def pad(pcm: np.ndarray, samples: int) -> np.ndarray:
    """Pad a crop with zeros at its end, to float32 `[samples]` in [-1, 1].

    Raises:
      DecodeError: it is not valid PCM; see `check_pcm`.
    """
    check_pcm(pcm)
    return np.clip(np.pad(pcm, (0, samples - len(pcm))), -1.0, 1.0).astype(np.float32)


def check_pcm(pcm: np.ndarray) -> None:
    """Check PCM, float32 `[samples]`; silence is valid.

    Raises:
      DecodeError: it is empty, out of range, or has NaN or infinite samples.
    """
    flaw = sampling.flaw(pcm) if len(pcm) else "holds no samples"
    if flaw not in (None, sampling.SILENT):
        raise decode.DecodeError(flaw)


def fail_if_none(name: str, bad: BadFiles, usable: int) -> None:
    """Stop at the end of an epoch in which no crop was usable.

    Args:
      name: name of the data set.
      bad: its skipped clips; raises `A2vError`.
      usable: number of usable crops in the epoch.
    """
    if not usable:
        bad.fail(f"{name}: a whole epoch gave no usable crop")


def digest(rows: Iterable[Sequence[object]]) -> str:
    """Hex digest of the rows of a table."""
    sha = hashlib.sha256()
    for row in rows:
        sha.update(repr(row).encode())
    return sha.hexdigest()
