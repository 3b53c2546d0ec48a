"""Contrastive: which slice of the batch is of the same clip? Triplet with all negatives at once.

Beyond the papers, whose triplets hold one negative (ICLR section 4, "Models"): here all slices of
other clips in the batch are negatives (Sohn, NIPS 2016; for audio Saeed et al., ICASSP 2021). The
encoder hears two slices at random of one clip, `[batch, 2, N, F]`; of the cosine similarities of
each to all other slices, over a temperature, the softmax is to choose its partner. Other crops of
the same clip, should the batch hold some, are neither.
"""

import keras
import tensorflow as tf

from a2v_tf.models import heads
from a2v_tf.specs import Slicing
from a2v_tf.tasks.crops import Crops
from a2v_tf.tasks.setup import Setup

LEARNING_RATE = 1e-3
LOSS = heads.partner_loss
SLICES = ("pair",)


def crop_frames(slicing: Slicing) -> int:
    """Frames that one example takes from a clip."""
    return slicing.reach


def targets(crops: Crops) -> tf.Tensor:
    """The first crop of the batch that is of the same clip: int32 `[batch, 1]`."""
    return crops.first_of_clip()


def head(z: keras.KerasTensor, setup: Setup) -> keras.KerasTensor:
    """Scale `[batch, 2, d]`, more with decoys, so that dot products are cosines / temperature."""
    return heads.over_temperature(z, setup.temperature, setup.decorrelation)
