"""TemporalGap: how far apart in time are two slices of one clip?

ICLR section 3 ("Temporal gap"), patent paragraphs 51-54 and figure 3. The encoder hears X_i and
X_j, `[batch, 2, N, F]`, in no particular order; the target is |i - j| / (N_max - N) in [0, 1],
`[batch, 1]`, and |i - j| is uniform.
"""

import keras
import tensorflow as tf

from a2v_tf.models import heads
from a2v_tf.specs import Slicing
from a2v_tf.tasks.crops import Crops
from a2v_tf.tasks.setup import Setup

LEARNING_RATE = 1e-4  # ICLR section 4, "Models"
LOSS = "binary_crossentropy"  # which the paper prefers: small gaps weigh more
SLICES = ("pair",)


def crop_frames(slicing: Slicing) -> int:
    """Frames that one example takes from a clip."""
    return slicing.reach


def targets(crops: Crops) -> tf.Tensor:
    """The normalised gap, `[batch, 1]`."""
    return crops.gap()


def head(z: keras.KerasTensor, setup: Setup) -> keras.KerasTensor:
    """Estimate the normalised gap from `[batch, 2, d]`."""
    del setup
    return heads.probability(z, "temporal_gap")
