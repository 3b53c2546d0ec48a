"""The training model: an encoder shared by all slices of an example, and one head for each task.

ICLR section 3; patent figures 1-3 (one head) and 5 (several heads).
"""

from collections.abc import Callable, Mapping, Sequence

import keras

from a2v_tf.models.augment import Augment, Transpose
from a2v_tf.models.encoder import build_encoder
from a2v_tf.specs import AnyEncoder, InputStats

# From embeddings `[batch, S, d]` to the predictions of a task.
Head = Callable[[keras.KerasTensor], keras.KerasTensor]


def build_model(
    config: AnyEncoder,
    slices: int,
    frames: int,
    bins: int,
    stats: InputStats,
    heads: Mapping[str, tuple[Sequence[int], Head]],
    *,
    noise: float = 0.0,
    transposed: Sequence[int] = (),
    mix: float = 0.0,
    slice_gain_db: float = 0.0,
    log_offset: float = 0.0,
    dropout: float = 0.0,
) -> keras.Model:
    """Build a model that encodes every slice once and applies all heads.

    Args:
      config: shape of the encoder.
      slices: S, slices in an example.
      frames: N, frames of a slice.
      bins: F, mel bins.
      stats: mean and variance of the training data's log-mel values.
      heads: for each task, the indices of the slices that its head takes, and the head.
      noise: standard deviation of the Gaussian noise that is added to the encoder's input during
        training, relative to that of the log-mel values; at most 1.
      transposed: indices of the slices that are shifted by a few mel bins.
      mix: fraction of the slices that are mixed with another sound during training.
      slice_gain_db: largest random change of a slice's level during training, in dB.
      log_offset: what the front end adds to the mel magnitudes; it is not part of the sound.
      dropout: fraction of each embedding that is set to 0 before the heads during training.

    Returns:
      A model from log-mel `[batch, S, N, F]` to a dict of the heads' outputs. Its layer "encoder"
      is the model that is saved, evaluated and exported.
    """
    x = keras.Input((slices, frames, bins), name="slices")
    encoder = build_encoder(config, frames, bins, stats)
    augmented = x
    if transposed:
        augmented = Transpose(transposed, name="transpose")(augmented)
    if mix or slice_gain_db:
        augmented = Augment(mix, slice_gain_db, log_offset, dtype="float32", name="augment")(
            augmented
        )
    flat = keras.ops.reshape(augmented, (-1, frames, bins))
    if noise:
        unit_noise = keras.layers.GaussianNoise(noise, dtype="float32", name="noise")(
            keras.ops.zeros_like(flat)
        )
        scaled = keras.layers.Rescaling(stats.variance**0.5, dtype="float32")(unit_noise)
        flat = keras.layers.Add(dtype="float32", name="noisy")([flat, scaled])
    z = keras.ops.reshape(encoder(flat), (-1, slices, config.embedding_dim))
    if z.dtype != "float32":  # heads that compute in bfloat16 cast it themselves
        z = keras.ops.cast(z, "float32")
    if dropout:
        z = keras.layers.Dropout(dropout, dtype="float32", name="dropout")(z)
    outputs = {
        name: head(keras.ops.take(z, which, axis=1)) for name, (which, head) in heads.items()
    }
    return keras.Model(x, outputs, name="audio2vec")
