"""Speech Commands v0.02 (Warden, arXiv 1804.03209, 2018), all 35 words."""

import pathlib
from collections.abc import Iterator, Sequence

import tensorflow_datasets as tfds

from a2v_tf.data.builders import base

WORDS = (
    *("backward", "bed", "bird", "cat", "dog", "down", "eight", "five", "follow", "forward"),
    *("four", "go", "happy", "house", "learn", "left", "marvin", "nine", "no", "off", "on", "one"),
    *("right", "seven", "sheila", "six", "stop", "three", "tree", "two", "up", "visual", "wow"),
    *("yes", "zero"),
)

_LISTS = {"validation": "validation_list.txt", "test": "testing_list.txt"}


class SpeechCommands(base.LabelledBuilder):
    """One of 35 words, spoken by one of 2,618 people, in up to one second.

    Validation and test are the official lists, validation_list.txt and testing_list.txt; the rest
    is train. No speaker is in two splits. The background noise is not used. TFDS's own
    `speech_commands` has 12 classes: ten words, silence, and all other words in one class.
    """

    name = "a2v_speech_commands"
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    speech_commands_v0.02.tar.gz, or its content: validation_list.txt, testing_list.txt and
    WORD/SPEAKER_nohash_N.wav.
    """
    URLS = ("http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz",)
    HOMEPAGE = "https://arxiv.org/abs/1804.03209"

    def labels(self) -> dict[str, tfds.features.ClassLabel]:
        """One of 35 words."""
        return {"label": tfds.features.ClassLabel(names=WORDS)}

    def find(self, files: Sequence[pathlib.Path]) -> Iterator[tuple[str, base.ClipFile]]:
        """Split by the official lists."""
        listed = {
            name: split
            for split, list_name in _LISTS.items()
            for name in base.only_file(files, list_name).read_text().split()
        }
        for path in files:
            word = path.parent.name
            if path.suffix == ".wav" and word in WORDS:
                split = listed.get(f"{word}/{path.name}", "train")
                yield split, base.ClipFile(f"{word}/{path.stem}", path, {"label": word})
