"""Heads on frozen embeddings: logistic regression, the papers' Adam head, and one with two layers.

All are trained on the windows of the training clips, each with its clip's label. Accuracy is that
of `Windows.accuracy`.

`sgd` and `two_layer` are layers on the embedding as it is (SPL section IV). `linear`, which is not
the papers', standardises its inputs: a linear layer could absorb scale and shift itself, but its
penalty would favour encoders with large outputs.
"""

import math
import warnings
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import keras
import numpy as np
import scipy.special
import tensorflow as tf
import threadpoolctl
from keras import layers
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from a2v_tf.evaluation.saved_heads import Head
from a2v_tf.evaluation.settings import HeadSettings
from a2v_tf.evaluation.windows import Windows, in_batches

# Inverse strengths of the linear head's L2 penalty, from strong to weak; each fit starts from the
# previous one. Without a val split, the default is used.
PENALTIES = (0.001, 0.01, 0.1, 1.0)
DEFAULT_PENALTY = 0.1
# L-BFGS iterations for each penalty. Above WIDE dimensions (Spectrogram has 6,144) an iteration
# takes about 0.5 s for 6,000 windows and 40 classes, and accuracy converges long before the
# weights: for musical pitch, 30 and 100 iterations gave 86.9 and 87.5 %.
MAX_ITERATIONS = 300
WIDE, MAX_ITERATIONS_WIDE = 1_024, 30
BATCH_SIZE = 256  # of the Adam heads; ICLR section 4, for all models
STEPS_A_CALL = 50  # of the compiled loop: one call a step would cost twice the time


class Score(NamedTuple):
    """The accuracy of a head.

    Attributes:
      accuracy: fraction of test clips (for kNN and judge "slices", of test windows) that are
        classified correctly.
      n_test: their number; with judge "slices" that of clips, as slices of a clip are much alike.
      task_parameters: weights trained for the task, counted as in ICLR Table 1 and Figure 3
        (128 x C for a linear head): kernels without biases; None without a head.
      head: what was trained; None without a head.
    """

    accuracy: float
    n_test: int
    task_parameters: int | None
    head: Head | None = None


def linear(windows: Windows, seed: int = 0, settings: HeadSettings | None = None) -> Score:
    """Logistic regression; the strength of its penalty is tuned on val clips, where there are any.

    It is deterministic: `seed` is unused, and of `settings` all but the smoothing.
    """
    del seed
    smoothing = (settings or HeadSettings()).smoothing
    rows = windows.rows("train")
    labels, weights = windows.label_of(rows), windows.weights(rows)
    scaler = StandardScaler()
    train = scaler.fit_transform(windows.flat(rows), sample_weight=weights)
    wide = train.shape[1] > WIDE
    classifier = LogisticRegression(
        max_iter=MAX_ITERATIONS_WIDE if wide else MAX_ITERATIONS, warm_start=True
    )

    def predict(rows: np.ndarray) -> np.ndarray:
        probabilities = np.zeros((len(rows), len(windows.classes)))
        known = classifier.predict_proba(scaler.transform(windows.flat(rows)))
        probabilities[:, classifier.classes_] = known
        return probabilities

    has_val = windows.count("val") > 0
    best_val, test, head = -1.0, 0.0, None
    for penalty in PENALTIES if has_val else (DEFAULT_PENALTY,):
        classifier.set_params(C=penalty)
        _fit(classifier, train, labels, weights, threads=None if wide else 1)
        val = windows.accuracy("val", predict, smoothing) if has_val else 0.0
        if val > best_val:  # a tie goes to the stronger penalty
            best_val, test = val, windows.accuracy("test", predict, smoothing)
            head = _head(classifier, scaler, windows.classes)
    return Score(test, windows.count("test"), train.shape[1] * len(windows.classes), head)


def _head(classifier: LogisticRegression, scaler: StandardScaler, classes: Sequence[str]) -> Head:
    """Logistic regression and the standardisation of its input as one layer.

    Its labels are the classes that have training clips. Of two classes, scikit-learn has the
    difference of the logits only.
    """
    kernel, bias = classifier.coef_.T, classifier.intercept_
    if kernel.shape[1] == 1:
        kernel, bias = kernel * [-0.5, 0.5], bias * [-0.5, 0.5]
    kernel = kernel / scaler.scale_[:, np.newaxis]
    bias = bias - scaler.mean_ @ kernel
    labels = tuple(classes[i] for i in classifier.classes_)
    return Head(labels, ((kernel.astype(np.float32), bias.astype(np.float32)),))


