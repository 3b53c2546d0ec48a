"""AudioSet as a TFDS data set."""

from a2v_tf.data.builders.audioset.audioset import Audioset

__all__ = ["Audioset"]
