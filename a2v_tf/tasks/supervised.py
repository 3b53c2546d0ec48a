"""Supervised: learn from labels, end to end; the upper bound that the papers compare with.

ICLR section 4: Supervised is one labelled data set, MultiHead several that share the encoder; SPL
section IV: AudioSet's labels. The encoder's inputs are crops of N frames, `[batch, N, F]`. For each
data set the target is a class, int32 `[batch]`, or several, multi-hot `[batch, classes]`, and the
weights of the crops of other data sets are 0.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import keras

from a2v_tf.models.classifier import build_classifier
from a2v_tf.models.encoder import build_encoder
from a2v_tf.models.precision import precision
from a2v_tf.tasks.task import Setup

if TYPE_CHECKING:
    from a2v_tf.data.labelled import LabelledData

LEARNING_RATE = 1e-3  # ICLR section 4, "Models"
MULTI_LABEL_LEARNING_RATE = 1e-4  # SPL section IV, for AudioSet


def learning_rate(datasets: "Sequence[LabelledData]") -> float:
    """The papers' learning rate."""
    multi_label = any(data.multi_label for data in datasets)
    return MULTI_LABEL_LEARNING_RATE if multi_label else LEARNING_RATE


def build(datasets: "Sequence[LabelledData]", setup: Setup) -> keras.Model:
    """Build the model to train; its layer "encoder" is what later commands use."""
    encoder = build_encoder(setup.config, setup.slicing.frames, setup.bins, setup.stats)
    with precision("float32"):
        classes = {data.name: len(data.classes) for data in datasets}
        return build_classifier(encoder, classes, dropout=setup.options.dropout)


def losses(datasets: "Sequence[LabelledData]") -> Mapping[str, dict]:
    """The losses and metrics, as `keras.Model.compile` takes them.

    The weights of 0 leave the crops of other data sets out of a loss, and Keras divides it by the
    whole batch: so the sum of the losses is the mean over the batch.
    """
    one_label = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    many_labels = keras.losses.BinaryCrossentropy(from_logits=True)
    return {
        "loss": {data.name: many_labels if data.multi_label else one_label for data in datasets},
        "weighted_metrics": {
            data.name: [] if data.multi_label else ["accuracy"] for data in datasets
        },
    }
