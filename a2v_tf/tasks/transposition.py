"""Transposition: a sound stays itself when louder or mixed, but not a few mel bins higher.

Beyond the papers: pairs of distant slices teach a contrastive encoder to ignore what changes within
a clip, such as pitch and vowels. Here the encoder's inputs are the middle slice, the same slice
again, and the slice shifted by some bins up or down, `[batch, 3, N, F]`; the first two should
select each other among the shifted one and all slices of other clips in the batch. Without `--mix`
or `--slice_gain_db`, which change each of the three independently, the first two are equal and
little is left to learn.
"""

import dataclasses

from a2v_tf.tasks import contrastive
from a2v_tf.tasks.crops import COPIES, MIDDLE

TASK = dataclasses.replace(
    contrastive.TASK,
    name="transposition",
    slices=(MIDDLE, COPIES),
    crop_frames=lambda slicing: slicing.frames,
)
