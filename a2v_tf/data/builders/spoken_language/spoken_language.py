"""Spoken Language Identification (Oponowicz, Kaggle, 2018)."""

import pathlib
import re
from collections.abc import Iterator, Sequence

import tensorflow_datasets as tfds

from a2v_tf.data.builders import base

LANGUAGES = ("de", "en", "es")

_FOLDERS = ("train", "test")

_NAME = re.compile(
    rf"(?P<group>(?P<language>{'|'.join(LANGUAGES)})_[fm])_(?P<recording>[0-9a-f]+)"
    r"\.fragment\d+(?P<change>\.(noise|speed|pitch)\d+)?\.flac"
)


class SpokenLanguage(base.LabelledBuilder):
    """Ten seconds of an audio book in German, English or Spanish.

    The test split is the official one: 540 clips of six readers who are not in train. Validation is
    a tenth of the readers of each language and sex in the official train split, rounded up and
    chosen by hash. A reader has one recording, whose hash is in the file name. Train contains the
    official augmented copies (noise, speed, pitch); validation, like the official test split, does
    not.
    """

    name = "spoken_language"
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    the archive of https://www.kaggle.com/datasets/toponowicz/spoken-language-identification (which
    needs an account), or its content: folders train and test with files
    LANGUAGE_SEX_HASH.fragmentN.flac.
    """
    HOMEPAGE = "https://www.kaggle.com/datasets/toponowicz/spoken-language-identification"

    def labels(self) -> dict[str, tfds.features.ClassLabel]:
        """One of three languages."""
        return {"label": tfds.features.ClassLabel(names=LANGUAGES)}

    def find(self, files: Sequence[pathlib.Path]) -> Iterator[tuple[str, base.ClipFile]]:
        """Use the official test split, and take the validation readers from train."""
        names = [
            (path, name)
            for path in files
            if path.parent.name in _FOLDERS and (name := _NAME.fullmatch(path.name))
        ]
        readers: dict[str, set[str]] = {}
        for path, name in names:
            if path.parent.name == "train":
                readers.setdefault(name["group"], set()).add(name["recording"])
        held_out = {reader for group in readers.values() for reader in base.a_tenth(group)}
        for path, name in names:
            split = path.parent.name
            if split == "train" and name["recording"] in held_out:
                if name["change"]:
                    continue
                split = "validation"
            yield split, base.ClipFile(path.stem, path, {"label": name["language"]})
