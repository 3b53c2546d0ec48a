"""Fold the metric of what teachers say into the last layer of a distilled encoder.

Nearest neighbours compare embeddings by distance, in which directions that no teacher's components
depend on count like any other. With e' = e M^(1/2), where M is the sum over teachers of
w W W' / p, W being the teacher's linear layer, p the mean variance of its predictions and w a
weight, distances between embeddings become distances between predictions, each teacher's of equal
power. Linear probes on standardised embeddings hardly change: e' is a linear function of e.
"""

import pathlib

import keras
import numpy as np
import tensorflow as tf

from a2v_tf.tasks.distill import head_name, task_name
from a2v_tf.training.checkpoints import save_model
from a2v_tf.training.model_dir import ENCODER, load_model

# 1 unless it is here. A statistic of each mel bin says more of recording and level than of the
# sound; chosen by val clips (BUILD_NOTES.md, "Distillation").
WEIGHTS = {"log_mel_statistics": 0.3}


def fold_metric(
    model_dir: pathlib.Path, teachers: tuple[str, ...], batches: tf.data.Dataset
) -> None:
    """Write `encoder.keras` again, with the metric in its last layer.

    The encoder is that of `model.keras`, so that a second call changes nothing.

    Args:
      model_dir: of a finished run.
      teachers: that it learned from.
      batches: of its examples, to measure the power of the predictions.
    """
    model = load_model(model_dir)
    encoder = model.get_layer("encoder")
    slices = (slices.reshape(-1, *slices.shape[2:]) for slices, *_ in batches.as_numpy_iterator())
    embeddings = np.concatenate([np.asarray(encoder(part, training=False)) for part in slices])
    heads = {name: keras.ops.convert_to_numpy(_kernel(model, name)) for name in teachers}
    root = metric_root(embeddings, heads)
    last = encoder.get_layer("embedding")
    # The product of the kernel, and of the bias if there is one.
    last.set_weights([weights @ root for weights in last.get_weights()])
    save_model(encoder, model_dir / ENCODER)


def metric_root(embeddings: np.ndarray, heads: dict[str, np.ndarray]) -> np.ndarray:
    """The square root of the metric, `[d, d]`.

    Args:
      embeddings: `[n, d]`.
      heads: by teacher the kernel of its linear layer, `[d, components]`.
    """
    metric = np.zeros((embeddings.shape[1],) * 2)
    for teacher, kernel in heads.items():
        kernel = kernel.astype(np.float64)
        power = (embeddings @ kernel).var(axis=0).mean()
        weight = WEIGHTS.get(task_name(teacher), 1.0)
        metric += weight * kernel @ kernel.T / max(power, 1e-12)
    values, vectors = np.linalg.eigh(metric)
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T


def _kernel(model: keras.Model, teacher: str) -> keras.Variable:
    return model.get_layer(head_name(teacher)).kernel
