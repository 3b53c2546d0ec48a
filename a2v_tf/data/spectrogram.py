"""A folder of CSV files of band levels as a source of crops: spectrograms computed elsewhere.

Acoustic sensors in cities often store no audio, only the level of each third-octave band in dB,
every 125 ms (SpecCense: 29 bands). Each row of a file is one frame:

    time,20,25,31.5,...,12500
    2021-03-01T00:00:00.000,61.2,60.8,58.1,...,31.7
    2021-03-01T00:00:00.125,60.9,61.0,57.7,...,31.5

Timestamps are ISO 8601 or seconds from any origin. Levels are used as stored; the model
standardises them. A crop lies within one continuous stretch of one file. A stretch ends where the
time step differs from the period by more than half a period, and at a row in which a level is
missing or not finite.

Parsing CSV is slow, so each file is converted once to float32, in
`$XDG_CACHE_HOME/a2v_tf/spectrograms` or `~/.cache/...`. The cache takes 4 bytes a value (29 bands
every 125 ms: 29 GB a year) and is never cleaned. Only the stretches are held in memory.
"""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tqdm
from absl import logging

from a2v_tf.audio.bad_files import BadFiles
from a2v_tf.data import sampling
from a2v_tf.data.spectrogram_csv import File, UnusableError, band_columns, converted
from a2v_tf.errors import A2vError
from a2v_tf.specs import PERIOD, SPECTROGRAM, BandLevels

SPLITS = ("train", "val", "test")

_SUFFIXES = (".csv", ".csv.gz")


class SpectrogramSource:
    """Crops `[frames, F]` of the CSV files below a directory; see `sources.Source`."""

    gives_places = True

    def __init__(
        self,
        spec: str,
        bad: BadFiles,
        *,
        time: str | None = None,
        columns: Sequence[str] = (),
        period: float = PERIOD,
    ):
        """Read, or find in the cache, every CSV file of a split.

        Args:
          spec: "DIR[:SPLIT]", SPLIT being train (the default), val or test; see `split_files`.
          bad: collects the skipped files.
          time: the column of timestamps; None for the first.
          columns: the bands, each the name of a column or a range FIRST:LAST; empty for all
            numeric columns after the timestamps in the first readable file.
          period: seconds from one frame to the next.

        Raises:
          A2vError: the directory or split does not exist, or too many files are bad.
        """
        self.bad = bad
        self._spec = SPECTROGRAM + spec
        self._period = period
        by_split, split = split_files(spec)
        paths = by_split[split]
        if not paths:
            total = sum(map(len, by_split.values()))
            raise A2vError(f"data={self._spec}: none of {total} CSV files is in the split {split}")
        self._paths = paths
        # The same bands for every split.
        everything = sorted(path for paths in by_split.values() for path in paths)
        self.front_end = BandLevels(band_columns(self._spec, everything, time, columns), period)
        self._files = [
            self._open(path, time)
            # delay: no bar for less than two seconds.
            for path in tqdm.tqdm(paths, desc="reading spectrograms", unit="file", delay=2)
        ]
        bad.check(len(paths), "files")
        self._plans: dict[int, _Plan] = {}
        self._rejected = ""

    def describe(self) -> str:
        """Summarise the source on one line; after `check`, also the crops lost at breaks."""
        files = [file for file in self._files if file]
        bands = self.front_end.columns
        return (
            f"{self._spec}: {len(self._paths)} files, "
            f"{sum(file.rows for file in files) * self._period / 3600:.2f} hours of {len(bands)} "
            f"bands ({bands[0]} to {bands[-1]}) every {1000 * self._period:g} ms, "
            f"{sum(file.breaks for file in files)} discontinuities in time, "
            f"{sum(file.missing for file in files)} frames with missing levels{self._rejected}, "
            f"{len(self.bad)} skipped"
        )

    def check(self, samples: int) -> None:
        """Raise `A2vError` unless crops of `samples` frames can be drawn."""
        plan = self._plan(samples)
        self._rejected = f" ({plan.rejected} of {plan.possible} crops would cross one)"

    def crops(
        self,
        samples: int,
        *,
        seed: int,
        round_index: int | tf.Tensor,
        share: sampling.Share = sampling.EVERYTHING,
        places: bool = False,
    ) -> tf.data.Dataset:
        """Infinite dataset of (float32 `[samples, F]`, clip); see `sources.PlacingSource.crops`.

        Args:
          samples: frames in a crop.
          seed: see `sources.Source.crops`.
          round_index: see `sources.Source.crops`.
          share: see `sources.Source.crops`.
          places: whether to say where in its continuous stretch a crop is.
        """
        plan = self._plan(samples)

        def epoch(index: tf.Tensor) -> tf.data.Dataset:
            epoch_key = sampling.key(seed, round_index, index)
            return sampling.stratified_positions(plan.starts, epoch_key)

        def read(position: np.ndarray) -> tuple[np.ndarray, np.generic, np.ndarray]:
            index, first, place = plan.locate(int(position))
            return self.read(index, first, samples), np.int64(index), place

        def crop(position: tf.Tensor) -> tuple[tf.Tensor, ...]:
            levels, clip, place = tf.numpy_function(
                read, [position], [tf.float32, tf.int64, tf.int64]
            )
            levels = tf.ensure_shape(levels, [samples, self.front_end.bins])
            where = tf.ensure_shape(clip, []), tf.ensure_shape(place, [3])
            return levels, *(where if places else where[:1])

        return share.of(sampling.forever(epoch)).map(
            crop, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        )

    @property
    def paths(self) -> list[pathlib.Path]:
        """The files of the split."""
        return self._paths

    def stretches(self, index: int) -> list[tuple[int, int]]:
        """First row and length of each continuous stretch of a file; none if it is unusable."""
        file = self._files[index]
        return [] if file is None else [(int(row), int(count)) for row, count in file.stretches]

    def _open(self, path: pathlib.Path, time: str | None) -> "File | None":
        try:
            return converted(path, time, self.front_end.columns, self._period)
        except UnusableError as error:
            self.bad.add(str(path), str(error))
            return None

    def _plan(self, frames: int) -> "_Plan":
        """Find where crops of `frames` frames can start; files without such a row are bad."""
        if frames in self._plans:
            return self._plans[frames]
        stretches, possible = [], 0
        for index, (path, file) in enumerate(zip(self._paths, self._files, strict=True)):
            if file is None:
                continue
            possible += max(0, file.rows - frames + 1)
            starts = np.maximum(file.stretches[:, 1] - frames + 1, 0)
            lost = max(0, file.rows - frames + 1) - int(starts.sum())
            if not starts.any():
                self.bad.add(str(path), f"{file.why_too_short(self._period)}, a crop has {frames}")
            elif lost:
                self.bad.write_down(str(path), f"{file.flaws}: {lost} crops rejected")
            usable = starts > 0
            stretches += [(np.full(usable.sum(), index), file.stretches[usable, 0], starts[usable])]
        self.bad.check(len(self._paths), "files")
        if not stretches or not sum(len(starts) for _, _, starts in stretches):
            self.bad.fail(f"data={self._spec}: no file has {frames} continuous frames, one crop")
        files, firsts, starts = (np.concatenate(parts) for parts in zip(*stretches, strict=True))
        self._plans[frames] = _Plan(files, firsts, np.cumsum(starts), possible)
        return self._plans[frames]

    def read(self, index: int, first: int, frames: int) -> np.ndarray:
        """Read frames of a file, float32 `[frames, F]`."""
        bins = self.front_end.bins
        file = self._files[index]
        assert file  # `_plan` has none of the unusable files
        data = file.data
        try:
            levels = np.fromfile(data, np.float32, frames * bins, offset=4 * first * bins)
            return levels.reshape(frames, bins)
        except (OSError, ValueError):
            self.bad.fail(f"{data}: no longer holds what was read of {self._paths[index]}")


