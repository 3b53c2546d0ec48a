"""ArrowOfTime: is a slice played forwards or backwards?

SPL section IV ("Encoder pre-training"), the audio equivalent of Wei et al. 2018. The encoder's
input is a slice whose frames are in reverse order half of the time, `[batch, 1, N, F]`; the target
is 1 for backwards, else 0, `[batch, 1]`.
"""

import keras

from a2v_tf.models import heads
from a2v_tf.tasks.crops import MAYBE_BACKWARDS, Crops
from a2v_tf.tasks.task import Setup, Task


def head(z: keras.KerasTensor, setup: Setup) -> keras.KerasTensor:
    """The probability of backwards, from `[batch, 1, d]`."""
    del setup
    return heads.probability(z, "arrow_of_time")


TASK = Task(
    name="arrow_of_time",
    learning_rate=1e-4,  # SPL section IV, "Encoder pre-training"
    loss="binary_crossentropy",
    slices=(MAYBE_BACKWARDS,),
    crop_frames=lambda slicing: slicing.frames,
    targets=Crops.backwards,
    head=head,
)
