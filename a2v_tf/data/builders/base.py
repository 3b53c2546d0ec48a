"""Common parts of the builders: features, finding files, decoding and splitting."""

import abc
import collections
import concurrent.futures
import csv
import dataclasses
import hashlib
import io
import itertools
import math
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np
import tensorflow_datasets as tfds
from absl import logging
from etils import epath

from a2v_tf.audio import decode
from a2v_tf.frontend import FRONT_END

SPLITS = ("train", "validation", "test")

# 16 kHz mono. Without encoding="bytes", int16 is stored as int64 and parsed 25 times slower.
AUDIO = tfds.features.Tensor(shape=(None,), dtype=np.int16, encoding="bytes")

# Kinds of unused clips; `kind_of` maps a reason to its kind.
KINDS = ("missing", "too short", "corrupt")
NOT_FOUND = "not found"
TOO_SHORT = "is too short: "

_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
_THREADS = 8
_CLIPS_AT_ONCE = 64

_Clip = TypeVar("_Clip")


@dataclasses.dataclass(frozen=True)
class ClipFile:
    """A labelled clip: an audio file or a part of one.

    Attributes:
      id: unique name of the clip in the data set.
      path: the file; None if the distribution lists it but the file is missing.
      labels: class name or index by label feature.
      start: start of the clip in the file, in samples at 16 kHz.
      samples: length in samples at 16 kHz; None for up to the end of the file.
    """

    id: str
    path: pathlib.Path | None
    labels: Mapping[str, str | int]
    start: int = 0
    samples: int | None = None


class LabelledBuilder(  # type: ignore[call-arg]  # mypy does not see TFDS' own keyword
    tfds.core.GeneratorBasedBuilder, abc.ABC, skip_registration=True
):
    """Base class of builders that read labelled clips from the files of a distribution.

    A subclass defines the attributes below, `labels` and `find`; TFDS reads the citation from
    `CITATIONS.bib` in its package. Clips that cannot be decoded are skipped; `not_used_SPLIT.csv`
    beside the data lists them with the reason.

    Attributes:
      URLS: archives to download unless manual_dir is given; empty if a download is not possible.
      HOMEPAGE: web page of the data set.
    """

    VERSION = tfds.core.Version("1.0.0")
    URLS: tuple[str, ...] = ()
    HOMEPAGE: str

    @abc.abstractmethod
    def labels(self) -> dict[str, tfds.features.ClassLabel]:
        """The label features."""

    @abc.abstractmethod
    def find(self, files: Sequence[pathlib.Path]) -> Iterator[tuple[str, ClipFile]]:
        """Yield each clip with its split, given all files of the distribution.

        Raises:
          FileNotFoundError: a required file is missing.
          ValueError: a file that lists clips has an unexpected format.
        """

    def _info(self) -> tfds.core.DatasetInfo:
        features = {"audio": AUDIO, **self.labels(), "id": tfds.features.Text()}
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("audio", next(iter(self.labels()))),
            homepage=self.HOMEPAGE,
            metadata=tfds.core.MetadataDict(sample_rate=FRONT_END.sample_rate),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        splits = self._find_or_unpack(dl_manager)
        return {
            split: self._generate_examples(split, splits[split])
            for split in SPLITS
            if splits.get(split)  # TFDS cannot store an empty split
        }

    def _find_or_unpack(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, list[ClipFile]]:
        shared = dl_manager.download_dir / "manual"  # TFDS's default for all data sets
        try:
            folder = dl_manager.manual_dir
        except AssertionError as error:
            if not self.URLS or str(shared) not in str(error):
                raise
            folder = shared
        if self.URLS and folder == shared:
            return self._find_in(dl_manager.download_and_extract(list(self.URLS)))
        archives = [path for path in sorted(folder.iterdir()) if path.name.endswith(_ARCHIVES)]
        try:
            return self._find_in([folder])
        except FileNotFoundError:
            if not archives:
                raise
        return self._find_in([folder, *dl_manager.extract(archives)])

    def _find_in(self, folders: Iterable[os.PathLike]) -> dict[str, list[ClipFile]]:
        folders = list(folders)
        splits: dict[str, list[ClipFile]] = collections.defaultdict(list)
        for split, clip in self.find(list_files(folders)):
            splits[split].append(clip)
        if not any(clip.path for clips in splits.values() for clip in clips):
            where = ", ".join(map(str, folders))
            what = " ".join(self.MANUAL_DOWNLOAD_INSTRUCTIONS.split())
            raise FileNotFoundError(f"{self.name}: no clip found in {where}; expected: {what}")
        return splits

    def _generate_examples(
        self, split: str, clips: Sequence[ClipFile]
    ) -> Iterator[tuple[str, dict]]:
        """Yield (key, example) of each clip that can be decoded; list the others in a file."""
        unused = []
        for clip, audio in decoded(_load, clips):
            if isinstance(audio, str):
                unused.append((clip.id, audio))
            else:
                yield clip.id, {"audio": audio, **clip.labels, "id": clip.id}
        write_unused(self.data_path, split, ("id", "reason"), unused)
        if len(unused) == len(clips):
            raise ValueError(f"{self.name}: no clip of {split} can be used; {unused[0][1]}")


