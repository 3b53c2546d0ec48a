"""Training encoders on labels: from a layer upwards (ICLR Figure 3), or from scratch (Supervised).

Training uses crops at random positions (both papers). Accuracy is that of `Windows.accuracy`: of
clips from their sliding windows (ICLR section 4), or of slices at random positions (SPL section
IV).
"""

import contextlib
import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from absl import logging

from a2v_tf.data.labelled import LabelledData
from a2v_tf.data.sources import one_line_errors
from a2v_tf.errors import A2vError
from a2v_tf.evaluation.embeddings import WindowEmbedder, embed_task
from a2v_tf.evaluation.heads import Score, kernel_weights, softmax, weights_of
from a2v_tf.evaluation.saved_heads import MOST_EMBEDDINGS, Head
from a2v_tf.evaluation.settings import ALL, ALL_CLIPS, BEST, FC, NONE, Draws, Few, TrainingSettings
from a2v_tf.evaluation.windows import Windows, in_batches
from a2v_tf.models.classifier import build_classifier
from a2v_tf.specs import MAX_BAD_FRACTION
from a2v_tf.tasks import supervised
from a2v_tf.training.batches import labelled_batches, training_batches


class FineTuned(NamedTuple):
    """What fine-tuning gives.

    Attributes:
      scores: by data set, the accuracy on its test clips.
      encoder: the trained encoder.
      curves: by data set with val clips, the accuracy on these after each round, with the steps
        trained by then.
    """

    scores: dict[str, Score]
    encoder: keras.Model
    curves: dict[str, list[tuple[int, float]]]


def depths(encoder: keras.Model) -> list[str]:
    """The values of `--finetune` for an encoder: none, fc, its layers from the last, all."""
    levels = sorted({_level(layer.name) for layer in encoder.layers}, reverse=True)
    return [NONE, FC, *(f"conv{level}" for level in levels if math.isfinite(level)), ALL]


def check_depths(names: Sequence[str], encoder: keras.Model) -> None:
    """Check the values of `--finetune`.

    Raises:
      A2vError: a value is not the name of a part of the encoder.
    """
    known = depths(encoder)
    for name in names:
        if name not in known:
            raise A2vError(f"--finetune={name}: expected some of {', '.join(known)}")


def free_from(encoder: keras.Model, depth: str) -> None:
    """Make an encoder trainable from a layer upwards, and freeze the layers below."""
    lowest = {FC: math.inf, ALL: -math.inf}.get(depth, _level(f"{depth}_"))
    for layer in encoder.layers:
        layer.trainable = _level(layer.name) >= lowest


def held_out(
    data: LabelledData,
    frames: int,
    max_bad_fraction: float = MAX_BAD_FRACTION,
    splits: Collection[str] = ("val", "test"),
    draws: Draws | None = None,
) -> Windows:
    """The log-mel windows of a task's val and test clips, in half precision.

    `splits` and `draws` are as for `embed_task`.
    """
    log_mel = WindowEmbedder(lambda batch: batch.astype(np.float16))
    windows = embed_task(
        data,
        {"log_mel": log_mel},
        frames,
        max_bad_fraction=max_bad_fraction,
        splits=splits,
        draws=draws,
    )
    return windows["log_mel"]


