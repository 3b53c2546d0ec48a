"""What a self-supervised task is: `Task`, and how one is found by name."""

import dataclasses
import importlib
from collections.abc import Callable, Mapping, Sequence

import keras
import tensorflow as tf

from a2v_tf.errors import A2vError
from a2v_tf.plugins import is_reference, load_object
from a2v_tf.specs import AnyEncoder, InputStats, Slicing, TaskOptions
from a2v_tf.tasks import DISTILL, TASKS
from a2v_tf.tasks.crops import Crops, SliceSet


@dataclasses.dataclass(frozen=True)
class Setup:
    """What the heads of all tasks are built from.

    Attributes:
      config: the encoder.
      slicing: N, P, G and N_max.
      bins: F, mel bins.
      stats: mean and variance of the training data's log-mel values.
      options: what tasks leave open.
      log_offset: the front end's, 0 for band levels.
      components: for distill, how many numbers of each teacher to predict, by its task's name.
    """

    config: AnyEncoder
    slicing: Slicing
    bins: int
    stats: InputStats
    options: TaskOptions = dataclasses.field(default_factory=TaskOptions)
    log_offset: float = 0.0
    components: Mapping[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """A self-supervised task.

    Attributes:
      name: of its head's output, its loss and its column in the training log.
      learning_rate: default of `--learning_rate`.
      loss: as `keras.Model.compile` takes it.
      slices: the sets of slices that the encoder sees, in the order of `head`'s input.
      crop_frames: from N, P, G and N_max to the frames that one example takes from a clip.
      targets: from a batch of crops to what the head predicts, `[batch, ...]`.
      head: builds the head on the embeddings `[batch, S, d]` of the task's S slices.
      weights: weights of the examples in the loss, `[batch]`; None for equal weights.
      loss_needs_whole_batch: whether the loss of an example depends on the rest of its batch.
      reconstructs: whether the targets are log-mel slices: the head is a decoder then.
      metrics: makes what the log has besides the loss.
    """

    name: str
    learning_rate: float
    loss: str | keras.losses.Loss | Callable
    slices: tuple[SliceSet, ...]
    crop_frames: Callable[[Slicing], int]
    targets: Callable[[Crops], tf.Tensor]
    head: Callable[[keras.KerasTensor, Setup], keras.KerasTensor]
    weights: Callable[[Crops], tf.Tensor] | None = None
    loss_needs_whole_batch: bool = False
    reconstructs: bool = False
    metrics: Callable[[], list[keras.metrics.Metric]] = list


def find_task(name: str, flag: str = "--task") -> Task:
    """Look up a task of this package, or import the one that `package.module:NAME` names.

    Raises:
      A2vError: there is no such task.
    """
    if name in TASKS:
        return importlib.import_module(f"a2v_tf.tasks.{name}").TASK
    if not is_reference(name):
        raise A2vError(f"{flag}={name}: expected one of {', '.join(TASKS)} or package.module:NAME")
    task = load_object(name, flag)
    if not isinstance(task, Task):
        raise A2vError(f"{flag}={name}: expected a Task, not {type(task).__name__}")
    return task


def find_tasks(names: Sequence[str], teachers: Sequence[str] = ()) -> list[Task]:
    """Look up several tasks; see `find_task`.

    Args:
      names: of the tasks; "distill" is a task for each teacher.
      teachers: that distill learns from.

    Raises:
      A2vError: one does not exist, or two have the same name.
    """
    tasks = []
    for name in names:
        if name == DISTILL:
            module = importlib.import_module(f"a2v_tf.tasks.{DISTILL}")
            tasks += [module.task(teacher) for teacher in teachers]
        else:
            tasks.append(find_task(name, "--heads" if len(names) > 1 else "--task"))
    if len({task.name for task in tasks}) < len(tasks):
        flag = f"--teachers={','.join(teachers)}" if teachers else f"--heads={','.join(names)}"
        raise A2vError(f"{flag}: expected tasks with different names")
    return tasks
