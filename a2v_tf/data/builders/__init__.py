"""TFDS builders of our own; importing this package registers them with TFDS."""

from a2v_tf.data.builders.audioset.audioset import Audioset

__all__ = ["Audioset"]
