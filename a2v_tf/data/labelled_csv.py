"""Labelled audio files listed in a CSV file."""

import csv
import functools
import os
import pathlib
from collections.abc import Collection, Iterable, Iterator, Mapping

import numpy as np
import tensorflow as tf
from absl import logging

from a2v_tf.audio import decode
from a2v_tf.audio.bad_files import BadFiles
from a2v_tf.data import labelled_clips, sampling
from a2v_tf.data.labelled_clips import SPLITS, Clip
from a2v_tf.errors import A2vError
from a2v_tf.frontend import FRONT_END, FrontEnd
from a2v_tf.specs import MAX_BAD_FRACTION
from a2v_tf.text import printable

COLUMNS = ("path", "label", "split")

_END = np.int64(-1)  # end-of-epoch marker in a stream of clips


class CsvData:
    """Audio files listed in a CSV with the columns `path,label,split`; see `LabelledData`.

    Paths are relative to the CSV's directory. The split is train, val (optional) or test.
    """

    multi_label = False

    def __init__(
        self,
        path: pathlib.Path,
        needs: Collection[str] = ("train", "test"),
        channels: str = "mix",
        front_end: FrontEnd = FRONT_END,
    ):
        """Read the CSV.

        Args:
          path: the CSV file.
          needs: splits that must not be empty.
          channels: the channel of a file to use, as for `decode.probe`.
          front_end: what is to make frames of the clips, which are read at its sample rate.

        Raises:
          A2vError: the file is missing or unreadable, lacks a column, or has an empty value, an
            unknown split, a clip in two splits or with two labels, no row of a split in `needs`,
            or fewer than two classes in train.
        """
        self.name = path.stem
        self.bad = BadFiles(MAX_BAD_FRACTION)
        self._channels, self.front_end = channels, front_end
        self._clips = _without_repetitions(path, _read_csv(path))
        labelled_clips.check_splits(self._clips, str(path), needs)
        self.classes = tuple(sorted({clip.label for clip in self._clips}))
        self._train = [clip for clip in self._clips if clip.split == "train"]
        index = {name: i for i, name in enumerate(self.classes)}
        self._labels = np.array([index[clip.label] for clip in self._train], np.int32)
        self._headers: dict[str, decode.Header] = {}

    def clips(
        self, max_bad_fraction: float = MAX_BAD_FRACTION
    ) -> Iterator[tuple[Clip, np.ndarray]]:
        """Read every clip, in the order of the CSV; see `LabelledData.clips`."""
        bad = BadFiles(max_bad_fraction)
        _add_missing(self._clips, bad)
        bad.check(len(self._clips), f"clips of {self.name}")
        for clip in self._clips:
            if clip.name in bad:
                continue
            try:
                pcm = decode.whole(clip.name, self._channels, self.front_end.sample_rate)
                labelled_clips.check_pcm(pcm)
            except decode.DecodeError as error:
                bad.add(clip.name, str(error))
                bad.check(len(self._clips), f"clips of {self.name}")
                continue
            yield clip, pcm

    def fingerprint(self) -> str:
        """Digest of the clips' names, labels, splits, sizes and times, and of their channels."""
        rows: list[tuple[object, ...]] = [
            (clip.name, clip.label, clip.split, *_size_and_time(clip.name)) for clip in self._clips
        ]
        if self._channels != "mix":
            rows.append((self._channels,))
        return labelled_clips.digest(rows)

    def crops(
        self,
        samples: int,
        *,
        seed: int,
        round_index: int | tf.Tensor,
        per_class: int | None = None,
        total: int | None = None,
        share: sampling.Share = sampling.EVERYTHING,
    ) -> tf.data.Dataset:
        """Infinite dataset of (float32 `[samples]`, int32 label); see `LabelledData.crops`."""
        chosen = labelled_clips.choose(self._labels, len(self.classes), per_class, seed, total)
        indices, labels = tf.constant(chosen), tf.constant(self._labels)

        def epoch(index: tf.Tensor) -> tf.data.Dataset:
            order_key, place_key = tf.unstack(
                sampling.split(sampling.key(seed, round_index, index), 2)
            )
            drawn = sampling.shuffled(len(chosen), order_key).map(
                lambda i: (indices[i], labelled_clips.draw_place(place_key, i))
            )
            return drawn.concatenate(tf.data.Dataset.from_tensors((_END, tf.zeros([], tf.float64))))

        def read(index: tf.Tensor, place: tf.Tensor) -> sampling.Drawn:
            is_end = index == _END
            pcm, usable = tf.numpy_function(
                functools.partial(self._crop, samples=samples),
                [index, place],
                [tf.float32, tf.bool],
            )
            label = labels[tf.maximum(index, 0)]
            return (tf.ensure_shape(pcm, [samples]), label), tf.ensure_shape(usable, []), is_end

        # Epochs are concatenated before decoding, so that prefetching crosses their boundaries.
        places = share.of(sampling.forever(epoch), lambda place: place[0] == _END)
        crops = places.map(read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        return sampling.usable_only(
            crops, functools.partial(labelled_clips.fail_if_none, self.name, self.bad)
        )

    def _crop(self, index: int, place: float, samples: int) -> tuple[np.ndarray, np.generic]:
        """Read a crop of a train clip: (PCM, usable). A failure is reported and gives zeros."""
        if index != _END:
            path = self._train[index].name
            try:
                if path not in self._headers:
                    self._headers[path] = decode.probe(path, self._channels)
                header = self._headers[path]
                rate = self.front_end.sample_rate
                start, length = labelled_clips.locate(header.samples_at(rate), samples, place)
                pcm = decode.read(path, header, start, length, rate)
                return labelled_clips.pad(pcm, samples), np.True_
            except decode.DecodeError as error:
                if not self.bad:
                    _add_missing(self._train, self.bad)
                self.bad.add(path, str(error))
                self.bad.check(len(self._train), f"train clips of {self.name}")
        return np.zeros(samples, np.float32), np.False_


def _add_missing(clips: Iterable[Clip], bad: BadFiles) -> None:
    """Count the files that do not exist, all of them: before one of them is more than allowed."""
    for clip in clips:
        if not os.path.exists(clip.name):
            bad.add(clip.name, "does not exist")


def _size_and_time(path: str) -> tuple[int, int] | tuple[()]:
    try:
        stat = pathlib.Path(path).stat()
    except OSError:
        return ()
    return stat.st_size, stat.st_mtime_ns


def _read_csv(path: pathlib.Path) -> list[Clip]:
    try:
        # surrogateescape: file names need not be UTF-8.
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            reader = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise A2vError(
                    f"{path}: no column {', '.join(missing)} in its header "
                    f"{reader.fieldnames or []}; expected {','.join(COLUMNS)}"
                )
            return [_row_to_clip(path, reader.line_num, row) for row in reader]
    except (OSError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise A2vError(f"cannot read {path}: {reason}") from error


def _row_to_clip(csv_path: pathlib.Path, line: int, row: Mapping[str, str | None]) -> Clip:
    values = [(row[name] or "").strip() for name in COLUMNS]
    for name, value in zip(COLUMNS, values, strict=True):
        if not value:
            raise A2vError(f"{csv_path} line {line}: no {name}")
        if "\0" in value or (name != "path" and printable(value) != value):
            raise A2vError(f"{csv_path} line {line}: {name} {printable(value)!r} is not text")
    path, label, split = values
    if split not in SPLITS:
        raise A2vError(f"{csv_path} line {line}: split {split!r}; expected {', '.join(SPLITS)}")
    return Clip(os.path.normpath(csv_path.parent / path), label, split)


def _without_repetitions(csv_path: pathlib.Path, clips: Iterable[Clip]) -> list[Clip]:
    """The clips, each once.

    Raises:
      A2vError: a file is in two splits, or has two labels.
    """
    first: dict[str, Clip] = {}
    repeated: list[str] = []
    for clip in clips:
        before = first.setdefault(clip.name, clip)
        name = printable(clip.name)
        if before.split != clip.split:
            raise A2vError(f"{csv_path}: {name} is in both {before.split} and {clip.split}")
        if before.label != clip.label:
            raise A2vError(f"{csv_path}: {name} is labelled both {before.label} and {clip.label}")
        if before is not clip:
            repeated.append(name)
    if repeated:
        logging.warning(
            "%s: %d rows repeat a file and count once, the first: %s",
            csv_path,
            len(repeated),
            repeated[0],
        )
    return list(first.values())
