"""One encoder over the slices of an example, and heads that each solve a task with the embeddings.

ICLR section 3; patent figures 1-3 (one head) and 5 (several).
"""

from collections.abc import Callable, Mapping, Sequence

import keras

from a2v_tf.models.augment import Augment, Transpose
from a2v_tf.models.encoder import build_encoder
from a2v_tf.specs import EncoderConfig, InputStats

# From embeddings `[batch, S, d]` to what is compared with the task's targets.
Head = Callable[[keras.KerasTensor], keras.KerasTensor]


def build_model(
    config: EncoderConfig,
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
) -> keras.Model:
    """Build a model in which every slice goes through the encoder once.

    Args:
      config: the encoder.
      slices: S, slices in an example.
      frames: N, frames of a slice.
      bins: F, mel bins.
      stats: of the training data's log-mel values.
      heads: for each task which of the S slices its head gets, and the head.
      noise: standard deviation of Gaussian noise that is added to what the encoder hears while
        training, in standard deviations of the log-mel values, at most 1.
      transposed: which of the S slices are heard some bins higher or lower.
      mix: the fraction of slices that are heard with another sound behind them while training.
      slice_gain_db: how much louder or softer each slice is heard while training, at most.

    Returns:
      A model from log-mel `[batch, S, N, F]` to a dict with the output of each head; its layer
      "encoder" is the model that all the rest of the project uses.
    """
    x = keras.Input((slices, frames, bins), name="slices")
    encoder = build_encoder(config, frames, bins, stats)
    heard = x
    if transposed:
        heard = Transpose(transposed, name="transpose")(heard)
    if mix or slice_gain_db:
        heard = Augment(mix, slice_gain_db, dtype="float32", name="augment")(heard)
    flat = keras.ops.reshape(heard, (-1, frames, bins))
    if noise:
        unit_noise = keras.layers.GaussianNoise(noise, dtype="float32", name="noise")(
            keras.ops.zeros_like(flat)
        )
        scaled = keras.layers.Rescaling(stats.variance**0.5, dtype="float32")(unit_noise)
        flat = keras.layers.Add(dtype="float32", name="noisy")([flat, scaled])
    z = keras.ops.reshape(encoder(flat), (-1, slices, config.embedding_dim))
    if z.dtype != "float32":  # heads that want it less exact cast it themselves
        z = keras.ops.cast(z, "float32")
    outputs = {
        name: head(keras.ops.take(z, which, axis=1)) for name, (which, head) in heads.items()
    }
    return keras.Model(x, outputs, name="audio2vec")
