"""The heads of the tasks: from embeddings `[batch, S, d]` to their outputs (ICLR section 3)."""

import keras
from keras import layers

from a2v_tf.models.decoder import build_decoder
from a2v_tf.specs import EncoderConfig, InputStats

HIDDEN = 64  # units of TemporalGap's hidden layer


def reconstruct(
    z: keras.KerasTensor,
    name: str,
    config: EncoderConfig,
    frames: int,
    bins: int,
    outputs: int,
    stats: InputStats,
) -> keras.KerasTensor:
    """Decode the concatenated embeddings to log-mel slices `[batch, outputs, frames, bins]`."""
    size = z.shape[1] * z.shape[2]
    decoder = build_decoder(config, size, frames, bins, outputs, stats, name=f"{name}_decoder")
    return decoder(layers.Reshape((size,))(z))


def probability(z: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """One number in [0, 1], `[batch, 1]`, from the concatenated embeddings by one hidden layer."""
    x = layers.Flatten()(z)
    x = layers.Dense(HIDDEN, activation="relu", name=f"{name}_hidden")(x)
    return layers.Dense(1, activation="sigmoid", name=f"{name}_output")(x)


def triplet_margin(z: keras.KerasTensor, margin: float) -> keras.KerasTensor:
    """How much closer the anchor is to the positive than to the negative, `[batch, 1]`.

    Args:
      z: embeddings of anchor, positive and negative, `[batch, 3, d]`.
      margin: the distance that counts as 1, so that the hinge loss with target 1 is the triplet
        loss max(0, |a - p|² - |a - n|² + margin), over the margin.

    Squared Euclidean distances are between embeddings of length 1: otherwise a longer embedding
    alone would satisfy any margin.
    """
    z = layers.UnitNormalization()(z)
    anchor, positive, negative = (z[:, i] for i in range(3))
    to_positive = keras.ops.sum(keras.ops.square(anchor - positive), axis=-1, keepdims=True)
    to_negative = keras.ops.sum(keras.ops.square(anchor - negative), axis=-1, keepdims=True)
    return (to_negative - to_positive) / margin


def over_temperature(
    z: keras.KerasTensor, temperature: float, decorrelation: float = 0.0
) -> keras.KerasTensor:
    """Embeddings `[batch, S, d]` scaled so that their dot products are cosines over temperature.

    With a `decorrelation`, the loss grows with what their dimensions have in common.
    """
    if decorrelation:
        z = Decorrelate(decorrelation)(z)
    return layers.UnitNormalization()(z) / temperature**0.5


@keras.saving.register_keras_serializable("a2v_tf")
def partner_loss(clip: keras.KerasTensor, z: keras.KerasTensor) -> keras.KerasTensor:
    """Cross-entropy of finding each slice's partner among all other slices of the batch.

    Args:
      clip: `[batch, 1]`, equal for crops of the same clip. Slices of other crops of the same clip
        are left out of the choice.
      z: `[batch, S, d]`, scaled by `over_temperature`: the two slices of each crop, then decoys,
        among which the two must choose too.

    Returns:
      The mean over the two slices, `[batch]`.
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
    """Passes embeddings on, and adds to the loss how much their dimensions say the same.

    That is the mean over the d dimensions of the sum of squared correlations with the others, over
    the first two slices of a batch: about (d - 1) / (2 batch) where there is nothing in common
    (the redundancy of Barlow Twins, Zbontar et al., ICML 2021, within one batch of embeddings).

    Args:
      weight: of it in the training loss.

    Inputs and outputs are embeddings `[batch, S, d]`.
    """

    def __init__(self, weight: float, **kwargs):
        super().__init__(**kwargs)
        self.weight = weight

    def call(self, z: keras.KerasTensor) -> keras.KerasTensor:
        """Add to the loss."""
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
        """What saving needs to make the layer again."""
        return {**super().get_config(), "weight": self.weight}


@keras.saving.register_keras_serializable("a2v_tf")
class Variational(layers.Layer):
    """A sample from the posterior of a variational autoencoder, whose mean is the embedding.

    Args:
      kl_weight: of the Kullback-Leibler divergence from N(0, 1) in the training loss.

    Inputs are the mean and the logarithm of the variance, both `[batch, ...]`; the output is a
    sample while training, else the mean.
    """

    def __init__(self, kl_weight: float, **kwargs):
        super().__init__(**kwargs)
        self.kl_weight = kl_weight
        self.seed_generator = keras.random.SeedGenerator()

    def call(
        self, mean: keras.KerasTensor, log_variance: keras.KerasTensor, training: bool = False
    ) -> keras.KerasTensor:
        """Sample, and add the divergence to the loss."""
        ops = keras.ops
        divergence = 0.5 * (ops.square(mean) + ops.exp(log_variance) - 1.0 - log_variance)
        per_example = ops.sum(divergence, axis=tuple(range(1, len(mean.shape))))
        self.add_loss(self.kl_weight * ops.mean(per_example))
        if not training:
            return mean
        noise = keras.random.normal(ops.shape(mean), seed=self.seed_generator)
        return mean + ops.exp(0.5 * log_variance) * noise

    def get_config(self) -> dict:
        """What saving needs to make the layer again."""
        return {**super().get_config(), "kl_weight": self.kl_weight}
