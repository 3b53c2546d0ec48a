"""MultiHead: one encoder, several tasks, each with its own head and loss.

Patent paragraphs 61-63 and figure 5. The encoder hears the union of the slices of all tasks,
`[batch, S, N, F]`; those that tasks have in common pass through it once. A single task is the same
thing with one head.
"""

import contextlib
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import keras
import tensorflow as tf

from a2v_tf.models import audio2vec
from a2v_tf.models.heads import partner_loss
from a2v_tf.models.precision import precision
from a2v_tf.specs import Slicing
from a2v_tf.tasks import (
    arrow_of_time,
    autoencoder,
    cbow,
    contrastive,
    skip_gram,
    temporal_gap,
    transposition,
    triplet,
)
from a2v_tf.tasks.crops import Crops
from a2v_tf.tasks.setup import Setup

TASKS = {
    module.__name__.rpartition(".")[2]: module
    for module in (
        *(cbow, skip_gram, temporal_gap, autoencoder, triplet, arrow_of_time),
        *(contrastive, transposition),
    )
}
DEFAULT = ("cbow", "skip_gram", "temporal_gap")  # the decoders that the patent names


def task_names(config: Mapping[str, Any]) -> list[str]:
    """The tasks that the settings of a run name: `heads`, if its task is multi_head."""
    return list(config["heads"]) if config["task"] == "multi_head" else [config["task"]]


def learning_rate(names: Sequence[str]) -> float:
    """The papers' learning rate of a task; of several, the greatest."""
    return max(TASKS[name].LEARNING_RATE for name in names)


def crop_frames(names: Sequence[str], slicing: Slicing) -> int:
    """Frames that one example takes from a clip."""
    return max(TASKS[name].crop_frames(slicing) for name in names)


def needs_whole_batch(names: Sequence[str]) -> bool:
    """Whether an example depends on the other examples of its batch."""
    return cuts_across(names) or loss_needs_whole_batch(names)


def cuts_across(names: Sequence[str]) -> bool:
    """Whether the encoder hears slices of other examples of the batch with an example."""
    return "other" in _kinds(names)


def loss_needs_whole_batch(names: Sequence[str]) -> bool:
    """Whether the loss of an example depends on the other examples of its batch."""
    return any(TASKS[name].LOSS is partner_loss for name in names)


def examples(
    names: Sequence[str], crops: Crops
) -> tuple[tf.Tensor, dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    """Turn crops into what Keras trains on.

    Returns:
      Slices `[batch, S, N, F]`, and by task the targets and the weights of the examples, which
      have as many axes as the targets but the last.
    """
    slices = tf.concat([getattr(crops, kind)() for kind in _kinds(names)], axis=1)
    targets = {name: TASKS[name].targets(crops) for name in names}
    weights = {name: _weights(TASKS[name], crops, targets[name]) for name in names}
    return slices, targets, weights


def build(names: Sequence[str], setup: Setup) -> keras.Model:
    """Build the model to train; its layer "encoder" is what is kept.

    Returns:
      A model from log-mel slices `[batch, S, N, F]` to a dict of the tasks' outputs.
    """
    counts = {"surrounding": 2 * setup.slicing.context, "pair": 2, "copies": 2}
    places: dict[str, list[int]] = {}
    total = 0
    for kind in _kinds(names):
        places[kind] = list(range(total, total + counts.get(kind, 1)))
        total += len(places[kind])

    def head(name: str) -> audio2vec.Head:
        def build_head(z: keras.KerasTensor) -> keras.KerasTensor:
            # Decoders are as much work as the encoder; the others are little, and end in a number.
            is_decoder = TASKS[name].LOSS == "mean_squared_error"
            with contextlib.nullcontext() if is_decoder else precision("float32"):
                return TASKS[name].head(z, setup)

        return build_head

    heads = {
        name: ([place for kind in TASKS[name].SLICES for place in places[kind]], head(name))
        for name in names
    }
    denoising = "autoencoder" in names and setup.variant == "denoising"
    return audio2vec.build_model(
        setup.config,
        total,
        setup.slicing.frames,
        setup.bins,
        setup.stats,
        heads,
        noise=setup.noise if denoising else 0.0,
        transposed=places["copies"][1:] if "copies" in places else (),
        mix=setup.mix,
        slice_gain_db=setup.slice_gain_db,
    )


def losses(names: Sequence[str], weights: Sequence[float] | None = None) -> Mapping[str, dict]:
    """The losses, and what multiplies each in the sum, as `keras.Model.compile` takes them."""
    factors = weights or [1.0] * len(names)
    return {
        "loss": {name: TASKS[name].LOSS for name in names},
        "loss_weights": dict(zip(names, factors, strict=True)),
    }


def _weights(task: ModuleType, crops: Crops, target: tf.Tensor) -> tf.Tensor:
    batch = tf.shape(target)[0]
    weights = task.weights(crops) if hasattr(task, "weights") else tf.ones([batch])
    return tf.reshape(weights, [batch] + [1] * (target.shape.rank - 2))


def _kinds(names: Sequence[str]) -> list[str]:
    """The kinds of slices that the tasks need, each once."""
    return list(dict.fromkeys(kind for name in names for kind in TASKS[name].SLICES))
