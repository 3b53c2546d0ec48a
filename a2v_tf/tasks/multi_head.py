"""MultiHead: one encoder, several tasks, each with its own head and loss.

Patent paragraphs 61-63 and figure 5. The encoder's inputs are the union of the slices of all tasks,
`[batch, S, N, F]`; slices that tasks have in common pass through it once. A single task is the same
thing with one head.
"""

import contextlib
from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from a2v_tf.models import audio2vec
from a2v_tf.models.precision import precision
from a2v_tf.specs import Slicing
from a2v_tf.tasks.crops import OTHER, PAIR, Crops, SliceSet
from a2v_tf.tasks.task import Setup, Task


def learning_rate(tasks: Sequence[Task]) -> float:
    """The default learning rate of a task, the papers' for theirs; of several, the greatest."""
    return max(task.learning_rate for task in tasks)


def crop_frames(tasks: Sequence[Task], slicing: Slicing) -> int:
    """Frames that one example takes from a clip."""
    return max(task.crop_frames(slicing) for task in tasks)


def around_frames(tasks: Sequence[Task], slicing: Slicing) -> int:
    """Frames in which the middle slice lies, and those around it if a task takes them.

    The tasks share the middle slice, so it stands where all of them have room.
    """
    return max(
        (task.crop_frames(slicing) for task in tasks if _takes_middle(task)),
        default=slicing.frames,
    )


def _takes_middle(task: Task) -> bool:
    return not {PAIR, OTHER}.issuperset(task.slices)


def needs_places(tasks: Sequence[Task], slicing: Slicing) -> bool:
    """Whether slices can stand at several places of a crop, or outside: see `Crops.place`."""
    parts = [around_frames(tasks, slicing)] if any(map(_takes_middle, tasks)) else []
    if any(PAIR in task.slices for task in tasks):
        parts.append(slicing.reach)
    whole = crop_frames(tasks, slicing)
    return slicing.whole_clips or any(part < whole for part in parts)


def needs_whole_batch(tasks: Sequence[Task]) -> bool:
    """Whether an example depends on the other examples of its batch."""
    return cuts_across(tasks) or loss_needs_whole_batch(tasks)


def cuts_across(tasks: Sequence[Task]) -> bool:
    """Whether the slices of an example come from other examples of the batch too."""
    return any(slices.from_other_examples for slices in _slice_sets(tasks))


def loss_needs_whole_batch(tasks: Sequence[Task]) -> bool:
    """Whether the loss of an example depends on the other examples of its batch."""
    return any(task.loss_needs_whole_batch for task in tasks)


def examples(
    tasks: Sequence[Task], crops: Crops
) -> tuple[tf.Tensor, dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    """Turn crops into what Keras trains on.

    Returns:
      Slices `[batch, S, N, F]`, and by task the targets and the weights of the examples, which
      have as many axes as the targets but the last.
    """
    slices = tf.concat([slices.cut(crops) for slices in _slice_sets(tasks)], axis=1)
    targets = {task.name: task.targets(crops) for task in tasks}
    weights = {task.name: _weights(task, crops, targets[task.name]) for task in tasks}
    return slices, targets, weights


def build(tasks: Sequence[Task], setup: Setup) -> keras.Model:
    """Build the model to train; its layer "encoder" is what later commands use.

    Returns:
      A model from log-mel slices `[batch, S, N, F]` to a dict of the tasks' outputs.
    """
    places: dict[SliceSet, list[int]] = {}
    total = 0
    for slices in _slice_sets(tasks):
        places[slices] = list(range(total, total + slices.count(setup.slicing)))
        total += len(places[slices])

    def head(task: Task) -> audio2vec.Head:
        def build_head(z: keras.KerasTensor) -> keras.KerasTensor:
            # Decoders are as much work as the encoder; other heads are small and end in a number.
            with contextlib.nullcontext() if task.reconstructs else precision("float32"):
                return task.head(z, setup)

        return build_head

    heads = {
        task.name: ([place for slices in task.slices for place in places[slices]], head(task))
        for task in tasks
    }
    options = setup.options
    denoising = "autoencoder" in heads and options.variant == "denoising"
    return audio2vec.build_model(
        setup.config,
        total,
        setup.slicing.frames,
        setup.bins,
        setup.stats,
        heads,
        noise=options.noise if denoising else 0.0,
        transposed=[of[i] for slices, of in places.items() for i in slices.transposed],
        mix=options.mix,
        slice_gain_db=options.slice_gain_db,
        log_offset=setup.log_offset,
        dropout=options.dropout,
    )


def losses(tasks: Sequence[Task], weights: Sequence[float] | None = None) -> Mapping[str, dict]:
    """The losses, their factors and the metrics, as `keras.Model.compile` takes them."""
    factors = weights or [1.0] * len(tasks)
    metrics = {task.name: made for task in tasks if (made := task.metrics())}
    return {
        "loss": {task.name: task.loss for task in tasks},
        "loss_weights": {task.name: x for task, x in zip(tasks, factors, strict=True)},
        **({"metrics": metrics} if metrics else {}),
    }


def _weights(task: Task, crops: Crops, target: tf.Tensor) -> tf.Tensor:
    batch = tf.shape(target)[0]
    weights = task.weights(crops) if task.weights else tf.ones([batch])
    return tf.reshape(weights, [batch] + [1] * (target.shape.rank - 2))


def _slice_sets(tasks: Sequence[Task]) -> list[SliceSet]:
    """The sets of slices that the tasks take, each once."""
    return list(dict.fromkeys(slices for task in tasks for slices in task.slices))
