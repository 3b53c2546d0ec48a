"""What was measured of a recording by decoding it once, kept for the next time.

It is kept in the user's cache folder, not beside the recording, where one often cannot write. A
file that has another size or time of modification is measured again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import pathlib
import sqlite3
from collections.abc import Callable

import numpy as np
from absl import logging

from a2v_tf.audio.by_av import Points
from a2v_tf.files import cache_dir

VERSION = 1  # of what the decoders do
_PATIENCE = 30.0  # seconds that one process waits for another

_TABLE = """
CREATE TABLE IF NOT EXISTS recordings (
  path BLOB, kind TEXT, size INTEGER, time INTEGER, version INTEGER,
  length INTEGER, loudest INTEGER, points BLOB, PRIMARY KEY (path, kind))
"""


@dataclasses.dataclass(frozen=True)
class Measured:
    """What decoding a recording once tells.

    Attributes:
      length: samples per channel.
      loudest: the channel with the most energy; None if that was not asked for.
      points: where decoding can start.
    """

    length: int
    loudest: int | None
    points: Points


def measured(
    path: pathlib.Path, kind: str, measure: Callable[[pathlib.Path], Measured]
) -> Measured:
    """Look a recording up, or measure and keep it.

    Args:
      path: the file.
      kind: of the measurement; those of different kinds are kept apart.
      measure: measures it.
    """
    stat = path.stat()
    key = (os.fsencode(os.path.abspath(path)), kind, stat.st_size, stat.st_mtime_ns, VERSION)
    if (known := _look_up(key)) is not None:
        return known
    found = measure(path)
    points = np.stack(dataclasses.astuple(found.points)).tobytes()
    values = (found.length, found.loudest, points)
    _execute("INSERT OR REPLACE INTO recordings VALUES (?,?,?,?,?,?,?,?)", (*key, *values))
    return found


def _look_up(key: tuple) -> Measured | None:
    row = _execute(
        "SELECT length, loudest, points FROM recordings "
        "WHERE path=? AND kind=? AND size=? AND time=? AND version=?",
        key,
    )
    if row is None:
        return None
    return Measured(row[0], row[1], Points(*np.frombuffer(row[2], np.int64).reshape(3, -1)))


def _execute(statement: str, values: tuple) -> tuple | None:
    """Its first row; None also if the database cannot be used, which costs time, nothing else."""
    try:
        folder = cache_dir()
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(
            sqlite3.connect(folder / "recordings.sqlite", timeout=_PATIENCE)
        ) as database:
            # After a crash of the machine, the worst that can happen is to measure again.
            database.execute("PRAGMA synchronous=OFF")
            database.execute(_TABLE)
            with database:
                return database.execute(statement, values).fetchone()
    except (sqlite3.Error, OSError) as error:
        _warn(str(error))
        return None


@functools.cache
def _warn(reason: str) -> None:
    logging.warning("the lengths of compressed audio are not kept: %s: %s", cache_dir(), reason)
