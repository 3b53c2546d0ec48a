"""Audio2Vec, skip-gram: the slice in the middle predicts the 2P slices around it.

ICLR section 3 ("Audio2Vec (skip-gram)"), patent paragraphs 46-50 and figure 2. The encoder's input
is X_(0), `[batch, 1, N, F]`; the targets are X_(-P)..X_(-1), X_(1)..X_(P), `[batch, 2P, N, F]`, and
the loss is the average of the mean squared errors of the 2P slices.
"""

import keras

from a2v_tf.models import heads
from a2v_tf.tasks.crops import MIDDLE, Crops
from a2v_tf.tasks.task import Setup, Task


def head(z: keras.KerasTensor, setup: Setup) -> keras.KerasTensor:
    """Reconstruct the surrounding slices from `[batch, 1, d]`: 2P channels of one decoder."""
    size = setup.slicing.frames, setup.bins
    outputs = len(setup.slicing.sides)
    dense = setup.options.slice_decoder == "dense"
    return heads.reconstruct(z, "skip_gram", setup.config, *size, outputs, setup.stats, dense=dense)


TASK = Task(
    name="skip_gram",
    learning_rate=1e-3,  # ICLR section 4, "Models"
    loss="mean_squared_error",
    slices=(MIDDLE,),
    crop_frames=lambda slicing: slicing.span,
    targets=Crops.surrounding,
    head=head,
    reconstructs=True,
)
