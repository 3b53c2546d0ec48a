"""Audio2Vec, continuous bag of words: the 2P slices around a gap predict the slice in it.

ICLR section 3 ("Audio2Vec (CBoW)"), patent paragraphs 41-45 and figure 1. The encoder's inputs are
X_(-P)..X_(-1), X_(1)..X_(P), `[batch, 2P, N, F]`; the target is X_(0), `[batch, 1, N, F]`.
"""

import keras

from a2v_tf.models import heads
from a2v_tf.tasks.crops import SURROUNDING, Crops
from a2v_tf.tasks.task import Setup, Task


def head(z: keras.KerasTensor, setup: Setup) -> keras.KerasTensor:
    """Reconstruct the middle slice from `[batch, 2P, d]`."""
    size = setup.slicing.frames, setup.bins
    dense = setup.options.slice_decoder == "dense"
    return heads.reconstruct(z, "cbow", setup.config, *size, 1, setup.stats, dense=dense)


TASK = Task(
    name="cbow",
    learning_rate=1e-3,  # ICLR section 4, "Models"
    loss="mean_squared_error",
    slices=(SURROUNDING,),
    crop_frames=lambda slicing: slicing.span,
    targets=Crops.middle,
    head=head,
    reconstructs=True,
)
