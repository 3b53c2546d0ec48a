"""MUSAN as a TFDS data set."""

from a2v_tf.data.builders.musan.musan import Musan

__all__ = ["Musan"]
