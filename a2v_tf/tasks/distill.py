"""Distill: predict what other models, the teachers, make of the same slice.

Beyond the papers. The encoder's input is a slice, `[batch, 1, N, F]`, which `--mix` and
`--slice_gain_db` may change; the teachers' outputs are those of the slice as it was recorded. For
each teacher, one linear layer predicts the principal components of its outputs from the embedding:
a teacher is a task of its own with a loss and a log column, and all share the slices.

The components are divided by the square root of their standard deviations, so that the first ones
do not make up the whole loss, and scaled to a mean square of 1 over all of them.
"""

import re

import keras
from keras import layers

from a2v_tf.tasks.crops import MIDDLE
from a2v_tf.tasks.task import Setup, Task

LEARNING_RATE = 2e-3
EXPLAINED = "explained"  # the metric's name in the log


def task_name(teacher: str) -> str:
    """The name of a teacher's task: "model:runs/large" is learned as "model_runs_large"."""
    return re.sub(r"\W+", "_", teacher).strip("_")


def head_name(teacher: str) -> str:
    """The name of the linear layer that predicts a teacher's components."""
    return f"{task_name(teacher)}_head"


def task(teacher: str) -> Task:
    """The task of predicting one teacher's components, `[batch, components]`."""
    name = task_name(teacher)

    def head(z: keras.KerasTensor, setup: Setup) -> keras.KerasTensor:
        return layers.Dense(setup.components[name], name=head_name(teacher))(z[:, 0])

    return Task(
        name=name,
        learning_rate=LEARNING_RATE,
        loss="mean_squared_error",
        slices=(MIDDLE,),
        crop_frames=lambda slicing: slicing.frames,
        targets=lambda crops: crops.taught[name],
        head=head,
        metrics=lambda: [explained_variance()],
    )


def explained_variance() -> keras.metrics.Metric:
    """The fraction of the variance of a teacher's components that is predicted, 1 at most."""
    return keras.metrics.R2Score("variance_weighted_average", name=EXPLAINED)
