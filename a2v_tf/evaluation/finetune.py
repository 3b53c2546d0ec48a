"""Training encoders on labels: from a layer upwards (ICLR Figure 3), or from scratch (Supervised).

As in the papers, training uses crops at random positions, and accuracy is measured on whole clips,
from their sliding windows.
"""

import contextlib
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from absl import logging

from a2v_tf.data.labelled import LabelledData
from a2v_tf.data.sources import one_line_errors
from a2v_tf.errors import A2vError
from a2v_tf.evaluation.embeddings import WindowEmbedder, embed_task
from a2v_tf.evaluation.heads import Score, kernel_weights
from a2v_tf.evaluation.settings import ALL, FC, NONE, TrainingSettings
from a2v_tf.evaluation.windows import Windows, in_batches
from a2v_tf.models.classifier import build_classifier
from a2v_tf.specs import MAX_BAD_FRACTION
from a2v_tf.tasks import supervised
from a2v_tf.training.batches import labelled_batches, training_batches

ROUNDS = 5  # after each, accuracy on val clips is measured, where there are any


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
    data: LabelledData, frames: int, max_bad_fraction: float = MAX_BAD_FRACTION
) -> Windows:
    """The log-mel windows of a task's val and test clips, in half precision."""
    log_mel = WindowEmbedder(lambda batch: batch.astype(np.float16))
    windows = embed_task(
        data,
        {"log_mel": log_mel},
        frames,
        max_bad_fraction=max_bad_fraction,
        splits=("val", "test"),
    )
    return windows["log_mel"]


def fine_tune(
    encoder: keras.Model,
    depth: str,
    datasets: Sequence[LabelledData],
    judges: Mapping[str, Windows],
    settings: TrainingSettings,
    seed: int,
) -> tuple[dict[str, Score], keras.Model]:
    """Train the upper part of an encoder and a linear head for each data set.

    Several data sets share every batch, and the number of steps is multiplied by their number. The
    result has the weights with the best mean accuracy on val clips after one of `ROUNDS` rounds, or
    the last weights where a data set has no val clips.

    Args:
      encoder: the encoder, which is copied and not changed.
      depth: the lowest part that is trained, one of `depths`, but not none.
      datasets: training data.
      judges: the `held_out` windows of each data set, by name.
      settings: of the training.
      seed: of the heads' weights and of the crops.

    Returns:
      The accuracy on each data set's test clips, and the trained encoder.
    """
    keras.utils.set_random_seed(seed)
    copy = keras.models.clone_model(encoder)
    copy.set_weights(encoder.get_weights())
    free_from(copy, depth)
    steps = settings.steps * len(datasets)
    _hasten_statistics(copy, steps)
    heads = {data.name: len(data.classes) for data in datasets}
    classifier = build_classifier(copy, heads)
    losses = supervised.losses(datasets)["loss"]
    classifier.compile(keras.optimizers.Adam(settings.learning_rate), losses)
    classifier.optimizer.build(classifier.trainable_variables)  # else the step is traced twice
    rounds = min(ROUNDS, steps)
    one_round = labelled_batches(
        datasets,
        encoder.input_shape[1],
        batch_size=max(1, settings.batch_size // len(datasets)) * len(datasets),
        seed=seed,
        per_class=settings.per_class,
    )
    with contextlib.ExitStack() as stack:
        for data in datasets:
            stack.enter_context(one_line_errors(data))
        classifier.fit(
            training_batches(one_round, steps_per_round=-(-steps // rounds)),
            epochs=rounds,
            steps_per_epoch=-(-steps // rounds),
            callbacks=[_KeepBest(judges)],
            shuffle=False,
            verbose=0,
        )
    own = 0 if len(datasets) > 1 else sum(kernel_weights(x) for x in copy.layers if x.trainable)
    scores = {
        name: Score(
            accuracy=clip_accuracy(classifier, name, judges[name], "test"),
            n_test=judges[name].count("test"),
            task_parameters=own + kernel_weights(classifier.get_layer(name)),
        )
        for name in heads
    }
    return scores, copy


def clip_accuracy(classifier: keras.Model, name: str, judge: Windows, split: str) -> float:
    """The fraction of a split's clips that one head of a classifier classifies correctly."""

    def probabilities(log_mel: np.ndarray) -> np.ndarray:
        logits = classifier(log_mel, training=False)[name]
        return keras.ops.convert_to_numpy(keras.ops.softmax(logits))

    return judge.clip_accuracy(split, lambda rows: in_batches(probabilities, judge.values[rows]))


class _KeepBest(keras.callbacks.Callback):
    """Restore the weights with the best mean accuracy on val clips, if all tasks have some."""

    def __init__(self, judges: Mapping[str, Windows]) -> None:
        super().__init__()
        self._judges = judges
        self._able = all(judge.count("val") for judge in judges.values())
        self._best, self._weights = -1.0, None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        loss = (logs or {}).get("loss", float("nan"))
        if not np.isfinite(loss):
            tasks = ", ".join(self._judges)
            raise A2vError(f"the loss on {tasks} is {loss}: expected a lower learning rate")
        if not self._able:
            return
        scores = [clip_accuracy(self.model, *judge, "val") for judge in self._judges.items()]
        mean = float(np.mean(scores))
        logging.info(
            "%s: round %d of %d, loss %.3f, val accuracy %.3f",
            *(", ".join(self._judges), epoch + 1, self.params["epochs"], loss, mean),
        )
        if mean > self._best:
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
