"""Audio2Vec, continuous bag of words: 2P slices around a hole predict the slice in it.

ICLR section 3 ("Audio2Vec (CBoW)"), patent paragraphs 41-45 and figure 1.
"""

import keras
import tensorflow as tf

from a2v_tf.models import audio2vec
from a2v_tf.models.encoder import EncoderConfig, InputStats
from a2v_tf.slicing import ContextSlicing, surrounding_slices

LEARNING_RATE = 1e-3  # ICLR section 4, "Models"
LOSS = "mean_squared_error"


def crop_frames(slicing: ContextSlicing) -> int:
    """Frames that one example takes from a clip."""
    return slicing.span


def examples(log_mel: tf.Tensor, slicing: ContextSlicing) -> tuple[tf.Tensor, tf.Tensor]:
    """Turn crops `[batch, span, F]` into inputs `[batch, 2P, N, F]` and targets `[batch, N, F]`."""
    return surrounding_slices(log_mel, slicing)


def build(
    config: EncoderConfig, slicing: ContextSlicing, bins: int, stats: InputStats
) -> keras.Model:
    """Build the model to train; its layer "encoder" is what is kept."""
    return audio2vec.build_cbow(config, slicing.frames, bins, slicing.context, stats)
