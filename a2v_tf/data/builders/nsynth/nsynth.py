"""NSynth (Engel et al., ICML 2017): musical notes with pitch and instrument family."""

import json
import pathlib
from collections.abc import Iterator, Sequence

import tensorflow_datasets as tfds

from a2v_tf.data.builders import base

PITCHES = 128  # MIDI numbers
FAMILIES = (
    *("bass", "brass", "flute", "guitar", "keyboard", "mallet", "organ", "reed", "string"),
    *("synth_lead", "vocal"),
)

_FOLDERS = {"nsynth-train": "train", "nsynth-valid": "validation", "nsynth-test": "test"}


class Nsynth(base.LabelledBuilder):
    """A note of four seconds, labelled with its pitch and with the family of its instrument.

    The splits are the official ones: no instrument of train is in validation or test. TFDS's own
    `nsynth` needs Apache Beam and stores float32 samples, twice the size.
    """

    name = "a2v_nsynth"
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    nsynth-train.jsonwav.tar.gz, nsynth-valid.jsonwav.tar.gz and nsynth-test.jsonwav.tar.gz, or
    their content: nsynth-train, nsynth-valid and nsynth-test, each with examples.json and
    audio/*.wav.
    """
    URLS = tuple(
        f"http://download.magenta.tensorflow.org/datasets/nsynth/{folder}.jsonwav.tar.gz"
        for folder in _FOLDERS
    )
    HOMEPAGE = "https://magenta.tensorflow.org/datasets/nsynth"

    def labels(self) -> dict[str, tfds.features.ClassLabel]:
        """One of 128 pitches, one of 11 families."""
        return {
            "pitch": tfds.features.ClassLabel(num_classes=PITCHES),
            "family": tfds.features.ClassLabel(names=FAMILIES),
        }

    def find(self, files: Sequence[pathlib.Path]) -> Iterator[tuple[str, base.ClipFile]]:
        """The official splits."""
        wavs = {path.stem: path for path in files if path.suffix == ".wav"}
        for path in files:
            if path.name == "examples.json" and path.parent.name in _FOLDERS:
                for note, labels in sorted(read_labels(path).items()):
                    clip = base.ClipFile(note, wavs.get(note), labels)
                    yield _FOLDERS[path.parent.name], clip


def read_labels(path: pathlib.Path) -> dict[str, dict[str, str | int]]:
    """Read examples.json: pitch and instrument family by note."""
    try:
        return {
            note: {"pitch": entry["pitch"], "family": entry["instrument_family_str"]}
            for note, entry in json.loads(path.read_text()).items()
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: expected pitch and instrument_family_str by note") from error
