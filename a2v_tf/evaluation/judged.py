"""What an evaluation has judged, kept in a file until its results are complete."""

import json
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from absl import logging

from a2v_tf.errors import A2vError
from a2v_tf.evaluation.metrics import Row
from a2v_tf.files import output_file


class Judged:
    """Rows of results that are judged once, also if the process is killed in between."""

    def __init__(
        self, path: pathlib.Path | None = None, settings: Mapping[str, Any] | None = None
    ) -> None:
        """Read what is kept: a line with the settings, and one for each call of `rows`.

        Args:
          path: of the file; None keeps nothing.
          settings: all that rows depend on.

        Raises:
          A2vError: the file is of other settings, or cannot be written.
        """
        self._path = path
        self._kept: dict[str, list[Row]] = {}
        if path is None:
            return
        now = json.loads(json.dumps(settings, default=str))
        lines = list(_lines(path))
        before = lines[0].get("settings") if lines else None
        if before == now:
            self._kept = {line["key"]: line["rows"] for line in lines[1:]}
        elif len(lines) > 1 and before is not None:
            changed = ", ".join(key for key in now if before.get(key) != now[key])
            raise A2vError(
                f"{str(path)!r} holds results with other settings ({changed}): expected the same, "
                "or that you delete it"
            )
        if self._kept:
            logging.info("%s: %d results are not judged again", path, len(self._kept))
        kept = [{"key": key, "rows": rows} for key, rows in self._kept.items()]
        with output_file(path) as partial:
            text = "".join(json.dumps(line) + "\n" for line in ({"settings": now}, *kept))
            partial.write_text(text)

    def rows(
        self, key: Sequence[Any], judge: Callable[[], list[Row]], *, again: bool = False
    ) -> list[Row]:
        """The rows that `judge` gives, or gave when they were judged before.

        Args:
          key: identifies the rows among all that depend on the same settings.
          judge: what computes them.
          again: judge in any case, as something else that `judge` makes is missing.
        """
        if self._path is None:
            return judge()
        name = json.dumps(key)
        if again or name not in self._kept:
            line = json.dumps({"key": name, "rows": judge()})
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
                file.flush()
                os.fsync(file.fileno())
            self._kept[name] = json.loads(line)["rows"]
        return self._kept[name]


def _lines(path: pathlib.Path) -> Sequence[dict[str, Any]]:
    """The whole lines of a file; the last may have been cut by a kill."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            found.append(json.loads(line))
        except ValueError:
            break
    return found
