"""An encoder with a linear head for each labelled data set (ICLR section 4, Supervised)."""

from collections.abc import Mapping

import keras
from keras import layers


def build_classifier(
    encoder: keras.Model,
    heads: Mapping[str, int],
    hidden: int | None = None,
    *,
    dropout: float = 0.0,
) -> keras.Model:
    """Build a model for supervised end-to-end training.

    Args:
      encoder: a model from log-mel `[batch, N, F]` to embeddings `[batch, d]`.
      heads: number of classes of each data set.
      hidden: units of a hidden layer with ReLU in each head (ICLR Table 5); None for linear heads.
      dropout: fraction of each embedding that is set to 0 before the heads during training.

    Returns:
      A model from log-mel `[batch, N, F]` to a dict of logits `[batch, classes]`.
    """
    x = keras.Input(encoder.input_shape[1:], name="log_mel")
    z = encoder(x)
    if dropout:
        z = layers.Dropout(dropout, name="dropout")(z)
    outputs = {}
    for name, classes in heads.items():
        y = layers.Dense(hidden, activation="relu", name=f"{name}_hidden")(z) if hidden else z
        outputs[name] = layers.Dense(classes, name=name)(y)
    return keras.Model(x, outputs, name="classifier")
