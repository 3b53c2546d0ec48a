"""CSV files of band levels: reading them, and the cache of converted files."""

import dataclasses
import gzip
import hashlib
import json
import math
import pathlib
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from a2v_tf.errors import A2vError
from a2v_tf.files import cache_dir, whole_file
from a2v_tf.specs import BandLevels

_SEPARATORS = ",;\t"
_ROWS_LOOKED_AT = 1_000  # to tell numbers from text
_ROWS_AT_ONCE = 1_000_000  # 300 MB while they are read
_MOST_EMPTY = 1_000  # times the rows that are there, in what `read_levels` returns
_CACHE_VERSION = 1  # of what is in the cache


class UnusableError(Exception):
    """Why a CSV file cannot be used, in one line."""


def band_columns(
    spec: str, paths: list[pathlib.Path], time: str | None, wanted: Sequence[str]
) -> tuple[str, ...]:
    """Return the bands of a corpus: the `wanted` ones, or those of its first readable file.

    Raises:
      A2vError: no file can be used.
    """
    first_reason = ""
    for path in paths:
        try:
            return _columns_in(path, time, wanted)
        except UnusableError as error:
            first_reason = first_reason or f"{path}: {error}"
    raise A2vError(f"data={spec}: none of {len(paths)} CSV files can be used ({first_reason})")


def _columns_in(path: pathlib.Path, time: str | None, wanted: Sequence[str]) -> tuple[str, ...]:
    head = next(_tables(path, time, nrows=_ROWS_LOOKED_AT), None)
    if head is None:
        raise UnusableError("has no rows")
    names = list(head.columns)
    after = names[names.index(_time_column(names, time)) + 1 :]
    if not wanted:
        found = [name for name in after if _is_numeric(head[name])]
        if not found:
            raise UnusableError(f"no columns of numbers after {_time_column(names, time)!r}")
        return tuple(found)
    found = []
    for name in wanted:
        first, colon, last = name.partition(":")
        if name in names or not colon:
            first = last = name
        _check_columns(names, [first, last])
        found += names[names.index(first) : names.index(last) + 1]
    if not found or len(set(found)) < len(found):
        raise UnusableError(f"the bands {','.join(wanted)} are none, or some of them twice")
    return tuple(found)


def _is_numeric(column: pd.Series) -> bool:
    """Whether at most half of the cells contain text; cells may be empty."""
    is_text = column.notna() & _numbers(column).isna()
    return is_text.mean() <= 0.5


def _numbers(column: pd.Series) -> pd.Series:
    """Parse numbers, NaN on failure: pandas reads a column with a single word in it as text."""
    if not pd.api.types.is_numeric_dtype(column):
        column = column.astype("string").str.replace(",", ".")
    return pd.to_numeric(column, errors="coerce").astype(np.float64)


def _seconds(column: pd.Series) -> np.ndarray:
    """Parse timestamps to seconds, float64 `[n]`, NaN on failure."""
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
        raise UnusableError(f"has no column {missing[0]!r}; it has {_shortened(names)}")


def _shortened(names: Sequence[str]) -> str:
    shown = [*names[:3], "...", names[-1]] if len(names) > 5 else names
    return ", ".join(shown)


def _tables(path: pathlib.Path, time: str | None, **options: Any) -> Iterator[pd.DataFrame]:
    """Read a CSV in chunks; `options` are passed to `pandas.read_csv`.

    Raises:
      UnusableError: it cannot be read or has no header.
    """
    open_text = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        with open_text(path, "rt", encoding="utf-8-sig") as file:
            header, first_row = file.readline(), file.readline()
        if not first_row.strip():
            raise UnusableError("has no rows")
        separator = max(_SEPARATORS, key=header.count)
        decimal = "," if separator != "," and "," in first_row else "."
        dialect = {"sep": separator, "decimal": decimal, "encoding": "utf-8-sig"}
        names = list(pd.read_csv(path, nrows=0, **dialect).columns)
        if np.isfinite(_seconds(pd.Series([_time_column(names, time)]))[0]):
            raise UnusableError(f"has no header: its first row is {_shortened(names)}")
        # A line with too many cells is skipped, which is a discontinuity in time.
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
        raise UnusableError(f"cannot be read as CSV: {reason}") from error


