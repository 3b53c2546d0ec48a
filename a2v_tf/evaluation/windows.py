"""The sliding windows of a downstream task's clips, on which heads are trained and evaluated."""

import dataclasses
from collections.abc import Callable

import numpy as np

from a2v_tf.data.labelled_clips import choose

# Added to each probability before the logarithm, a tenth of one of kNN's ten votes: otherwise a
# class without a vote in one window would be impossible.
SMOOTHING = 0.01
BATCH = 256  # windows per call


@dataclasses.dataclass(frozen=True)
class Windows:
    """The windows of a task's clips under one model.

    Attributes:
      classes: the names of the labels.
      labels: int `[clips]`, indices into `classes`.
      splits: str `[clips]`, one of `labelled.SPLITS`.
      clip: int `[windows]`, each window's clip.
      values: of each window its embedding, `[windows, d]`, or its log-mel values,
        `[windows, frames, bins]`.
    """

    classes: tuple[str, ...]
    labels: np.ndarray
    splits: np.ndarray
    clip: np.ndarray
    values: np.ndarray

    def count(self, split: str) -> int:
        """Clips of a split."""
        return int((self.splits == split).sum())

    def rows(self, split: str) -> np.ndarray:
        """Indices of the windows of a split's clips, int `[n]`."""
        return np.flatnonzero(self.splits[self.clip] == split)

    def flat(self, rows: np.ndarray) -> np.ndarray:
        """The values of some windows as vectors, float32 `[n, d]`."""
        return self.values[rows].reshape(len(rows), -1).astype(np.float32)

    def label_of(self, rows: np.ndarray) -> np.ndarray:
        """The labels of some windows, int `[n]`: those of their clips."""
        return self.labels[self.clip[rows]]

    def clip_accuracy(self, split: str, predict: Callable[[np.ndarray], np.ndarray]) -> float:
        """The fraction of a split's clips that are classified correctly (ICLR section 4).

        Args:
          split: which clips; it must have some.
          predict: from the indices of windows, int `[n]`, to probabilities `[n, classes]`.
        """
        rows = self.rows(split)
        clips, window_clip = np.unique(self.clip[rows], return_inverse=True)
        winners = aggregate(predict(rows), window_clip, len(clips))
        return float((winners == self.labels[clips]).mean())

    def with_values(self, values: np.ndarray) -> "Windows":
        """The same windows under another model."""
        return dataclasses.replace(self, values=values)

    def judged_on(self, split: str) -> "Windows":
        """The same windows with the clips of `split` as test clips.

        For "val", the val clips become test clips and the real test clips are dropped, so that
        models can be chosen without using these. No val clips are left to tune heads on.
        """
        if split == "test":
            return self
        keep = (self.splits != "test")[self.clip]
        splits = np.where(self.splits == "test", "unused", self.splits)
        splits = np.where(splits == split, "test", splits)
        return dataclasses.replace(
            self, splits=splits, clip=self.clip[keep], values=self.values[keep]
        )

    def limited(self, per_class: int | None, seed: int) -> "Windows":
        """Keep `per_class` training clips of each class, drawn with `seed` (SPL section IV).

        Val clips are dropped: they would be further labelled examples. None keeps everything.
        """
        if per_class is None:
            return self
        train = np.flatnonzero(self.splits == "train")
        keep = ~np.isin(self.splits, ("train", "val"))
        keep[train[choose(self.labels[train], len(self.classes), per_class, seed)]] = True
        chosen = keep[self.clip]
        splits = np.where(self.splits == "val", "unused", self.splits)
        return dataclasses.replace(
            self, splits=splits, clip=self.clip[chosen], values=self.values[chosen]
        )


def aggregate(probabilities: np.ndarray, window_clip: np.ndarray, clips: int) -> np.ndarray:
    """Classify clips from the probabilities of their windows: naive Bayes (ICLR section 4).

    Args:
      probabilities: `[windows, classes]`.
      window_clip: int `[windows]`, each window's clip.
      clips: their number; each has at least one window.

    Returns:
      int `[clips]`, the class whose log-probabilities have the greatest sum.
    """
    total = np.zeros((clips, probabilities.shape[1]))
    np.add.at(total, window_clip, np.log(probabilities + SMOOTHING))
    return total.argmax(axis=1)


def in_batches(function: Callable[[np.ndarray], np.ndarray], values: np.ndarray) -> np.ndarray:
    """Apply `function` to float32 batches of `values` `[n, ...]`, which limits memory."""
    starts = range(0, len(values), BATCH)
    return np.concatenate([function(values[i : i + BATCH].astype(np.float32)) for i in starts])
