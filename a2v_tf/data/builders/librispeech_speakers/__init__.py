"""The speakers of LibriSpeech train-clean-100 as a TFDS data set."""

from a2v_tf.data.builders.librispeech_speakers.librispeech_speakers import LibrispeechSpeakers

__all__ = ["LibrispeechSpeakers"]
