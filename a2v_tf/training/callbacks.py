"""Keras callbacks for what Keras' own do not cover."""

import pathlib
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from a2v_tf.errors import A2vError
from a2v_tf.models.augment import Augment
from a2v_tf.models.in_stream import trained_part
from a2v_tf.models.on_device import OnDevice
from a2v_tf.models.precision import layers_of
from a2v_tf.training.checkpoints import best_validation_loss, save_checkpoint, save_model
from a2v_tf.training.model_dir import ENCODER, LAST_ENCODER, LOG, MODEL


class ExamplesPerSecond(keras.callbacks.Callback):
    """Add `examples_per_s`, the mean over the round so far, to the logs."""

    def __init__(self, batch_size: int):
        super().__init__()
        self._batch_size = batch_size
        self._start = self._rate = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._start = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._rate = (batch + 1) * self._batch_size / (time.monotonic() - self._start)
        if logs is not None:
            logs["examples_per_s"] = self._rate

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is not None:
            logs["examples_per_s"] = self._rate


class StopOnNaN(keras.callbacks.Callback):
    """End training with one line, before the round is logged or saved, if a loss is not finite."""

    def __init__(self, learning_rate: float | None):
        super().__init__()
        self._learning_rate = learning_rate

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._check("loss", logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._check("val_loss", logs)

    def _check(self, name: str, logs: dict[str, Any] | None) -> None:
        value = float((logs or {}).get(name, 0.0))
        if not np.isfinite(value):
            raise A2vError(
                f"training diverged: {name} is {value}; expected a --learning_rate below "
                f"{self._learning_rate:g}"
            )


class SaveRound(keras.callbacks.Callback):
    """After each round: save the last encoder, and the best models so far.

    Keras' BackupAndRestore and ModelCheckpoint write in place, so that a kill during the write
    loses the only copy, and neither remembers the best loss across a restart.
    """

    def __init__(self, model_dir: pathlib.Path, step_after: Callable[[int], int]):
        """Save to a model directory; `step_after` gives the steps trained by a round's end."""
        super().__init__()
        self._model_dir = model_dir
        self._step_after = step_after
        self._best = best_validation_loss(model_dir / LOG)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        model = trained_part(self.model)
        encoder = model.get_layer("encoder")
        save_model(encoder, self._model_dir / LAST_ENCODER)
        if logs["val_loss"] < self._best:
            self._best = logs["val_loss"]
            save_model(encoder, self._model_dir / ENCODER)
            save_model(model, self._model_dir / MODEL)


class SaveCheckpoint(keras.callbacks.Callback):
    """After each round a checkpoint: it means that everything else of the round is on disk."""

    def __init__(self, model_dir: pathlib.Path, step_after: Callable[[int], int]):
        """Save to a model directory; `step_after` gives the steps trained by a round's end."""
        super().__init__()
        self._model_dir = model_dir
        self._step_after = step_after

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        save_checkpoint(trained_part(self.model), self._model_dir, self._step_after(epoch))


class AveragedWeights(keras.callbacks.Callback):
    """Put the optimizer's moving average of the weights into the model where a round ends.

    From the start of validation to the end of the round, so that all callbacks before this one see
    averaged weights, and those after it (`SaveCheckpoint`) the weights that training goes on with.
    Batch norm's moving statistics belong to the latter; the averaged weights get statistics of
    their own, over clean batches. (Keras' SwapEMAWeights leaves them as they are.)
    """

    def __init__(self, batches: tf.data.Dataset):
        """Compute batch norm statistics from `batches` of training examples, a few thousand."""
        super().__init__()
        self._batches = batches
        self._trained: list[np.ndarray] | None = None
        self._averaged: list[np.ndarray] | None = None
        self._recompute: Callable[[], None] | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self._trained is not None:  # a shorter last round: Keras left the averages in place
            trained_part(self.model).set_weights(self._trained)

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        model = trained_part(self.model)
        self._trained = model.get_weights()
        model.optimizer.finalize_variable_values(model.trainable_variables)
        self._recompute = self._recompute or batch_norm_over(self.model, self._batches)
        self._recompute()
        self._averaged = model.get_weights()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        assert self._trained is not None, "expected validation in every round"
        trained_part(self.model).set_weights(self._trained)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._averaged is not None:
            trained_part(self.model).set_weights(self._averaged)


def batch_norm_over(model: keras.Model, batches: tf.data.Dataset) -> Callable[[], None]:
    """Make a function that sets the moving statistics of a model's batch norm layers.

    They become the means over `batches` of examples, of which `Augment` changes none.
    """
    trained = trained_part(model)
    norms = [x for x in layers_of(trained) if isinstance(x, keras.layers.BatchNormalization)]
    augmenting = [layer for layer in layers_of(trained) if isinstance(layer, Augment)]

    def forward(slices: tf.Tensor) -> None:
        momenta = [layer.momentum for layer in norms]
        strengths = [(layer.mix, layer.gain_db) for layer in augmenting]
        for layer in augmenting:
            layer.mix = layer.gain_db = 0.0
        for layer in norms:
            layer.momentum = 0.0  # the moving statistics are those of the batch
        model(slices, training=True)
        for layer, momentum in zip(norms, momenta, strict=True):
            layer.momentum = momentum
        for layer, (mix, gain_db) in zip(augmenting, strengths, strict=True):
            layer.mix, layer.gain_db = mix, gain_db

    if keras.backend.backend() == "tensorflow":
        forward = tf.function(forward)

    def recompute() -> None:
        moving = [x for layer in norms for x in (layer.moving_mean, layer.moving_variance)]
        sums = [np.zeros(x.shape) for x in moving]
        count = 0
        for slices, *_ in batches:
            forward(slices)
            for total, x in zip(sums, moving, strict=True):
                total += keras.ops.convert_to_numpy(x)
            count += 1
        for total, x in zip(sums, moving, strict=True):
            x.assign(total / count)

    return recompute


class SeedNoise(keras.callbacks.Callback):
    """Seed the layers that draw random numbers at the start of each round.

    Checkpoints do not hold the state of Keras' seed generators. With this callback a resumed run
    equals one without interruption.
    """

    def __init__(self, seed: int):
        super().__init__()
        self._seed = seed

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        for i, layer in enumerate(trained_part(self.model).layers):
            if hasattr(layer, "seed_generator"):
                seed = np.random.SeedSequence([self._seed, epoch, i]).generate_state(2)
                layer.seed_generator.state.assign(seed)


class ReconstructionImages(keras.callbacks.Callback):
    """Write a few validation targets beside their reconstructions to TensorBoard."""

    def __init__(self, log_dir: pathlib.Path, validation: tf.data.Dataset, count: int = 4):
        super().__init__()
        self._log_dir = str(log_dir)
        self._count = count
        self._batch = validation.take(1)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        inputs, targets, _ = next(self._batch.as_numpy_iterator())
        if isinstance(self.model, OnDevice):  # slices may come from other examples of the batch
            outputs = self.model.predict_on_batch(inputs)
            outputs, targets = outputs["outputs"], outputs["targets"]
        else:
            outputs = self.model.predict_on_batch(inputs[: self._count])
        with tf.summary.create_file_writer(self._log_dir).as_default(step=epoch):
            for name, target in targets.items():
                if len(target.shape) == 4:  # slices, not numbers
                    pair = (x[: self._count] for x in (target, outputs[name]))
                    images = side_by_side(*map(_one_after_another, pair))
                    title = f"{name}: target | reconstruction"
                    tf.summary.image(title, images, max_outputs=len(images))


def _one_after_another(slices: np.ndarray) -> np.ndarray:
    """Slices `[n, k, N, F]` as one of `[n, k·N, F]`."""
    slices = np.asarray(slices)
    return slices.reshape(len(slices), -1, slices.shape[-1])


def side_by_side(targets: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Grey images `[n, F, 2N+4, 1]` in [0, 1], low frequencies lowest, of slices `[n, N, F]`."""
    low = targets.min(axis=(1, 2), keepdims=True)
    high = targets.max(axis=(1, 2), keepdims=True)
    divider = np.broadcast_to(high, (len(targets), 4, targets.shape[2]))
    images = np.concatenate([targets, divider, outputs], axis=1)
    images = np.clip((images - low) / np.maximum(high - low, 1e-6), 0.0, 1.0)
    return images.transpose(0, 2, 1)[:, ::-1, :, np.newaxis]
