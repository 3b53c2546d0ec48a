"""A folder of CSV files of band levels as a source of crops: spectrograms computed elsewhere.

Sensors that listen to a city all day often keep no audio, only the level of each third-octave band,
in dB, every 125 ms (SpecCense: 29 bands). Each row of a file is then a frame:

    time,20,25,31.5,...,12500
    2021-03-01T00:00:00.000,61.2,60.8,58.1,...,31.7
    2021-03-01T00:00:00.125,60.9,61.0,57.7,...,31.5

Time is ISO 8601 or seconds, from any origin. Levels are used as they are: the model itself
standardises them. A crop lies within one continuous stretch of one file. A stretch ends where time
goes on by something else than one period, give or take half of it, and at a row where a level is
missing or not finite.

Reading a CSV takes far longer than a crop needs, so each file is converted once, to float32 in
`$XDG_CACHE_HOME/a2v_tf/spectrograms` or `~/.cache/...`. That takes 4 bytes a value on disk (29
bands every 125 ms: 29 GB a year) and is never cleaned; in memory there are only the stretches.
"""

import dataclasses
import gzip
import hashlib
import json
import math
import os
import pathlib
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf
import tqdm
from absl import logging

from a2v_tf.audio.bad_files import BadFiles
from a2v_tf.data import sampling
from a2v_tf.errors import A2vError
from a2v_tf.files import cache_dir, whole_file
from a2v_tf.specs import PERIOD, SPECTROGRAM, BandLevels

SPLITS = ("train", "val", "test")

_SUFFIXES = (".csv", ".csv.gz")
_SEPARATORS = ",;\t"
_ROWS_LOOKED_AT = 1_000  # to tell numbers from text
_ROWS_AT_ONCE = 1_000_000  # 300 MB while they are read
_CACHE_VERSION = 1  # of what is in the cache


