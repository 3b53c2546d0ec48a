"""The windows of a downstream task's clips, on which heads are trained and evaluated."""

import dataclasses
from collections.abc import Callable

import numpy as np

from a2v_tf.data.labelled_clips import choose
from a2v_tf.errors import A2vError
from a2v_tf.evaluation.settings import CLIPS, SLICES, Few

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
      drawn: bool `[windows]`, whether a window is at a random position; None: none is. Others are
        T/2 apart.
      judge: one of `settings.JUDGES`: which windows of val and test clips count, and how.
    """

    classes: tuple[str, ...]
    labels: np.ndarray
    splits: np.ndarray
    clip: np.ndarray
    values: np.ndarray
    drawn: np.ndarray | None = None
    judge: str = CLIPS

    def count(self, split: str) -> int:
        """Clips of a split."""
        return int((self.splits == split).sum())

    def rows(self, split: str) -> np.ndarray:
        """Indices of the windows of a split's clips, int `[n]`."""
        return np.flatnonzero(self.splits[self.clip] == split)

    def judged_rows(self, split: str) -> np.ndarray:
        """Indices of the windows that accuracy on a split's clips is measured with."""
        rows = self.rows(split)
        return rows if self.drawn is None else rows[self.drawn[rows] == (self.judge == SLICES)]

    def drawn_rows(self, split: str) -> np.ndarray:
        """Indices of a split's windows at random positions; of all its windows if none is."""
        rows = self.rows(split)
        if self.drawn is None or not self.drawn[rows].any():
            return rows
        return rows[self.drawn[rows]]

    def flat(self, rows: np.ndarray) -> np.ndarray:
        """The values of some windows as vectors, float32 `[n, d]`."""
        return self.values[rows].reshape(len(rows), -1).astype(np.float32)

    def label_of(self, rows: np.ndarray) -> np.ndarray:
        """The labels of some windows, int `[n]`: those of their clips."""
        return self.labels[self.clip[rows]]

    def weights(self, rows: np.ndarray) -> np.ndarray | None:
        """The weights of windows at random positions, float `[n]`, so that clips weigh alike.

        Their mean is 1. None for windows T/2 apart, which all weigh the same.
        """
        if self.drawn is None or not self.drawn[rows].any():
            return None
        _, clip, counts = np.unique(self.clip[rows], return_inverse=True, return_counts=True)
        return len(rows) / (len(counts) * counts[clip])

    def accuracy(
        self,
        split: str,
        predict: Callable[[np.ndarray], np.ndarray],
        smoothing: float = 0.0,
    ) -> float:
        """The fraction of a split's clips, or of their slices, that are classified correctly.

        Clips count by naive Bayes over their windows (ICLR section 4). Slices count each for itself
        (SPL section IV), those of a clip together as much as those of another.

        Args:
          split: which clips; it must have some.
          predict: from the indices of windows, int `[n]`, to probabilities `[n, classes]`.
          smoothing: as of `aggregate`.
        """
        rows = self.judged_rows(split)
        probabilities = predict(rows)
        if self.judge == SLICES:
            right = probabilities.argmax(axis=1) == self.label_of(rows)
            return float(np.average(right, weights=self.weights(rows)))
        clips, window_clip = np.unique(self.clip[rows], return_inverse=True)
        winners = aggregate(probabilities, window_clip, len(clips), smoothing)
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
        return self._kept(keep, np.where(splits == split, "test", splits))

    def limited(self, few: Few, seed: int) -> "Windows":
        """Keep few training clips, drawn with `seed` (SPL section IV).

        Val clips are dropped: they would be further labelled examples. Without a limit, everything
        is kept.

        Raises:
          A2vError: the clips drawn are of one class.
        """
        if not few:
            return self
        train = np.flatnonzero(self.splits == "train")
        kept = train[choose(self.labels[train], len(self.classes), few.per_class, seed, few.total)]
        if len(np.unique(self.labels[kept])) < 2:
            raise A2vError(f"--examples={few.total}: drew clips of one class; expected more clips")
        keep = ~np.isin(self.splits, ("train", "val"))
        keep[kept] = True
        return self._kept(keep[self.clip], np.where(self.splits == "val", "unused", self.splits))

    def _kept(self, keep: np.ndarray, splits: np.ndarray) -> "Windows":
        """Some of the windows, bool `[windows]`, with other names of the clips' splits."""
        return dataclasses.replace(
            self,
            splits=splits,
            clip=self.clip[keep],
            values=self.values[keep],
            drawn=None if self.drawn is None else self.drawn[keep],
        )


def aggregate(
    probabilities: np.ndarray, window_clip: np.ndarray, clips: int, smoothing: float = 0.0
) -> np.ndarray:
    """Classify clips from the probabilities of their windows: naive Bayes (ICLR section 4).

    Args:
      probabilities: `[windows, classes]`.
      window_clip: int `[windows]`, each window's clip.
      clips: their number; each has at least one window.
      smoothing: added to each probability, for votes that are counted: otherwise a class without a
        vote in one window would be impossible.

    Returns:
      int `[clips]`, the class whose log-probabilities have the greatest sum.
    """
    total = np.zeros((clips, probabilities.shape[1]))
    smallest = np.finfo(np.float64).tiny  # else windows that rule out all classes leave no order
    logs = np.log(np.maximum(probabilities.astype(np.float64) + smoothing, smallest))
    np.add.at(total, window_clip, logs)
    return total.argmax(axis=1)


def in_batches(function: Callable[[np.ndarray], np.ndarray], values: np.ndarray) -> np.ndarray:
    """Apply `function` to float32 batches of `values` `[n, ...]`, which limits memory."""
    starts = range(0, len(values), BATCH)
    return np.concatenate([function(values[i : i + BATCH].astype(np.float32)) for i in starts])
