"""Transposition: a sound is itself when louder or among others; a few mel bins higher it is not.

Beyond the papers: contrastive learning's answer to what its pairs of distant slices leave out, the
pitch and the vowel of the moment. The encoder hears the middle slice, the same again, and once more
moved by some bins up or down, `[batch, 3, N, F]`; the first two are to find each other among the
moved one and all slices of other clips in the batch. Without `--mix` or `--slice_gain_db`, which
change each of the three by itself, the first two are equal and little is left to learn.
"""

from a2v_tf.specs import Slicing
from a2v_tf.tasks import contrastive

LEARNING_RATE = contrastive.LEARNING_RATE
LOSS = contrastive.LOSS
SLICES = ("middle", "copies")


def crop_frames(slicing: Slicing) -> int:
    """Frames that one example takes from a clip."""
    return slicing.frames


targets = contrastive.targets
head = contrastive.head
