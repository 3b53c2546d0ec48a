"""TripletLoss: slices of one clip should be closer than slices of two.

ICLR section 4 ("Models"), after Jansen et al. 2018. The encoder hears an anchor and a positive,
two slices at random of one clip, and a negative, a slice of another clip of the batch,
`[batch, 3, N, F]`. The loss is max(0, |a - p|² - |a - n|² + margin) over the margin, of embeddings
scaled to length 1; an example whose batch holds no other clip has weight 0.
"""

import keras
import tensorflow as tf

from a2v_tf.models import heads
from a2v_tf.specs import Slicing
from a2v_tf.tasks.crops import Crops
from a2v_tf.tasks.setup import Setup

LEARNING_RATE = 1e-4  # ICLR section 4, "Models"
LOSS = "hinge"
SLICES = ("pair", "other")


def crop_frames(slicing: Slicing) -> int:
    """Frames that one example takes from a clip."""
    return slicing.reach


def targets(crops: Crops) -> tf.Tensor:
    """1, `[batch, 1]`: the negative is to be at least the margin further away."""
    return tf.ones([tf.shape(crops.log_mel)[0], 1])


def weights(crops: Crops) -> tf.Tensor:
    """0 for examples without a negative, else 1, `[batch]`."""
    return crops.has_other()


def head(z: keras.KerasTensor, setup: Setup) -> keras.KerasTensor:
    """How much further the negative is, in margins, from `[batch, 3, d]`."""
    return heads.triplet_margin(z, setup.margin)
