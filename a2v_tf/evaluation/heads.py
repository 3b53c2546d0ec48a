"""Heads on frozen embeddings: logistic regression, the papers' Adam head, and one with two layers.

All are trained on the windows of the training clips, each with its clip's label. Accuracy is the
fraction of test clips that are classified correctly from their sliding windows, joined by naive
Bayes (ICLR section 4).

Inputs are standardised. A linear layer could absorb scale and shift itself, but the penalty and
Adam's step size would otherwise favour encoders with large outputs.
"""

import math
import warnings
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
import threadpoolctl
from keras import layers
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

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
BATCH_SIZE = 256  # of the Adam heads, as in both papers
STEPS_A_CALL = 50  # of the compiled loop: one call a step would cost twice the time


class Score(NamedTuple):
    """The accuracy of a head.

    Attributes:
      accuracy: fraction of test clips (for kNN, of test windows) that are classified correctly.
      n_test: their number.
      task_parameters: weights trained for the task, counted as in ICLR Table 1 and Figure 3
        (128 x C for a linear head): kernels without biases; None without a head.
    """

    accuracy: float
    n_test: int
    task_parameters: int | None


def linear(windows: Windows, seed: int = 0, settings: HeadSettings | None = None) -> Score:
    """Logistic regression; the strength of its penalty is tuned on val clips, where there are any.

    It is deterministic: `seed` and `settings` are unused.
    """
    del seed, settings
    rows = windows.rows("train")
    scaler = StandardScaler()
    train, labels = scaler.fit_transform(windows.flat(rows)), windows.label_of(rows)
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
    best_val, test = -1.0, 0.0
    for penalty in PENALTIES if has_val else (DEFAULT_PENALTY,):
        classifier.set_params(C=penalty)
        _fit(classifier, train, labels, threads=None if wide else 1)
        val = windows.clip_accuracy("val", predict) if has_val else 0.0
        if val > best_val:  # a tie goes to the stronger penalty
            best_val, test = val, windows.clip_accuracy("test", predict)
    return Score(test, windows.count("test"), train.shape[1] * len(windows.classes))


def sgd(windows: Windows, seed: int = 0, settings: HeadSettings | None = None) -> Score:
    """The papers' linear head: softmax regression trained with Adam for a fixed number of steps."""
    return _adam_head(windows, seed, settings or HeadSettings(), hidden=None)


def two_layer(windows: Windows, seed: int = 0, settings: HeadSettings | None = None) -> Score:
    """`sgd` with a hidden ReLU layer (ICLR Table 5)."""
    settings = settings or HeadSettings()
    return _adam_head(windows, seed, settings, hidden=settings.hidden)


def _adam_head(windows: Windows, seed: int, settings: HeadSettings, hidden: int | None) -> Score:
    rows = windows.rows("train")
    scaler = StandardScaler()
    train, labels = scaler.fit_transform(windows.flat(rows)), windows.label_of(rows)
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
    head.fit(_random_batches(train, labels, settings.steps, seed), shuffle=False, verbose=0)

    def probabilities(values: np.ndarray) -> np.ndarray:
        logits = head(scaler.transform(values), training=False)
        return keras.ops.convert_to_numpy(keras.ops.softmax(logits))

    def predict(rows: np.ndarray) -> np.ndarray:
        return in_batches(probabilities, windows.flat(rows))

    accuracy = windows.clip_accuracy("test", predict)
    return Score(accuracy, windows.count("test"), kernel_weights(head))


def kernel_weights(model: keras.Model | layers.Layer) -> int:
    """The weights of a model that Table 1 counts: kernels, not biases, nor batch norm's vectors."""
    return sum(math.prod(weight.shape) for weight in model.weights if len(weight.shape) > 1)


def _random_batches(x: np.ndarray, labels: np.ndarray, steps: int, seed: int) -> tf.data.Dataset:
    """`steps` batches: all windows, shuffled in every round, without global random state."""
    rng = np.random.default_rng(seed)
    needed = steps * BATCH_SIZE
    rounds = -(-needed // len(x))
    order = np.concatenate([rng.permutation(len(x)) for _ in range(rounds)])[:needed]
    values, targets = tf.constant(x), tf.constant(labels)
    batches = tf.data.Dataset.from_tensor_slices(order.reshape(steps, BATCH_SIZE))
    return batches.map(lambda i: (tf.gather(values, i), tf.gather(targets, i))).prefetch(8)


def _glorot(seed: int) -> keras.initializers.Initializer:
    return keras.initializers.GlorotUniform(seed)


def _fit(
    classifier: LogisticRegression, x: np.ndarray, labels: np.ndarray, threads: int | None
) -> None:
    """Fit; on narrow matrices a second BLAS thread slows this down, by up to 40 times."""
    with warnings.catch_warnings(), threadpoolctl.threadpool_limits(threads, user_api="blas"):
        warnings.simplefilter("ignore", ConvergenceWarning)  # MAX_ITERATIONS is a choice
        classifier.fit(x, labels)
