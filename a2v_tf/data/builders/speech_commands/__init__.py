"""Speech Commands v0.02 as a TFDS data set."""

from a2v_tf.data.builders.speech_commands.speech_commands import SpeechCommands

__all__ = ["SpeechCommands"]
