"""TemporalGap: how far apart in time are two slices of one clip?

ICLR section 3 ("Temporal gap"), patent paragraphs 51-54 and figure 3. The encoder's inputs are X_i
and X_j, `[batch, 2, N, F]`, in random order; the target is |i - j| / (N_max - N) in [0, 1],
`[batch, 1]`, and |i - j| is uniform.
"""

import keras

from a2v_tf.models import heads
from a2v_tf.tasks.crops import PAIR, Crops
from a2v_tf.tasks.task import Setup, Task


def head(z: keras.KerasTensor, setup: Setup) -> keras.KerasTensor:
    """Estimate the normalised gap from `[batch, 2, d]`."""
    del setup
    return heads.probability(z, "temporal_gap")


TASK = Task(
    name="temporal_gap",
    learning_rate=1e-4,  # ICLR section 4, "Models"
    loss="binary_crossentropy",  # ICLR section 3 prefers it: small gaps weigh more
    slices=(PAIR,),
    crop_frames=lambda slicing: slicing.reach,
    targets=Crops.gap,
    head=head,
)
