"""TUT Urban Acoustic Scenes 2018 as a TFDS data set."""

from a2v_tf.data.builders.tut_urban_2018.tut_urban_2018 import TutUrban2018

__all__ = ["TutUrban2018"]
