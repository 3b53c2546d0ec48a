"""Contrastive: which slice of the batch is of the same clip? Triplet with all negatives at once.

Beyond the papers, whose triplets hold one negative (ICLR section 4, "Models"): here all slices of
other clips in the batch are negatives (Sohn, NIPS 2016; for audio Saeed et al., ICASSP 2021). The
encoder's inputs are two random slices of one clip, `[batch, 2, N, F]`. A softmax over the cosine
similarities to all other slices, divided by a temperature, should select the partner. Slices of
other crops of the same clip count neither as partners nor as negatives.
"""

import keras

from a2v_tf.models import heads
from a2v_tf.tasks.crops import PAIR, Crops
from a2v_tf.tasks.task import Setup, Task


def head(z: keras.KerasTensor, setup: Setup) -> keras.KerasTensor:
    """Scale `[batch, S, d]` so that dot products are cosine similarities / temperature."""
    return heads.over_temperature(z, setup.options.temperature, setup.options.decorrelation)


TASK = Task(
    name="contrastive",
    learning_rate=1e-3,
    loss=heads.partner_loss,
    slices=(PAIR,),
    crop_frames=lambda slicing: slicing.reach,
    targets=Crops.first_of_clip,
    head=head,
    loss_needs_whole_batch=True,
)
