"""NSynth as a TFDS data set."""

from a2v_tf.data.builders.nsynth.nsynth import Nsynth

__all__ = ["Nsynth"]
