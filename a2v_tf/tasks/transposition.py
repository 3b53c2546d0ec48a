"""Transposition: a sound is itself when louder or among others; a few mel bins higher it is not.

Beyond the papers: contrastive learning's answer to what its pairs of distant slices leave out, the
pitch and the vowel of the moment. The encoder hears the middle slice, the same again, and once more
moved by some bins up or down, `[batch, 3, N, F]`; the first two are to find each other among the
moved one and all slices of other clips in the batch. Without `--mix` or `--slice_gain_db`, which
change each of the three by itself, the first two are equal and little is left to learn.
"""

import keras
import tensorflow as tf

from a2v_tf.models import heads
from a2v_tf.slicing import Slicing
from a2v_tf.tasks.crops import Crops
from a2v_tf.tasks.setup import Setup

LEARNING_RATE = 1e-3
LOSS = heads.partner_loss
SLICES = ("middle", "copies")


def crop_frames(slicing: Slicing) -> int:
    """Frames that one example takes from a clip."""
    return slicing.frames


def targets(crops: Crops) -> tf.Tensor:
    """The first crop of the batch that is of the same clip: int32 `[batch, 1]`."""
    return crops.first_of_clip()


def head(z: keras.KerasTensor, setup: Setup) -> keras.KerasTensor:
    """Scale `[batch, 3, d]` so that dot products are cosines over the temperature."""
    return heads.over_temperature(z, setup.temperature, setup.decorrelation)