class SpectrogramSource:
    """Crops `[frames, F]` of the CSV files below a directory; see `sources.Source`."""

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
          bad: where to report what is skipped.
          time: the column of timestamps; None for the first.
          columns: the bands, each a column's name or FIRST:LAST; empty for all columns of numbers
            that follow the timestamps in the first readable file.
          period: seconds from one frame to the next.

        Raises:
          A2vError: there is no such directory or split, or too many of its files are bad.
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
        self.front_end = BandLevels(_band_columns(self._spec, everything, time, columns), period)
        self._files = [
            self._open(path, time)
            # delay: no bar for what takes less than two seconds.
            for path in tqdm.tqdm(paths, desc="reading spectrograms", unit="file", delay=2)
        ]
        bad.check(len(paths), "files")
        self._plans: dict[int, _Plan] = {}
        self._rejected = ""

    def describe(self) -> str:
        """Say what the source holds, and after `check` what crops it cannot give, on one line."""
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
    ) -> tf.data.Dataset:
        """Infinite dataset of (float32 `[samples, F]`, clip); see `sources.Source.crops`.

        Args:
          samples: frames in a crop.
          seed: as there.
          round_index: as there.
          share: as there.
        """
        plan = self._plan(samples)

        def epoch(index: tf.Tensor) -> tf.data.Dataset:
            epoch_key = sampling.key(seed, round_index, index)
            return sampling.stratified_positions(plan.starts, epoch_key)

        def read(position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            index, first = plan.locate(int(position))
            return self._read(index, first, samples), np.int64(index)

        def crop(position: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            levels, clip = tf.numpy_function(read, [position], [tf.float32, tf.int64])
            levels = tf.ensure_shape(levels, [samples, self.front_end.bins])
            return levels, tf.ensure_shape(clip, [])

        return share.of(sampling.forever(epoch)).map(
            crop, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        )

    def _open(self, path: pathlib.Path, time: str | None) -> "_File | None":
        try:
            return _converted(path, time, self.front_end)
        except _UnusableError as error:
            self.bad.add(str(path), str(error))
            return None

    def _plan(self, frames: int) -> "_Plan":
        """Where crops of `frames` frames can start; files without such a place count as bad."""
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

    def _read(self, index: int, first: int, frames: int) -> np.ndarray:
        """Read frames of a file, float32 `[frames, F]`."""
        bins = self.front_end.bins
        data = self._files[index].data
        try:
            levels = np.fromfile(data, np.float32, frames * bins, offset=4 * first * bins)
            return levels.reshape(frames, bins)
        except (OSError, ValueError):
            self.bad.fail(f"{data}: no longer holds what was read of {self._paths[index]}")


@dataclasses.dataclass(frozen=True)
class _Plan:
    """The stretches that crops of one length fit in.

    Attributes:
      files: of each stretch, the file, int64 `[n]`.
      firsts: its first row, int64 `[n]`.
      cumulative: starts in stretches 0..i, int64 `[n]`.
      possible: starts that there would be without discontinuities.
    """

    files: np.ndarray
    firsts: np.ndarray
    cumulative: np.ndarray
    possible: int

    @property
    def starts(self) -> int:
        """Frames at which a crop can start."""
        return int(self.cumulative[-1])

    @property
    def rejected(self) -> int:
        return self.possible - self.starts

    def locate(self, position: int) -> tuple[int, int]:
        """Find the file and the row of the start with this number."""
        i = int(np.searchsorted(self.cumulative, position, side="right"))
        before = int(self.cumulative[i - 1]) if i else 0
        return int(self.files[i]), int(self.firsts[i]) + position - before


# ---- Which files ----


def split_files(spec: str) -> tuple[dict[str, list[pathlib.Path]], str]:
    """Find the CSV files of a corpus, by split.

    If the directory has any of the folders train, val and test, these are the splits. Otherwise a
    hash of each file's path within the directory decides: 80 % are train, 10 % val, 10 % test,
    and a file stays where it is when others come or go. Files of one sensor land in every split:
    use the folders if the sensors of val are to be new to the model.

    Args:
      spec: "DIR[:SPLIT]".

    Returns:
      The sorted files of each split, and the split that `spec` names (train if none).

    Raises:
      A2vError: there is no such directory, or no CSV file in it.
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
        raise A2vError(f"data={SPECTROGRAM}{spec}: no {' or '.join(_SUFFIXES)} file there or below")
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
    """The val split of a corpus whose train split `spec` names, if there is one."""
    by_split, split = split_files(spec)
    directory = spec.removesuffix(":train")
    return f"{directory}:val" if split == "train" and by_split["val"] else None


def _split_by_hash(inside: pathlib.Path) -> str:
    digest = hashlib.sha256(os.fsencode(inside.as_posix())).digest()
    return {8: "val", 9: "test"}.get(int.from_bytes(digest[:8], "big") % 10, "train")


# ---- What is in a CSV ----


class _UnusableError(Exception):
    """Why a CSV file cannot be used, in one line."""


def _band_columns(
    spec: str, paths: list[pathlib.Path], time: str | None, wanted: Sequence[str]
) -> tuple[str, ...]:
    """The bands of a corpus: those `wanted`, or the numbers in its first readable file."""
    first_reason = ""
    for path in paths:
        try:
            return _columns_in(path, time, wanted)
        except _UnusableError as error:
            first_reason = first_reason or f"{path}: {error}"
    raise A2vError(f"data={spec}: none of {len(paths)} CSV files can be used ({first_reason})")


def _columns_in(path: pathlib.Path, time: str | None, wanted: Sequence[str]) -> tuple[str, ...]:
    head = next(_tables(path, time, nrows=_ROWS_LOOKED_AT), None)
    if head is None:
        raise _UnusableError("has no rows")
    names = list(head.columns)
    after = names[names.index(_time_column(names, time)) + 1 :]
    if not wanted:
        found = [name for name in after if _is_numeric(head[name])]
        if not found:
            raise _UnusableError(f"no columns of numbers after {_time_column(names, time)!r}")
        return tuple(found)
    found = []
    for name in wanted:
        first, colon, last = name.partition(":")
        if name in names or not colon:
            first = last = name
        _check_columns(names, [first, last])
        found += names[names.index(first) : names.index(last) + 1]
    if not found or len(set(found)) < len(found):
        raise _UnusableError(f"the bands {','.join(wanted)} are none, or some of them twice")
    return tuple(found)


def _is_numeric(column: pd.Series) -> bool:
    """Whether at most half of the cells hold text; cells may be empty."""
    is_text = column.notna() & _numbers(column).isna()
    return is_text.mean() <= 0.5


def _numbers(column: pd.Series) -> pd.Series:
    """Read numbers, NaN where that fails; a single word makes pandas read a column as text."""
    if not pd.api.types.is_numeric_dtype(column):
        column = column.astype("string").str.replace(",", ".")
    return pd.to_numeric(column, errors="coerce").astype(np.float64)


def _seconds(column: pd.Series) -> np.ndarray:
    """Read timestamps: float64 `[n]`, NaN where that fails."""
    seconds = _numbers(column)
    if seconds.isna().all():
        times = pd.to_datetime(column, errors="coerce", utc=True, format="ISO8601")
        seconds = (times - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)
    return seconds.to_numpy(np.float64)


def _time_column(names: Sequence[str], time: str | None) -> str:
    _check_columns(names, [time] if time else [])
    return time or names[0]


def _check_columns(names: Sequence[str], needed: Sequence[str]) -> None:
    missing = [name for name in needed if name not in names]
    if missing:
        raise _UnusableError(f"has no column {missing[0]!r}; it has {_shortened(names)}")


def _shortened(names: Sequence[str]) -> str:
    shown = [*names[:3], "...", names[-1]] if len(names) > 5 else names
    return ", ".join(shown)


def _tables(path: pathlib.Path, time: str | None, **options: Any) -> Iterator[pd.DataFrame]:
    """Read a CSV in pieces; what `pandas.read_csv` takes more goes in `options`.

    Raises:
      _UnusableError: it cannot be read, or has no header.
    """
    open_text = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        with open_text(path, "rt", encoding="utf-8-sig") as file:
            header, first_row = file.readline(), file.readline()
        if not first_row.strip():
            raise _UnusableError("has no rows")
        separator = max(_SEPARATORS, key=header.count)
        decimal = "," if separator != "," and "," in first_row else "."
        dialect = {"sep": separator, "decimal": decimal, "encoding": "utf-8-sig"}
        names = list(pd.read_csv(path, nrows=0, **dialect).columns)
        if np.isfinite(_seconds(pd.Series([_time_column(names, time)]))[0]):
            raise _UnusableError(f"has no header: its first row is {_shortened(names)}")
        # A line with too many cells is left out, which shows as a discontinuity in time.
        with pd.read_csv(
            path,
            **dialect,
            chunksize=_ROWS_AT_ONCE,
            on_bad_lines="skip",
            index_col=False,
            low_memory=False,
            **options,
        ) as reader:
            yield from reader
    except (OSError, EOFError, ValueError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error).strip().splitlines()[0]
        raise _UnusableError(f"cannot be read as CSV: {reason}") from error


def _frames(
    path: pathlib.Path, time: str | None, columns: Sequence[str]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Read a CSV in pieces: seconds, float64 `[n]`, and levels, float32 `[n, F]`."""
    for table in _tables(path, time):
        names = list(table.columns)
        _check_columns(names, columns)
        stamps = table[_time_column(names, time)]
        seconds = _seconds(stamps)
        if np.isnan(seconds).all():
            raise _UnusableError(
                f"column {stamps.name!r}: {str(stamps.iloc[0])!r} is neither ISO 8601 nor seconds"
            )
        levels = table[list(columns)].apply(_numbers).to_numpy(np.float32)
        yield seconds, levels


# ---- What is kept of a CSV ----


@dataclasses.dataclass(frozen=True)
class _File:
    """A converted CSV file.

    Attributes:
      data: float32 `[rows, F]`, raw.
      rows: frames.
      stretches: int64 `[n, 2]`, the first row of each continuous stretch and its rows.
      breaks: rows that do not follow the one before by one period.
      missing: rows where a level is missing.
      step: median of the seconds between rows.
    """

    data: pathlib.Path
    rows: int
    stretches: np.ndarray
    breaks: int
    missing: int
    step: float

    @property
    def flaws(self) -> str:
        return f"{self.breaks} discontinuities in time, {self.missing} frames with missing levels"

    def why_too_short(self, period: float) -> str:
        longest = int(self.stretches[:, 1].max(initial=0))
        is_other = math.isfinite(self.step) and not _is_period(self.step, period)
        step = f", {self.step:g} s apart instead of {period:g} s" if is_other else ""
        return f"has at most {longest} continuous of {self.rows} frames{step} ({self.flaws})"


def _converted(path: pathlib.Path, time: str | None, bands: BandLevels) -> _File:
    """Convert a CSV file, or find what was made of it before.

    Raises:
      _UnusableError: it cannot be used.
      A2vError: the cache cannot be written.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise _UnusableError(f"cannot be read: {error.strerror}") from error
    # What a file is made from is in its name, so that nothing in the cache ever changes.
    origin = [str(path.resolve()), status.st_size, status.st_mtime_ns]
    layout = [_CACHE_VERSION, time, bands.columns, bands.period]
    key = hashlib.sha256(json.dumps([*origin, *layout]).encode()).hexdigest()[:32]
    cache = cache_dir() / "spectrograms"
    data, index = (cache / f"{key}{suffix}" for suffix in (".f32", ".json"))
    try:
        facts = json.loads(index.read_text())
        whole = data.stat().st_size == 4 * facts["rows"] * bands.bins
    except (OSError, ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        try:
            facts = _convert(path, time, bands, data)
            with whole_file(index) as partial:
                partial.write_text(json.dumps(facts))
        except OSError as error:
            raise A2vError(
                f"cannot write what is made of {path} to {cache}: {error.strerror}; "
                "XDG_CACHE_HOME names another place"
            ) from error
    stretches = np.array(facts.pop("stretches"), np.int64).reshape(-1, 2)
    return _File(data=data, stretches=stretches, **facts)


def _convert(
    path: pathlib.Path, time: str | None, bands: BandLevels, data: pathlib.Path
) -> dict[str, Any]:
    """Write the levels to `data`; return the other fields of `_File` for JSON."""
    follows, complete, steps = [], [], []
    last = np.full(1, np.nan)
    data.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(data) as partial, partial.open("wb") as file:
        for seconds, levels in _frames(path, time, bands.columns):
            step = np.diff(seconds, prepend=last)
            last = seconds[-1:]
            follows.append(_is_period(step, bands.period))
            complete.append(np.isfinite(levels).all(axis=1))
            steps.append(np.nanmedian(step) if np.isfinite(step).any() else np.nan)
            levels.tofile(file)

    if not complete:
        raise _UnusableError("has no rows")
    is_complete, is_next = np.concatenate(complete), np.concatenate(follows)
    return {
        "rows": len(is_complete),
        "stretches": _stretches(is_complete, is_next).tolist(),
        "breaks": int((~is_next[1:]).sum()),
        "missing": int((~is_complete).sum()),
        "step": float(steps[0]),
    }


def _is_period(step: Any, period: float) -> Any:
    """Whether time goes on by one period, give or take half of it; NaN does not."""
    return np.abs(step - period) <= 0.5 * period


def _stretches(complete: np.ndarray, follows: np.ndarray) -> np.ndarray:
    """Find the runs of rows that are complete and follow each other: int64 `[n, 2]`.

    Args:
      complete: bool `[rows]`.
      follows: bool `[rows]`, whether a row follows the one before; the first counts for nothing.
    """
    linked = complete & follows & np.append(False, complete[:-1])
    first = np.flatnonzero(complete & ~linked)
    last = np.flatnonzero(complete & ~np.append(linked[1:], False))
    return np.stack([first, last - first + 1], axis=1)
