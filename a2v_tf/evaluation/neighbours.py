"""k nearest neighbours of embeddings, without a trained head (patent paragraph 73)."""

import numpy as np
from sklearn.neighbors import KNeighborsClassifier
from sklearn.random_projection import GaussianRandomProjection

from a2v_tf.evaluation.heads import Score
from a2v_tf.evaluation.settings import HeadSettings
from a2v_tf.evaluation.windows import Windows
from a2v_tf.runtime.nearest import NEIGHBOURS

# From patent paragraph 73: numbers of training and test windows, and the dimensions of the random
# projection of Spectrogram's log-mel values.
TRAIN_WINDOWS, TEST_WINDOWS = 10_000, 2_000
PROJECTED = 128
# Added to the shares of the votes, a tenth of one of ten votes: otherwise a class without a vote in
# one window would be impossible.
SMOOTHING = 0.01


def knn(windows: Windows, seed: int = 0, settings: HeadSettings | None = None) -> Score:
    """Classify 2,000 test windows by the k = 10 nearest of 10,000 training windows.

    Distances are Euclidean, without standardisation. Accuracy is that of windows, not of clips.
    Windows are at random positions, if some are. Where there are fewer, all are used. `seed` draws
    the windows and the projection of Spectrogram.
    """
    del settings
    rng = np.random.default_rng(seed)
    train = draw(windows, "train", TRAIN_WINDOWS, rng)
    test = draw(windows, "test", TEST_WINDOWS, rng)
    x_train, x_test = windows.flat(train), windows.flat(test)
    if windows.values.ndim > 2:  # log-mel values
        projection = GaussianRandomProjection(PROJECTED, random_state=seed).fit(x_train)
        x_train, x_test = projection.transform(x_train), projection.transform(x_test)
    classifier = _classifier(windows, x_train, train)
    accuracy = (classifier.predict(x_test) == windows.label_of(test)).mean()
    return Score(float(accuracy), len(test), None)


def knn_clips(windows: Windows, seed: int = 0, settings: HeadSettings | None = None) -> Score:
    """Classify test clips by the k = 10 nearest training windows of each of their windows.

    As for heads, accuracy is that of clips, or of slices. It is deterministic, and beyond the
    patent.
    """
    del seed, settings
    train = windows.rows("train")
    classifier = _classifier(windows, windows.flat(train), train)

    def predict(rows: np.ndarray) -> np.ndarray:
        probabilities = np.zeros((len(rows), len(windows.classes)))
        probabilities[:, classifier.classes_] = classifier.predict_proba(windows.flat(rows))
        return probabilities

    return Score(windows.accuracy("test", predict, SMOOTHING), windows.count("test"), None)


def draw(windows: Windows, split: str, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw windows of a split without replacement, equally many from each clip where possible.

    Otherwise a few long clips could dominate the sample.

    Returns:
      int `[count]`, or all windows where there are fewer, in random order.
    """
    rows = rng.permutation(windows.drawn_rows(split))
    turn = np.zeros(len(rows), int)  # 0 for a clip's first window in this order, 1 for its second
    seen: dict[int, int] = {}
    for i, clip in enumerate(windows.clip[rows].tolist()):
        turn[i] = seen.get(clip, 0)
        seen[clip] = turn[i] + 1
    return rows[np.argsort(turn, kind="stable")[:count]]


def _classifier(windows: Windows, x: np.ndarray, train: np.ndarray) -> KNeighborsClassifier:
    """A classifier by training windows: their values `x` `[n, d]` and their indices `[n]`."""
    clips = np.unique(windows.clip[train])
    fewest = np.unique(windows.labels[clips], return_counts=True)[1].min()
    # With fewer training clips of a class than k, most of ten neighbours are of other classes. With
    # one clip of each class ten gave 29 % where the nearest gave 42 %, with five 48 and 55 %, with
    # twenty 62 and 63 % (int8 pretrained of version 0.1, mean of five tasks).
    k = NEIGHBOURS if fewest >= NEIGHBOURS else 1
    return KNeighborsClassifier(k, algorithm="brute").fit(x, windows.label_of(train))
