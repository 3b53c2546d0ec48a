"""Bird Audio Detection as a TFDS data set."""

from a2v_tf.data.builders.bird_audio_detection.bird_audio_detection import BirdAudioDetection

__all__ = ["BirdAudioDetection"]