def _frames(
    path: pathlib.Path, time: str | None, columns: Sequence[str]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Read a CSV in chunks: seconds, float64 `[n]`, and levels, float32 `[n, F]`."""
    for table in _tables(path, time):
        names = list(table.columns)
        _check_columns(names, columns)
        stamps = table[_time_column(names, time)]
        seconds = _seconds(stamps)
        if np.isnan(seconds).all():
            raise UnusableError(
                f"column {stamps.name!r}: {str(stamps.iloc[0])!r} is neither ISO 8601 nor seconds"
            )
        levels = table[list(columns)].apply(_numbers).to_numpy(np.float32)
        yield seconds, levels


def read_times(path: pathlib.Path, time: str | None, bands: BandLevels) -> np.ndarray:
    """The time of each row of a CSV file in seconds, float64 `[rows]`.

    Raises:
      A2vError: the file cannot be used.
    """
    try:
        return np.concatenate([seconds for seconds, _ in _frames(path, time, bands.columns)])
    except (UnusableError, ValueError) as error:
        raise A2vError(f"{path} {error}: expected a CSV file of band levels") from error


def times_of(path: pathlib.Path, *texts: str) -> list[float]:
    """Parse times as those of the rows are: ISO 8601, or seconds.

    Raises:
      A2vError: one is neither; the message names `path`.
    """
    times = [float(_seconds(pd.Series([text]))[0]) for text in texts]
    for text, seconds in zip(texts, times, strict=True):
        if math.isnan(seconds):
            raise A2vError(f"{path}: {text!r} is neither ISO 8601 nor seconds")
    return times


def read_levels(path: pathlib.Path | str, time: str | None, bands: BandLevels) -> np.ndarray:
    """Read one CSV file, its frames where their times put them.

    Args:
      path: the CSV file.
      time: the column of timestamps; None for the first.
      bands: the columns of levels, and the seconds between frames.

    Returns:
      float32 `[T, F]` from the file's first to its last frame, NaN where frames are missing.

    Raises:
      A2vError: the file cannot be used.
    """
    path = pathlib.Path(path)
    try:
        read = list(_frames(path, time, bands.columns))
    except UnusableError as error:
        raise A2vError(f"{path} {error}: expected a CSV file of band levels") from error
    if not read:
        raise A2vError(f"{path} has no rows: expected a CSV file of band levels")
    seconds, levels = (np.concatenate(parts) for parts in zip(*read, strict=True))
    follows = _is_period(np.diff(seconds, prepend=np.nan), bands.period)
    complete = np.isfinite(levels).all(axis=1) & np.isfinite(seconds)
    stretches = _stretches(complete, follows)
    if not len(stretches):
        raise A2vError(f"{path} has no row in which no level is missing")
    start = seconds[stretches[0, 0]]
    places = np.round((seconds[stretches[:, 0]] - start) / bands.period)
    frames = (places + stretches[:, 1]).max()
    if not places.min() >= 0 or frames > _MOST_EMPTY * len(levels):
        raise A2vError(
            f"{path}: its times go from {start:g} to {seconds[stretches[-1, 0]]:g} s with "
            f"{len(levels)} rows: expected ascending times, a row every {bands.period:g} s"
        )
    placed = np.full((int(frames), len(bands.columns)), np.nan, np.float32)
    for place, (first, count) in zip(places.astype(int), stretches, strict=True):
        placed[place : place + count] = levels[first : first + count]
    return placed


# ---- The cache ----


@dataclasses.dataclass(frozen=True)
class File:
    """A converted CSV file.

    Attributes:
      data: file of raw float32 levels `[rows, F]`.
      rows: number of frames.
      stretches: first row and length of each continuous stretch, int64 `[n, 2]`.
      breaks: number of rows that do not follow the previous one by one period.
      missing: number of rows in which a level is missing.
      step: median time between rows, in seconds.
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


def converted(path: pathlib.Path, time: str | None, columns: Sequence[str], period: float) -> File:
    """Convert a CSV file, unless it is in the cache.

    Args:
      path: the CSV file.
      time: the column of timestamps; None for the first.
      columns: the F columns of levels.
      period: seconds from one frame to the next.

    Raises:
      UnusableError: it cannot be used.
      A2vError: the cache cannot be written.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise UnusableError(f"cannot be read: {error.strerror}") from error
    # The name is a hash of everything that the content depends on, so cached files never change.
    origin = [str(path.resolve()), status.st_size, status.st_mtime_ns]
    layout = [_CACHE_VERSION, time, columns, period]
    key = hashlib.sha256(json.dumps([*origin, *layout]).encode()).hexdigest()[:32]
    cache = cache_dir() / "spectrograms"
    data, index = (cache / f"{key}{suffix}" for suffix in (".f32", ".json"))
    try:
        facts = json.loads(index.read_text())
        whole = data.stat().st_size == 4 * facts["rows"] * len(columns)
    except (OSError, ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        try:
            facts = _convert(path, time, columns, period, data)
            with whole_file(index) as partial:
                partial.write_text(json.dumps(facts))
        except OSError as error:
            raise A2vError(
                f"cannot write the converted {path} to {cache}: {error.strerror}; "
                "set XDG_CACHE_HOME to another directory"
            ) from error
    stretches = np.array(facts.pop("stretches"), np.int64).reshape(-1, 2)
    return File(data=data, stretches=stretches, **facts)


def _convert(
    path: pathlib.Path,
    time: str | None,
    columns: Sequence[str],
    period: float,
    data: pathlib.Path,
) -> dict[str, Any]:
    """Write the levels to `data`; return the other fields of `File` for JSON."""
    follows, complete, steps = [], [], []
    last = np.full(1, np.nan)
    data.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(data) as partial, partial.open("wb") as file:
        for seconds, levels in _frames(path, time, columns):
            step = np.diff(seconds, prepend=last)
            last = seconds[-1:]
            follows.append(_is_period(step, period))
            complete.append(np.isfinite(levels).all(axis=1))
            steps.append(np.nanmedian(step) if np.isfinite(step).any() else np.nan)
            levels.tofile(file)

    if not complete:
        raise UnusableError("has no rows")
    is_complete, is_next = np.concatenate(complete), np.concatenate(follows)
    return {
        "rows": len(is_complete),
        "stretches": _stretches(is_complete, is_next).tolist(),
        "breaks": int((~is_next[1:]).sum()),
        "missing": int((~is_complete).sum()),
        "step": float(steps[0]),
    }


def _is_period(step: Any, period: float) -> Any:
    """Whether a time step is one period, to within half a period; false for NaN."""
    return np.abs(step - period) <= 0.5 * period


def _stretches(complete: np.ndarray, follows: np.ndarray) -> np.ndarray:
    """Find the runs of consecutive complete rows: first row and length, int64 `[n, 2]`.

    Args:
      complete: bool `[rows]`, whether a row has every level.
      follows: bool `[rows]`, whether a row follows the previous one by one period; the first value
        is ignored.
    """
    linked = complete & follows & np.append(False, complete[:-1])
    first = np.flatnonzero(complete & ~linked)
    last = np.flatnonzero(complete & ~np.append(linked[1:], False))
    return np.stack([first, last - first + 1], axis=1)
