"""TripletLoss: slices of one clip should be closer than slices of two clips.

ICLR section 4 ("Models"), after Jansen et al. 2018. The encoder's inputs are an anchor and a
positive, two random slices of one clip, and a negative, a slice of another clip of the batch,
`[batch, 3, N, F]`. The loss is max(0, |a - p|² - |a - n|² + margin) / margin on embeddings scaled
to unit length; an example whose batch holds no other clip has weight 0.
"""

import keras
import tensorflow as tf

from a2v_tf.models import heads
from a2v_tf.tasks.crops import OTHER, PAIR, Crops
from a2v_tf.tasks.task import Setup, Task


def targets(crops: Crops) -> tf.Tensor:
    """1, `[batch, 1]`: the negative should be at least the margin further away."""
    return tf.ones([tf.shape(crops.log_mel)[0], 1])


def head(z: keras.KerasTensor, setup: Setup) -> keras.KerasTensor:
    """How much further away the negative is, in margins, from `[batch, 3, d]`."""
    return heads.triplet_margin(z, setup.options.margin)


TASK = Task(
    name="triplet",
    learning_rate=1e-4,  # ICLR section 4, "Models"
    loss="hinge",
    slices=(PAIR, OTHER),
    crop_frames=lambda slicing: slicing.reach,
    targets=targets,
    head=head,
    weights=Crops.has_other,
)