def sgd(windows: Windows, seed: int = 0, settings: HeadSettings | None = None) -> Score:
    """The papers' linear head: softmax regression trained with Adam for a fixed number of steps."""
    return _adam_head(windows, seed, settings or HeadSettings(), hidden=None)


def two_layer(windows: Windows, seed: int = 0, settings: HeadSettings | None = None) -> Score:
    """`sgd` with a hidden ReLU layer (ICLR Table 5)."""
    settings = settings or HeadSettings()
    return _adam_head(windows, seed, settings, hidden=settings.hidden)


def _adam_head(windows: Windows, seed: int, settings: HeadSettings, hidden: int | None) -> Score:
    rows = windows.rows("train")
    train, labels = windows.flat(rows), windows.label_of(rows)
    inputs = keras.Input((train.shape[1],))
    x = inputs
    if hidden:
        x = layers.Dense(hidden, "relu", kernel_initializer=_glorot(seed + 1))(x)
    logits = layers.Dense(len(windows.classes), kernel_initializer=_glorot(seed))(x)
    head = keras.Model(inputs, logits)
    head.compile(
        keras.optimizers.Adam(settings.learning_rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        steps_per_execution=math.gcd(settings.steps, STEPS_A_CALL),
    )
    head.optimizer.build(head.trainable_variables)  # else the step is traced twice
    clips = None if windows.weights(rows) is None else windows.clip[rows]
    order = _random_order(len(rows), clips, settings.steps * BATCH_SIZE, seed)
    head.fit(_batches(train, labels, order), shuffle=False, verbose=0)

    def probabilities(values: np.ndarray) -> np.ndarray:
        return softmax(head(values, training=False))

    def predict(rows: np.ndarray) -> np.ndarray:
        return in_batches(probabilities, windows.flat(rows))

    accuracy = windows.accuracy("test", predict, settings.smoothing)
    trained = Head(
        tuple(windows.classes), weights_of(layer for layer in head.layers if layer.weights)
    )
    return Score(accuracy, windows.count("test"), kernel_weights(head), trained)


def weights_of(dense: Iterable[layers.Dense]) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Kernel and bias of layers."""
    return tuple((kernel, bias) for kernel, bias in (layer.get_weights() for layer in dense))


def softmax(logits: tf.Tensor) -> np.ndarray:
    """Probabilities `[n, classes]` in double precision: naive Bayes needs the small ones, too."""
    values = keras.ops.convert_to_numpy(logits).astype(np.float64)
    return scipy.special.softmax(values, axis=-1)


def kernel_weights(model: keras.Model | layers.Layer) -> int:
    """The weights of a model that Table 1 counts: kernels, not biases, nor batch norm's vectors."""
    return sum(math.prod(weight.shape) for weight in model.weights if len(weight.shape) > 1)


def _random_order(windows: int, clips: np.ndarray | None, needed: int, seed: int) -> np.ndarray:
    """The windows to train on, int `[needed]`, without global random state.

    Every round has all windows in random order; or, given the clip of each window, one random
    window of each clip.
    """
    rng = np.random.default_rng(seed)
    if clips is None:
        rounds = -(-needed // windows)
        return np.concatenate([rng.permutation(windows) for _ in range(rounds)])[:needed]
    by_clip = np.argsort(clips, kind="stable")
    _, first, counts = np.unique(clips[by_clip], return_index=True, return_counts=True)
    rounds = -(-needed // len(counts))
    order = np.concatenate([rng.permutation(len(counts)) for _ in range(rounds)])[:needed]
    return by_clip[first[order] + rng.integers(0, counts[order])]


def _batches(x: np.ndarray, labels: np.ndarray, order: np.ndarray) -> tf.data.Dataset:
    values, targets = tf.constant(x), tf.constant(labels)
    batches = tf.data.Dataset.from_tensor_slices(order.reshape(-1, BATCH_SIZE))
    return batches.map(lambda i: (tf.gather(values, i), tf.gather(targets, i))).prefetch(8)


def _glorot(seed: int) -> keras.initializers.Initializer:
    return keras.initializers.GlorotUniform(seed)


def _fit(
    classifier: LogisticRegression,
    x: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray | None,
    threads: int | None,
) -> None:
    """Fit; on narrow matrices a second BLAS thread slows this down, by up to 40 times."""
    with warnings.catch_warnings(), threadpoolctl.threadpool_limits(threads, user_api="blas"):
        warnings.simplefilter("ignore", ConvergenceWarning)  # MAX_ITERATIONS is a choice
        classifier.fit(x, labels, weights)
