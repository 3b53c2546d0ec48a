"""The Audio2Vec models: an encoder, a decoder, and what joins them (ICLR section 3)."""

import keras
from keras import layers

from a2v_tf.models.decoder import build_decoder
from a2v_tf.models.encoder import EncoderConfig, InputStats, build_encoder


def build_cbow(
    config: EncoderConfig, frames: int, bins: int, context: int, stats: InputStats
) -> keras.Model:
    """Build CBoW: one encoder over the 2P surrounding slices, one decoder for the middle slice.

    Args:
      config: the encoder.
      frames: N, frames of a slice.
      bins: F, mel bins.
      context: P, slices on each side.
      stats: of the training data's log-mel values.

    Returns:
      A model from log-mel `[batch, 2P, N, F]` to the reconstruction `[batch, N, F]`; its layer
      "encoder" is the model that all the rest of the project uses.
    """
    slices = 2 * context
    surrounding = keras.Input((slices, frames, bins), name="surrounding")
    encoder = build_encoder(config, frames, bins, stats)
    decoder = build_decoder(config, slices * config.embedding_dim, frames, bins, 1, stats)
    flat = keras.ops.reshape(surrounding, (-1, frames, bins))
    z = keras.ops.reshape(encoder(flat), (-1, slices * config.embedding_dim))
    middle = layers.Reshape((frames, bins), name="middle")(decoder(z))
    return keras.Model(surrounding, middle, name="cbow")
