"""Heads of the tasks: from embeddings `[batch, S, d]` to predictions (ICLR section 3)."""

from typing import Any

import keras
from keras import layers

from a2v_tf.models.decoder import build_decoder
from a2v_tf.specs import AnyEncoder, InputStats

HIDDEN = 64  # units of TemporalGap's hidden layer


def reconstruct(
    z: keras.KerasTensor,
    name: str,
    config: AnyEncoder,
    frames: int,
    bins: int,
    outputs: int,
    stats: InputStats,
    *,
    dense: bool = False,
) -> keras.KerasTensor:
    """Decode the concatenated embeddings to log-mel slices `[batch, outputs, frames, bins]`.

    Args:
      z: embeddings `[batch, S, d]`.
      name: prefix of the decoder's name.
      config: shape of the encoder.
      frames: N, frames of a slice.
      bins: F, mel bins.
      outputs: number of slices to reconstruct.
      stats: the encoder's input statistics.
      dense: see `build_decoder`.
    """
    size = z.shape[1] * z.shape[2]
    decoder = build_decoder(
        config, size, frames, bins, outputs, stats, dense=dense, name=f"{name}_decoder"
    )
    return decoder(layers.Reshape((size,))(z))


def probability(z: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Predict a number in [0, 1], `[batch, 1]`, from the concatenated embeddings `[batch, S, d]`.

    The head has one hidden layer of `HIDDEN` units.
    """
    x = layers.Flatten()(z)
    x = layers.Dense(HIDDEN, activation="relu", name=f"{name}_hidden")(x)
    return layers.Dense(1, activation="sigmoid", name=f"{name}_output")(x)


def triplet_margin(z: keras.KerasTensor, margin: float) -> keras.KerasTensor:
    """Compute (|a - n|² - |a - p|²) / margin, `[batch, 1]`.

    The hinge loss of this output with target 1 is the triplet loss
    max(0, |a - p|² - |a - n|² + margin), divided by the margin. Embeddings are normalised to unit
    length first; otherwise long embeddings alone would satisfy any margin.

    Args:
      z: embeddings of the anchor a, the positive p and the negative n, `[batch, 3, d]`.
      margin: margin of the squared Euclidean distances.
    """
    z = layers.UnitNormalization()(z)
    anchor, positive, negative = (z[:, i] for i in range(3))
    to_positive = keras.ops.sum(keras.ops.square(anchor - positive), axis=-1, keepdims=True)
    to_negative = keras.ops.sum(keras.ops.square(anchor - negative), axis=-1, keepdims=True)
    return (to_negative - to_positive) / margin


def over_temperature(
    z: keras.KerasTensor, temperature: float, decorrelation: float = 0.0
) -> keras.KerasTensor:
    """Scale embeddings `[batch, S, d]`: dot products become cosine similarities / temperature.

    Args:
      z: the embeddings.
      temperature: temperature of the softmax in `partner_loss`.
      decorrelation: weight of the loss of `Decorrelate`; 0 for none.
    """
    if decorrelation:
        z = Decorrelate(decorrelation)(z)
    return layers.UnitNormalization()(z) / temperature**0.5


@keras.saving.register_keras_serializable("a2v_tf")
def partner_loss(clip: keras.KerasTensor, z: keras.KerasTensor) -> keras.KerasTensor:
    """Contrastive loss: the cross-entropy of identifying a slice's partner in the batch.

    The candidates are the partner, the decoys of the same crop, and all slices of other clips.

    Args:
      clip: `[batch, 1]`, equal for crops of the same clip. Slices of other crops of the same clip
        are not candidates.
      z: embeddings `[batch, S, d]` scaled by `over_temperature`: the two partners of each crop,
        then S - 2 decoys.

    Returns:
      The mean over the two partners, `[batch]`.
    """
    ops = keras.ops
    count = z.shape[1]
    pair = ops.reshape(z[:, :2], (-1, z.shape[-1]))
    z = ops.reshape(z, (-1, z.shape[-1]))
    scores = ops.matmul(pair, ops.transpose(z))  # [2 batch, S batch]
    here, there = ops.arange(ops.shape(pair)[0]), ops.arange(ops.shape(z)[0])
    crop, other_crop = here // 2, there // count
    slot, other_slot = here % 2, there % count
    clip = ops.reshape(clip, (-1,))
    other_clip = ops.take(clip, crop)[:, None] != ops.take(clip, other_crop)[None, :]
    same_crop = crop[:, None] == other_crop[None, :]
    is_partner = ops.logical_and(same_crop, 1 - slot[:, None] == other_slot[None, :])
    is_decoy = ops.logical_and(same_crop, other_slot[None, :] >= 2)
    is_choice = ops.logical_or(ops.logical_or(is_partner, is_decoy), other_clip)
    of_all = ops.logsumexp(ops.where(is_choice, scores, -1e9), axis=1)
    of_partner = ops.sum(ops.where(is_partner, scores, 0.0), axis=1)
    return ops.mean(ops.reshape(of_all - of_partner, (-1, 2)), axis=1)


@keras.saving.register_keras_serializable("a2v_tf")
class Decorrelate(layers.Layer):
    """Identity layer with a loss that penalises correlated dimensions.

    The loss is the sum of a dimension's squared correlations with all others, averaged over the d
    dimensions and computed from the first two slices of each example. Independent dimensions give
    about (d - 1) / (2 batch). This is the redundancy term of Barlow Twins (Zbontar et al., ICML
    2021) within one batch of embeddings.

    Args:
      weight: weight of this loss.

    Inputs and outputs are embeddings `[batch, S, d]`.
    """

    def __init__(self, weight: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.weight = weight

    def call(self, z: keras.KerasTensor) -> keras.KerasTensor:
        """Add the loss and return the input."""
        ops = keras.ops
        rows = ops.reshape(z[:, :2], (-1, z.shape[-1]))
        rows = rows - ops.mean(rows, axis=0)
        rows = rows / (ops.std(rows, axis=0) + 1e-4)
        count = ops.cast(ops.shape(rows)[0], rows.dtype)
        correlations = ops.matmul(ops.transpose(rows), rows) / count
        others = ops.sum(ops.square(correlations)) - ops.sum(ops.square(ops.diag(correlations)))
        self.add_loss(self.weight * others / z.shape[-1])
        return z

    def get_config(self) -> dict:
        """The layer's configuration, for saving."""
        return {**super().get_config(), "weight": self.weight}


@keras.saving.register_keras_serializable("a2v_tf")
class Variational(layers.Layer):
    """Sampling layer of a variational autoencoder; the embedding is the posterior's mean.

    Args:
      kl_weight: weight of the Kullback-Leibler divergence from N(0, 1) in the loss.

    Inputs are the mean and the logarithm of the variance, both `[batch, ...]`. The output is a
    sample in training and the mean otherwise.
    """

    def __init__(self, kl_weight: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.kl_weight = kl_weight
        self.seed_generator = keras.random.SeedGenerator()

    def call(
        self, mean: keras.KerasTensor, log_variance: keras.KerasTensor, training: bool = False
    ) -> keras.KerasTensor:
        """Add the divergence to the loss, and sample in training."""
        ops = keras.ops
        divergence = 0.5 * (ops.square(mean) + ops.exp(log_variance) - 1.0 - log_variance)
        per_example = ops.sum(divergence, axis=tuple(range(1, len(mean.shape))))
        self.add_loss(self.kl_weight * ops.mean(per_example))
        if not training:
            return mean
        noise = keras.random.normal(ops.shape(mean), seed=self.seed_generator)
        return mean + ops.exp(0.5 * log_variance) * noise

    def get_config(self) -> dict:
        """The layer's configuration, for saving."""
        return {**super().get_config(), "kl_weight": self.kl_weight}
