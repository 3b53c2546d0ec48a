"""ArrowOfTime: is a slice played forwards or backwards?

SPL section IV ("Encoder pre-training"), the audio equivalent of Wei et al. 2018. The encoder hears
a slice whose frames are in reverse order half of the time, `[batch, 1, N, F]`; the target is 1 for
backwards, else 0, `[batch, 1]`.
"""

import keras
import tensorflow as tf

from a2v_tf.models import heads
from a2v_tf.specs import Slicing
from a2v_tf.tasks.crops import Crops
from a2v_tf.tasks.setup import Setup

LEARNING_RATE = 1e-4  # SPL section IV, "Encoder pre-training"
LOSS = "binary_crossentropy"
SLICES = ("maybe_backwards",)


def crop_frames(slicing: Slicing) -> int:
    """Frames that one example takes from a clip."""
    return slicing.frames


def targets(crops: Crops) -> tf.Tensor:
    """1 where the slice runs backwards, `[batch, 1]`."""
    return crops.backwards()


def head(z: keras.KerasTensor, setup: Setup) -> keras.KerasTensor:
    """The probability of backwards, from `[batch, 1, d]`."""
    del setup
    return heads.probability(z, "arrow_of_time")
