"""TFDS builders; importing this package registers them with TFDS."""

import dataclasses

import tensorflow_datasets as tfds

from a2v_tf.data.builders.audioset import Audioset
from a2v_tf.data.builders.bird_audio_detection import BirdAudioDetection
from a2v_tf.data.builders.librispeech_speakers import LibrispeechSpeakers
from a2v_tf.data.builders.musan import Musan
from a2v_tf.data.builders.nsynth import Nsynth
from a2v_tf.data.builders.speech_commands import SpeechCommands
from a2v_tf.data.builders.spoken_language import SpokenLanguage
from a2v_tf.data.builders.tut_urban_2018 import TutUrban2018

# By the name of the package. If TFDS has a data set of the same name, this one is registered with
# the prefix "a2v_".
BUILDERS: dict[str, type[tfds.core.DatasetBuilder]] = {
    "audioset": Audioset,
    "bird_audio_detection": BirdAudioDetection,
    "librispeech_speakers": LibrispeechSpeakers,
    "musan": Musan,
    "nsynth": Nsynth,
    "speech_commands": SpeechCommands,
    "spoken_language": SpokenLanguage,
    "tut_urban_2018": TutUrban2018,
}


@dataclasses.dataclass(frozen=True)
class Labelled:
    """A classification task on a data set.

    Attributes:
      package: the key in `BUILDERS`.
      label: name of the label feature.
    """

    package: str
    label: str = "label"

    @property
    def builder(self) -> type[tfds.core.DatasetBuilder]:
        """The builder of the data set."""
        return BUILDERS[self.package]


# The downstream tasks, and AudioSet's labels, by name.
LABELLED = {
    "audioset": Labelled("audioset", "labels"),
    "bird_audio_detection": Labelled("bird_audio_detection"),
    "librispeech_speakers": Labelled("librispeech_speakers"),
    "musan": Labelled("musan"),
    "nsynth_family": Labelled("nsynth", "family"),
    "nsynth_pitch": Labelled("nsynth", "pitch"),
    "speech_commands": Labelled("speech_commands"),
    "spoken_language": Labelled("spoken_language"),
    "tut_urban_2018": Labelled("tut_urban_2018"),
}
