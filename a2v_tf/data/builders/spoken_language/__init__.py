"""Spoken Language Identification as a TFDS data set."""

from a2v_tf.data.builders.spoken_language.spoken_language import SpokenLanguage

__all__ = ["SpokenLanguage"]