def _load(clip: ClipFile) -> np.ndarray | str:
    if clip.path is None:
        return NOT_FOUND
    try:
        pcm = decode.read(clip.path, decode.probe(clip.path), clip.start, clip.samples)
        return decode.to_int16(pcm)
    except decode.DecodeError as error:
        logging.warning("skipped %s: %s", clip.path, error)
        return str(error)


def decoded(
    load: Callable[[_Clip], np.ndarray | str], clips: Iterable[_Clip]
) -> Iterator[tuple[_Clip, np.ndarray | str]]:
    """Yield each clip with its PCM or reason from `load`, in order, loaded by several threads."""
    clips = iter(clips)
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        # In chunks, since map() would keep a whole split in memory.
        while chunk := list(itertools.islice(clips, _CLIPS_AT_ONCE)):
            yield from zip(chunk, pool.map(load, chunk), strict=True)


def write_unused(
    folder: epath.PathLike,
    split: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
) -> None:
    """Write `not_used_SPLIT.csv`, with the reason in the last column, and log the counts."""
    path = _list_of_unused(folder, split)
    text = io.StringIO()
    csv.writer(text).writerows([header, *rows])
    path.write_text(text.getvalue())
    if rows:
        kinds = collections.Counter(kind_of(row[-1]) for row in rows)
        counts = ", ".join(f"{kinds[kind]} {kind}" for kind in KINDS)
        logging.warning(
            "split %s: skipped clips: %s; listed in %s",
            *(split, counts, path.name),
        )


def kind_of(reason: str) -> str:
    """The kind, one of `KINDS`, of the reason why a clip is unused."""
    return "missing" if reason == NOT_FOUND else "too short" if TOO_SHORT in reason else "corrupt"


def count_unused(folder: epath.PathLike, split: str) -> collections.Counter[str]:
    """Numbers of unused clips of a prepared split, by kind."""
    with _list_of_unused(folder, split).open() as file:
        return collections.Counter(kind_of(row["reason"]) for row in csv.DictReader(file))


def _list_of_unused(folder: epath.PathLike, split: str) -> epath.Path:
    return epath.Path(folder) / f"not_used_{split}.csv"


def list_files(folders: Iterable[os.PathLike]) -> list[pathlib.Path]:
    """List all files below the folders, sorted; a path to a file is listed as it is."""
    paths = []
    for folder in map(pathlib.Path, folders):
        if folder.is_file():
            paths.append(folder)
        for parent, _, names in os.walk(folder, followlinks=True):
            paths += [pathlib.Path(parent, name) for name in names if not name.startswith(".")]
    return sorted(paths)


def only_file(files: Sequence[pathlib.Path], name: str) -> pathlib.Path:
    """Find the file with the given name.

    Raises:
      FileNotFoundError: there is none.
      ValueError: there are several.
    """
    found = [path for path in files if path.name == name]
    if not found:
        raise FileNotFoundError(f"no file {name} in the folder or below")
    if len(found) > 1:
        raise ValueError(f"two files {name}, expected one: {found[0]}, {found[1]}")
    return found[0]


def split_of(group: str) -> str:
    """Assign a group to a split by hash: 10 % test, 10 % validation, 80 % train."""
    share = hash_of(group) / 2**64
    return "test" if share < 0.1 else "validation" if share < 0.2 else "train"


def a_tenth(groups: Iterable[str]) -> set[str]:
    """Choose a tenth of the groups, rounded up, by hash; none of a single group."""
    ordered = sorted(set(groups), key=hash_of)
    return set(ordered[: math.ceil(len(ordered) / 10)]) if len(ordered) > 1 else set()


def hash_of(text: str) -> int:
    """A 64-bit hash that is the same on every machine and Python version."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
