"""Labelled clips: what downstream tasks and supervised training learn from.

```python
for data in open_labelled("speech_commands,csv:birds.csv"):
    for clip, pcm in data.clips():  # every clip of every split, to be embedded
        ...
    data.crops(15_600, seed=1, round_index=0).batch(256)  # random crops of train clips, with labels
```
"""

import csv
import dataclasses
import functools
import hashlib
import pathlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
import tensorflow as tf
from absl import logging

from a2v_tf.audio import decode
from a2v_tf.audio.bad_files import BadFiles
from a2v_tf.data import sampling
from a2v_tf.errors import A2vError

SPLITS = ("train", "val", "test")
COLUMNS = ("path", "label", "split")
LABEL_SEPARATOR = "|"
MAX_BAD_FRACTION = 0.1

_END = np.int64(-1)  # stands after the clips of an epoch


@dataclasses.dataclass(frozen=True)
class Clip:
    """A labelled recording.

    Attributes:
      name: its path, or its id in a TFDS data set.
      label: a class; of multi-label data the classes, joined with "|".
      split: one of `SPLITS`.
    """

    name: str
    label: str
    split: str


class LabelledData(Protocol):
    """Labelled clips in splits.

    Attributes:
      name: of the data set, fit for file and layer names.
      classes: the labels; a label's number is its index here.
      multi_label: whether a clip may have any number of labels.
      bad: the clips that `crops` skipped so far; see `sources.one_line_errors`.
    """

    name: str
    classes: tuple[str, ...]
    multi_label: bool
    bad: BadFiles

    def clips(
        self, max_bad_fraction: float = MAX_BAD_FRACTION
    ) -> Iterator[tuple[Clip, np.ndarray]]:
        """Read every clip of every split, in an order that is always the same.

        Clips that cannot be read are logged and left out.

        Yields:
          A clip and its PCM at 16 kHz, float32 `[samples]`.

        Raises:
          A2vError: more than `max_bad_fraction` of the clips cannot be read.
        """

    def fingerprint(self) -> str:
        """A hex digest that changes when the clips or their labels may have changed."""

    def crops(
        self,
        samples: int,
        *,
        seed: int,
        round_index: int | tf.Tensor,
        per_class: int | None = None,
        share: sampling.Share = sampling.EVERYTHING,
    ) -> tf.data.Dataset:
        """Draw crops of train clips for ever (ICLR section 4, "Datasets").

        Each clip is drawn once an epoch, whatever its length, and the crop's place in it is
        uniform. The stream is a pure function of the data and the arguments.

        Args:
          samples: samples in a crop; shorter clips are padded with zeros at the end.
          seed: seed of everything random.
          round_index: other rounds give other crops; int64 scalar, may be symbolic.
          per_class: use only so many clips of each class, chosen by `seed`; a clip with several
            labels is used if it was chosen for one of them.
          share: which of these crops to give, if several workers share them.

        Returns:
          Infinite dataset of PCM at 16 kHz, float32 `[samples]`, and the label: int32 scalar, or
          float32 `[classes]` of zeros and ones if `multi_label`.
        """


def open_labelled(spec: str, *, needs: Collection[str] = ("train", "test")) -> list[LabelledData]:
    """Open labelled data.

    Args:
      spec: what to open, separated by commas: `demo`, `csv:PATH`, a data set of
        `builders.LABELLED` by its name, or `tfds:NAME[/CONFIG][:VERSION]`, any prepared TFDS data
        set with the features `audio` and `label` (a class) or `labels` (a sequence of classes).
      needs: splits that must not be empty.

    Raises:
      A2vError: something cannot be used, or two data sets have one name.
    """
    found = [data for part in spec.split(",") for data in _open(part.strip(), needs)]
    names = [data.name for data in found]
    for name in names:
        if names.count(name) > 1:
            raise A2vError(f"two labelled data sets are named {name!r}: rename or remove one")
    return found