@dataclasses.dataclass(frozen=True)
class _Plan:
    """The stretches that are long enough for crops of one length.

    Attributes:
      files: index of the file of each stretch, int64 `[n]`.
      firsts: first row of each stretch, int64 `[n]`.
      cumulative: number of crop starts in stretches 0..i, int64 `[n]`.
      possible: number of crop starts if there were no discontinuities.
    """

    files: np.ndarray
    firsts: np.ndarray
    cumulative: np.ndarray
    possible: int

    @property
    def starts(self) -> int:
        """Number of frames at which a crop can start."""
        return int(self.cumulative[-1])

    @property
    def rejected(self) -> int:
        return self.possible - self.starts

    def locate(self, position: int) -> tuple[int, int, np.ndarray]:
        """The file index, the row and the place in its stretch of a crop start, by its number."""
        i, place = sampling.locate(self.cumulative, position, self.firsts)
        return int(self.files[i]), int(place[2] + place[0]), place


# ---- Which files ----


def split_files(spec: str) -> tuple[dict[str, list[pathlib.Path]], str]:
    """Find the CSV files of each split of a corpus.

    If the directory has any of the folders train, val and test, these are the splits. Otherwise a
    hash of each file's relative path assigns 80 % to train, 10 % to val and 10 % to test, and a
    file keeps its split when other files are added or removed. Files of one sensor then occur in
    every split; use the folders to hold out whole sensors.

    Args:
      spec: "DIR[:SPLIT]".

    Returns:
      The sorted files of each split, and the split named in `spec`, train by default.

    Raises:
      A2vError: the directory does not exist or has no CSV file.
    """
    name, _, split = spec.rpartition(":")
    if split not in SPLITS or not name:
        name, split = spec, "train"
    directory = pathlib.Path(name).expanduser()
    if not directory.is_dir():
        what = "is not a directory" if directory.exists() else "does not exist"
        raise A2vError(
            f"data={SPECTROGRAM}{spec}: {what}; expected a folder of CSV files, "
            "spectrogram:DIR[:SPLIT]"
        )
    names = {
        path.relative_to(directory): path
        for path in sorted(directory.rglob("*"))
        if path.name.lower().endswith(_SUFFIXES) and not path.name.startswith(".")
    }
    if not names:
        raise A2vError(
            f"data={SPECTROGRAM}{spec}: no {' or '.join(_SUFFIXES)} file in the folder or below"
        )
    has_folders = any((directory / split).is_dir() for split in SPLITS)
    found: dict[str, list[pathlib.Path]] = {split: [] for split in SPLITS}
    for inside, path in names.items():
        where = inside.parts[0] if has_folders else _split_by_hash(inside)
        found.setdefault(where, []).append(path)
    outside = sum(len(found.pop(where)) for where in found.keys() - set(SPLITS))
    if outside:
        logging.warning(
            "%s: left out %d CSV files that are not in train, val or test", spec, outside
        )
    return found, split


def default_validation(spec: str) -> str | None:
    """Return the spec of the val split, if `spec` names the train split and val has files."""
    by_split, split = split_files(spec)
    directory = spec.removesuffix(":train")
    return f"{directory}:val" if split == "train" and by_split["val"] else None


def _split_by_hash(inside: pathlib.Path) -> str:
    digest = hashlib.sha256(os.fsencode(inside.as_posix())).digest()
    return {8: "val", 9: "test"}.get(int.from_bytes(digest[:8], "big") % 10, "train")
