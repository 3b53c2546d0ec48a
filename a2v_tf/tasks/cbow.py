"""Audio2Vec, continuous bag of words: 2P slices around a hole predict the slice in it.

ICLR section 3 ("Audio2Vec (CBoW)"), patent paragraphs 41-45 and figure 1. The encoder hears
X_(-P)..X_(-1), X_(1)..X_(P), `[batch, 2P, N, F]`; the target is X_(0), `[batch, 1, N, F]`.
"""

import keras
import tensorflow as tf

from a2v_tf.models import heads
from a2v_tf.specs import Slicing
from a2v_tf.tasks.crops import Crops
from a2v_tf.tasks.setup import Setup

LEARNING_RATE = 1e-3  # ICLR section 4, "Models"
LOSS = "mean_squared_error"
SLICES = ("surrounding",)


def crop_frames(slicing: Slicing) -> int:
    """Frames that one example takes from a clip."""
    return slicing.span


def targets(crops: Crops) -> tf.Tensor:
    """X_(0), `[batch, 1, N, F]`."""
    return crops.middle()


def head(z: keras.KerasTensor, setup: Setup) -> keras.KerasTensor:
    """Reconstruct the middle slice from `[batch, 2P, d]`."""
    size = setup.slicing.frames, setup.bins
    return heads.reconstruct(z, "cbow", setup.config, *size, 1, setup.stats)
