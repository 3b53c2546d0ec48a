"""Skipped files of a source: a log line each, a count, and an error if there are too many."""

import csv
import pathlib
import threading
from typing import NoReturn

from absl import logging

from a2v_tf.errors import A2vError
from a2v_tf.text import one_line, printable

_REASONS_SHOWN = 3


class BadFiles:
    """The files, or clips of a data set, that could not be used, with reasons. Thread-safe.

    Attributes:
      failure: the error that stopped the source, or None. tf.data turns an exception into a long
        `tf.errors` exception; this keeps its one-line message.
    """

    def __init__(self, max_fraction: float, log_dir: pathlib.Path | None = None):
        """Allow `max_fraction` in [0, 1]; with `log_dir`, append to `log_dir/bad_files.csv`."""
        if not 0.0 <= max_fraction <= 1.0:
            raise A2vError(f"max_bad_fraction={max_fraction}: expected a number from 0 to 1")
        self.failure: A2vError | None = None
        self._max_fraction = max_fraction
        self._csv = pathlib.Path(log_dir) / "bad_files.csv" if log_dir else None
        self._reasons: dict[str, str] = {}
        self._notes: set[str] = set()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._reasons)

    def __contains__(self, name: str) -> bool:
        return printable(name) in self._reasons

    def add(self, name: str, reason: str) -> None:
        """Log that `name` is skipped because of `reason`, once per name."""
        name = printable(name)
        with self._lock:
            if name in self._reasons:
                return
            self._reasons[name] = reason
            logging.warning("skipped %s: %s", one_line(name), reason)
            if self._csv:
                _append_row(self._csv, name, reason)

    def note_once(self, name: str, remark: str) -> None:
        """Log a remark about a usable file, once per file."""
        name = printable(name)
        with self._lock:
            if name in self._notes:
                return
            self._notes.add(name)
        logging.warning("%s: %s", one_line(name), remark)

    def write_down(self, name: str, remark: str) -> None:
        """Add a remark about a usable file to `bad_files.csv`, without counting the file as bad."""
        name = printable(name)
        with self._lock:
            logging.info("%s: %s", one_line(name), remark)
            if self._csv:
                _append_row(self._csv, name, remark)

    def check(self, seen: int, noun: str) -> None:
        """Raise `A2vError` if more than the allowed fraction of `seen` `noun` is bad."""
        bad = len(self._reasons)
        if bad <= self._max_fraction * seen:
            return
        self.fail(
            f"{bad} of {seen} {noun} cannot be used, more than max_bad_fraction="
            f"{self._max_fraction:g} allows ({self.first()})"
        )

    def first(self) -> str:
        """The first bad ones and their reasons, in one line."""
        reasons = [f"{name}: {reason}" for name, reason in self._reasons.items()]
        more = ["..."] if len(reasons) > _REASONS_SHOWN else []
        return "; ".join([*reasons[:_REASONS_SHOWN], *more])

    def fail(self, message: str) -> NoReturn:
        """Raise an `A2vError` and keep the first one: prefetching may run into more."""
        failure = A2vError(message)
        self.failure = self.failure or failure
        raise failure


def _append_row(path: pathlib.Path, name: str, reason: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(["path", "reason"])
        writer.writerow([name, reason])