def fine_tune(
    encoder: keras.Model,
    depth: str,
    datasets: Sequence[LabelledData],
    judges: Mapping[str, Windows],
    settings: TrainingSettings,
    seed: int,
    *,
    select: str = BEST,
    few: Few = ALL_CLIPS,
) -> FineTuned:
    """Train the upper part of an encoder and a linear head for each data set.

    Several data sets share every batch, and the number of steps is multiplied by their number.

    Args:
      encoder: the encoder, which is copied and not changed.
      depth: the lowest part that is trained, one of `depths`, but not none.
      datasets: training data.
      judges: the `held_out` windows of each data set, by name.
      settings: of the training.
      seed: of the heads' weights and of the crops.
      select: which weights count: "last", or "best", those with the best mean accuracy on val clips
        after one of the rounds. Where a data set has no val clips, and with few training clips, of
        which val clips would be more, it is always the last.
      few: limits the training clips.
    """
    keras.utils.set_random_seed(seed)
    copy = keras.models.clone_model(encoder)
    copy.set_weights(encoder.get_weights())
    free_from(copy, depth)
    steps = settings.steps * len(datasets)
    _hasten_statistics(copy, steps)
    classes = {data.name: tuple(data.classes) for data in datasets}
    heads = {name: len(labels) for name, labels in classes.items()}
    classifier = build_classifier(copy, heads)
    losses = supervised.losses(datasets)["loss"]
    classifier.compile(keras.optimizers.Adam(settings.learning_rate), losses)
    classifier.optimizer.build(classifier.trainable_variables)  # else the step is traced twice
    rounds = min(settings.rounds, steps)
    one_round = labelled_batches(
        datasets,
        encoder.input_shape[1],
        batch_size=max(1, settings.batch_size // len(datasets)) * len(datasets),
        seed=seed,
        per_class=few.per_class,
        total=few.total,
    )
    progress = _Progress(judges, keep_best=select == BEST and not few)
    with contextlib.ExitStack() as stack:
        for data in datasets:
            stack.enter_context(one_line_errors(data))
        classifier.fit(
            training_batches(one_round, steps_per_round=-(-steps // rounds)),
            epochs=rounds,
            steps_per_epoch=-(-steps // rounds),
            callbacks=[progress],
            shuffle=False,
            verbose=0,
        )
    own = 0 if len(datasets) > 1 else sum(kernel_weights(x) for x in copy.layers if x.trainable)
    scores = {
        name: Score(
            accuracy=accuracy_of(classifier, name, judges[name], "test"),
            n_test=judges[name].count("test"),
            task_parameters=own + kernel_weights(classifier.get_layer(name)),
            head=Head(classes[name], weights_of([classifier.get_layer(name)])),
        )
        for name in heads
    }
    return FineTuned(scores, copy, progress.curves)


def training_slices(data: LabelledData, frames: int, seed: int, few: Few = ALL_CLIPS) -> np.ndarray:
    """Log-mel slices of training clips, float32 `[MOST_EMBEDDINGS, N, F]`, drawn with `seed`."""
    batches = labelled_batches(
        [data], frames, batch_size=32, seed=seed, per_class=few.per_class, total=few.total
    )
    with one_line_errors(data):
        drawn = batches(0).take(-(-MOST_EMBEDDINGS // 32)).as_numpy_iterator()
        return np.concatenate([log_mel for log_mel, *_ in drawn])


def accuracy_of(classifier: keras.Model, name: str, judge: Windows, split: str) -> float:
    """The accuracy of one head of a classifier on a split's clips."""

    def probabilities(log_mel: np.ndarray) -> np.ndarray:
        return softmax(classifier(log_mel, training=False)[name])

    return judge.accuracy(split, lambda rows: in_batches(probabilities, judge.values[rows]))


class _Progress(keras.callbacks.Callback):
    """Measure accuracy on val clips after each round, and restore the best weights if asked to."""

    def __init__(self, judges: Mapping[str, Windows], keep_best: bool) -> None:
        super().__init__()
        self._judges = {name: judge for name, judge in judges.items() if judge.count("val")}
        self._all = list(judges)
        self._keep_best = keep_best and len(self._judges) == len(judges)
        self._best, self._weights = -1.0, None
        self.curves: dict[str, list[tuple[int, float]]] = {name: [] for name in self._judges}

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        loss = (logs or {}).get("loss", float("nan"))
        if not np.isfinite(loss):
            tasks = ", ".join(self._all)
            raise A2vError(f"the loss on {tasks} is {loss}: expected a lower learning rate")
        if not self._judges:
            return
        step = (epoch + 1) * self.params["steps"]
        for name, judge in self._judges.items():
            self.curves[name].append((step, accuracy_of(self.model, name, judge, "val")))
        mean = float(np.mean([curve[-1][1] for curve in self.curves.values()]))
        logging.info(
            "%s: round %d of %d, loss %.3f, val accuracy %.3f",
            *(", ".join(self._judges), epoch + 1, self.params["epochs"], loss, mean),
        )
        if self._keep_best and mean > self._best:
            self._best, self._weights = mean, self.model.get_weights()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._weights is not None:
            self.model.set_weights(self._weights)


def _hasten_statistics(encoder: keras.Model, steps: int) -> None:
    """Let batch norm's moving averages cover at most a tenth of the steps.

    Keras' momentum of 0.99 does so from 1,000 steps on. With fewer steps, the averages would still
    contain their initial values at the end, and inference would use wrong statistics.
    """
    for layer in encoder.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = min(layer.momentum, max(0.0, 1 - 10 / steps))


def _level(layer: str) -> float:
    """Level of a layer: 3 for conv3, infinity for the last one and what it reads, or -infinity."""
    if match := re.match(r"conv(\d+)_", layer):
        return int(match[1])
    return math.inf if re.match(r"embedding|features_|level\d", layer) else -math.inf
