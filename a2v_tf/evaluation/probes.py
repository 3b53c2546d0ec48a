"""Probes of frozen embeddings: a linear classifier and nearest neighbours (ICLR section 4)."""

import warnings
from collections.abc import Callable

import numpy as np
import threadpoolctl
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from a2v_tf.evaluation.embeddings import Embedded

NEIGHBOURS = 10  # k, as in the paper
# Inverse strengths of the linear probe's L2 penalty, from strong to weak: each fit starts from the
# one before. Without a val split the middle one is used.
PENALTIES = (0.001, 0.01, 0.1, 1.0)
DEFAULT_PENALTY = 0.1
# L-BFGS iterations for each penalty. Above WIDE dimensions (Spectrogram has 6,144) an iteration
# costs about 0.5 s for 6,000 windows and 40 classes, and the accuracy has settled long before the
# weights: on musical pitch 30 and 100 iterations gave 86.9 and 87.5 %.
MAX_ITERATIONS = 300
WIDE, MAX_ITERATIONS_WIDE = 1_024, 30
# Added to each probability before the logarithm, a tenth of one of the ten votes: a class without
# a vote in one window is unlikely, not impossible.
SMOOTHING = 0.01

# From train vectors, train labels and the vectors to classify to probabilities `[n, classes]`.
Predict = Callable[[np.ndarray], np.ndarray]


def clip_accuracy(embedded: Embedded, model: str, protocol: str) -> tuple[float, int]:
    """Train a probe on the train clips and test it on the test clips.

    Every window of a train clip is an example with the clip's label.

    Args:
      embedded: the windows of a task.
      model: which of `embedded.vectors`.
      protocol: one of `PROBES`.

    Returns:
      The fraction of test clips that are classified correctly, and the number of test clips.
    """
    return PROBES[protocol](embedded, model)


def linear_probe(embedded: Embedded, model: str) -> tuple[float, int]:
    """Logistic regression on standardised embeddings; see `clip_accuracy`.

    The penalty is the one with the best accuracy on the val clips.
    """
    split = _Splits(embedded, model)
    scaler = StandardScaler().fit(split.train)
    train = scaler.transform(split.train)
    wide = train.shape[1] > WIDE
    classifier = LogisticRegression(
        max_iter=MAX_ITERATIONS_WIDE if wide else MAX_ITERATIONS, warm_start=True
    )

    def accuracy(of: str) -> float:
        return split.accuracy(of, lambda x: classifier.predict_proba(scaler.transform(x)))

    best_val, test = -1.0, 0.0
    for penalty in PENALTIES if split.count("val") else (DEFAULT_PENALTY,):
        classifier.set_params(C=penalty)
        _fit(classifier, train, split.train_labels, threads=None if wide else 1)
        val = accuracy("val") if split.count("val") else 0.0
        if val > best_val:  # a tie goes to the stronger penalty
            best_val, test = val, accuracy("test")
    return test, split.count("test")


def knn_probe(embedded: Embedded, model: str) -> tuple[float, int]:
    """Votes of the k=10 nearest train windows, Euclidean, raw embeddings; see `clip_accuracy`."""
    split = _Splits(embedded, model)
    k = min(NEIGHBOURS, len(split.train))
    classifier = KNeighborsClassifier(k, algorithm="brute").fit(split.train, split.train_labels)
    return split.accuracy("test", classifier.predict_proba), split.count("test")


PROBES: dict[str, Callable[[Embedded, str], tuple[float, int]]] = {
    "linear": linear_probe,
    "knn": knn_probe,
}


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


def _fit(
    classifier: LogisticRegression, x: np.ndarray, labels: np.ndarray, threads: int | None
) -> None:
    """Fit; on narrow matrices a second BLAS thread costs more than it brings, up to 40 times."""
    with warnings.catch_warnings(), threadpoolctl.threadpool_limits(threads, user_api="blas"):
        warnings.simplefilter("ignore", ConvergenceWarning)  # MAX_ITERATIONS is a choice
        classifier.fit(x, labels)


class _Splits:
    """A model's windows by split."""

    def __init__(self, embedded: Embedded, model: str) -> None:
        self._vectors = embedded.vectors[model]
        self._window_clip = embedded.window_clip
        self._labels = np.array([clip.label for clip in embedded.clips])
        self._split = np.array([clip.split for clip in embedded.clips])
        train = self._windows("train")
        self.train = self._vectors[train]
        self.train_labels = self._labels[self._window_clip[train]]
        self._classes = np.unique(self.train_labels)  # in the order of predict_proba's columns

    def count(self, split: str) -> int:
        """Clips of a split."""
        return int((self._split == split).sum())

    def accuracy(self, split: str, predict: Predict) -> float:
        """Fraction of a split's clips that are classified correctly."""
        rows = self._windows(split)
        clips, window_clip = np.unique(self._window_clip[rows], return_inverse=True)
        winners = aggregate(predict(self._vectors[rows]), window_clip, len(clips))
        return float((self._classes[winners] == self._labels[clips]).mean())

    def _windows(self, split: str) -> np.ndarray:
        return np.flatnonzero(self._split[self._window_clip] == split)
