"""Speakers of LibriSpeech train-clean-100 (Panayotov et al., ICASSP 2015)."""

import collections
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence

import tensorflow_datasets as tfds
from absl import logging

from a2v_tf.data.builders import base

SUBSET = "train-clean-100"
SPEAKERS = 251

_UTTERANCE = re.compile(r"(?P<speaker>\d+)-(?P<chapter>\d+)-\d+\.flac")


class LibrispeechSpeakers(base.LabelledBuilder):
    """Utterances of audio books, labelled with one of 251 readers.

    Every reader is in every split. If a reader has three or more chapters, the shortest is test,
    the second shortest validation and the rest train. If there are two, the shorter is test and the
    last tenth of the other is validation. If there is one, its last tenth is test and the tenth
    before it validation. So a chapter is in two splits only if it cannot be avoided. TFDS's own
    `librispeech` has no class label of the speaker, and stores samples as int64, which is slow to
    parse.
    """

    name = "librispeech_speakers"
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    train-clean-100.tar.gz, or its content: train-clean-100/SPEAKER/CHAPTER/*.flac.
    """
    URLS = ("http://www.openslr.org/resources/12/train-clean-100.tar.gz",)
    HOMEPAGE = "https://www.openslr.org/12"

    def labels(self) -> dict[str, tfds.features.ClassLabel]:
        """The speaker's number; the class names are set when the files have been listed."""
        return {"label": tfds.features.ClassLabel()}

    def find(self, files: Sequence[pathlib.Path]) -> Iterator[tuple[str, base.ClipFile]]:
        """Split each speaker's chapters."""
        speakers: dict[str, dict[str, list]] = collections.defaultdict(dict)
        for path in files:
            match = _UTTERANCE.fullmatch(path.name)
            if match and SUBSET in path.parts:
                clip = base.ClipFile(path.stem, path, {"label": match["speaker"]})
                speakers[match["speaker"]].setdefault(match["chapter"], []).append(clip)
        if speakers:
            self.info.features["label"].names = sorted(speakers, key=int)
            if len(speakers) != SPEAKERS:
                logging.warning("%s: %d speakers, expected %d", self.name, len(speakers), SPEAKERS)
        for chapters in speakers.values():
            for split, clips in split_chapters(chapters).items():
                yield from ((split, clip) for clip in clips)


def split_chapters(chapters: Mapping[str, Sequence]) -> dict[str, list]:
    """Split a speaker's utterances by chapter; see `LibrispeechSpeakers`."""
    train: Sequence
    *others, longest = (chapters[name] for name in _by_length(chapters))
    if len(others) >= 2:
        test, validation, *more = others
        train = [clip for chapter in [*more, longest] for clip in chapter]
    elif others:
        (test,) = others
        train, validation = _cut_tenth(longest)
    else:
        train, test = _cut_tenth(longest)
        train, validation = _cut_tenth(train)
    return {"train": list(train), "validation": list(validation), "test": list(test)}


def _by_length(chapters: Mapping[str, Sequence]) -> list[str]:
    return sorted(chapters, key=lambda name: (len(chapters[name]), name))


def _cut_tenth(clips: Sequence) -> tuple[Sequence, Sequence]:
    """Split off the last tenth: at least one clip, unless there is only one."""
    tenth = min(max(1, len(clips) // 10), len(clips) - 1)
    return clips[: len(clips) - tenth], clips[len(clips) - tenth :]