def _open(spec: str, needs: Collection[str]) -> list[LabelledData]:
    if spec == "demo":
        from a2v_tf.data import demo  # writes the corpus on first use

        return [CsvData(path, needs) for path in demo.task_csvs(demo.ensure())]
    if spec.startswith("csv:"):
        return [CsvData(pathlib.Path(spec.removeprefix("csv:")).expanduser(), needs)]

    from a2v_tf.data.builders import LABELLED
    from a2v_tf.data.labelled_tfds import TfdsData

    if spec.startswith("tfds:"):
        name = spec.removeprefix("tfds:")
        return [TfdsData(spec, name, name.replace("/", "_").replace(":", "_"), needs)]
    own = {name: entry for name, entry in LABELLED.items() if spec in (name, entry.package)}
    if not own:
        known = ", ".join(("demo", "csv:PATH", "tfds:NAME", *LABELLED))
        raise A2vError(f"labelled data {spec!r}: expected one of {known}")
    return [
        TfdsData(spec, entry.builder.name, name, needs, entry.label) for name, entry in own.items()
    ]


class CsvData:
    """Audio files listed in a CSV with the columns `path,label,split`; see `LabelledData`.

    Paths are relative to the CSV's directory; split is train, val (optional) or test.
    """

    multi_label = False

    def __init__(self, path: pathlib.Path, needs: Collection[str] = ("train", "test")):
        """Read the CSV.

        Raises:
          A2vError: it is missing or unreadable, lacks columns, has a row without a value or with an
            unknown split, a clip in two splits, no rows of a split in `needs`, or fewer than two
            classes in train.
        """
        self.name = path.stem
        self.bad = BadFiles(MAX_BAD_FRACTION)
        self._clips = _read_csv(path)
        _check_leakage(path, self._clips)
        check_splits(self._clips, str(path), needs)
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
        for clip in self._clips:
            try:
                pcm = decode.read(clip.name, decode.probe(clip.name))
                check_pcm(pcm)
            except decode.DecodeError as error:
                bad.add(clip.name, str(error))
                bad.check(len(self._clips), f"clips of {self.name}")
                continue
            yield clip, pcm

    def fingerprint(self) -> str:
        """Digest of names, labels, splits, sizes and times of change."""
        return digest(
            (clip.name, clip.label, clip.split, *_size_and_time(clip.name)) for clip in self._clips
        )

    def crops(
        self,
        samples: int,
        *,
        seed: int,
        round_index: int | tf.Tensor,
        per_class: int | None = None,
        share: sampling.Share = sampling.EVERYTHING,
    ) -> tf.data.Dataset:
        """Infinite dataset of (float32 `[samples]`, int32 label); see `LabelledData.crops`."""
        chosen = choose(self._labels, len(self.classes), per_class, seed)
        indices, labels = tf.constant(chosen), tf.constant(self._labels)

        def epoch(index: tf.Tensor) -> tf.data.Dataset:
            order_key, place_key = tf.unstack(
                sampling.split(sampling.key(seed, round_index, index), 2)
            )
            drawn = sampling.shuffled(len(chosen), order_key).map(
                lambda i: (indices[i], draw_place(place_key, i))
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

        # Only places are drawn epoch by epoch, so that reading ahead does not stop at their ends.
        places = share.of(sampling.forever(epoch), lambda place: place[0] == _END)
        crops = places.map(read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        return sampling.usable_only(crops, functools.partial(fail_if_none, self))

    def _crop(self, index: int, place: float, samples: int) -> tuple[np.ndarray, np.ndarray]:
        """Read a crop of a train clip; false and zeros if that fails, which is reported."""
        if index != _END:
            path = self._train[index].name
            try:
                if path not in self._headers:
                    self._headers[path] = decode.probe(path)
                header = self._headers[path]
                start, length = locate(header.samples, samples, place)
                return pad(decode.read(path, header, start, length), samples), np.True_
            except decode.DecodeError as error:
                self.bad.add(path, str(error))
                self.bad.check(len(self._train), f"train clips of {self.name}")
        return np.zeros(samples, np.float32), np.False_


def check_splits(clips: Iterable[Clip], where: str, needs: Collection[str]) -> None:
    """Check that a classifier can be trained and judged.

    Raises:
      A2vError: no clips of a split in `needs`, or fewer than two classes among the train clips.
    """
    classes: dict[str, set[str]] = {split: set() for split in SPLITS}
    for clip in clips:
        classes[clip.split].add(clip.label)
    for split in SPLITS:
        if split in needs and not classes[split]:
            raise A2vError(f"{where}: no {split} clips; expected some of {' and '.join(needs)}")
    if "train" in needs and len(classes["train"]) < 2:
        raise A2vError(f"{where}: one class {classes['train']} in train; expected at least two")
    for label in sorted(set.union(*classes.values()) - classes["train"]):
        logging.warning("%s: class %r has no train clips, so it counts as wrong", where, label)


def choose(labels: np.ndarray, classes: int, per_class: int | None, seed: int) -> np.ndarray:
    """Choose the clips to use, int64 `[n]`, ascending: all, or `per_class` of each class.

    Args:
      labels: int `[clips]`, or bool `[clips, classes]` if clips have several.
      classes: their number.
      per_class: None for all.
      seed: of the choice.
    """
    if per_class is None:
        return np.arange(len(labels), dtype=np.int64)
    rng = np.random.default_rng(seed)
    chosen = np.zeros(len(labels), bool)
    for label in range(classes):
        of_class = labels[:, label] if labels.ndim == 2 else labels == label
        chosen[rng.permutation(np.flatnonzero(of_class))[:per_class]] = True
    return np.flatnonzero(chosen)


def draw_place(key: tf.Tensor, ordinal: tf.Tensor) -> tf.Tensor:
    """Draw where in its clip a crop lies, float64 in [0, 1), for `locate`."""
    return tf.random.stateless_uniform([], sampling.fold_in(key, ordinal), dtype=tf.float64)


def locate(length: int, samples: int, place: float) -> tuple[int, int]:
    """Start and length of the part of a clip that a crop of `samples` samples is."""
    start = int(place * (max(length - samples, 0) + 1))
    return start, min(samples, length - start)


def pad(pcm: np.ndarray, samples: int) -> np.ndarray:
    """Pad a crop with zeros at its end to float32 `[samples]`, within [-1, 1].

    Raises:
      DecodeError: it is no sound; silence is.
    """
    check_pcm(pcm)
    return np.clip(np.pad(pcm, (0, samples - len(pcm))), -1.0, 1.0).astype(np.float32)


def check_pcm(pcm: np.ndarray) -> None:
    """Raise `DecodeError` if PCM, float32 `[samples]`, is no sound; silence is."""
    flaw = sampling.flaw(pcm) if len(pcm) else "holds no samples"
    if flaw not in (None, sampling.SILENT):
        raise decode.DecodeError(flaw)


def fail_if_none(data: LabelledData, usable: int) -> None:
    """Stop when an epoch is over and gave nothing."""
    if not usable:
        data.bad.fail(f"{data.name}: a whole epoch gave no usable crop")


def digest(rows: Iterable[Sequence[object]]) -> str:
    """Hex digest of a table."""
    sha = hashlib.sha256()
    for row in rows:
        sha.update(repr(row).encode())
    return sha.hexdigest()


def _size_and_time(path: str) -> tuple[int, int] | tuple[()]:
    try:
        stat = pathlib.Path(path).stat()
    except OSError:
        return ()
    return stat.st_size, stat.st_mtime_ns


def _read_csv(path: pathlib.Path) -> list[Clip]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise A2vError(
                    f"{path}: no column {', '.join(missing)} in its header "
                    f"{reader.fieldnames or []}; expected {','.join(COLUMNS)}"
                )
            return [_row_to_clip(path, reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise A2vError(f"cannot read {path}: {reason}") from error


def _row_to_clip(csv_path: pathlib.Path, line: int, row: Mapping[str, str | None]) -> Clip:
    values = [(row[name] or "").strip() for name in COLUMNS]
    for name, value in zip(COLUMNS, values, strict=True):
        if not value:
            raise A2vError(f"{csv_path} line {line}: no {name}")
    path, label, split = values
    if split not in SPLITS:
        raise A2vError(f"{csv_path} line {line}: split {split!r}; expected {', '.join(SPLITS)}")
    return Clip(str(csv_path.parent / path), label, split)


def _check_leakage(csv_path: pathlib.Path, clips: Iterable[Clip]) -> None:
    split_of: dict[str, str] = {}
    for clip in clips:
        if split_of.setdefault(clip.name, clip.split) != clip.split:
            raise A2vError(
                f"{csv_path}: {clip.name} is in both {split_of[clip.name]} and {clip.split}"
            )
