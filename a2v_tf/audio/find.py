"""The audio files below a folder."""

import collections
import os
import pathlib
from collections.abc import Iterator

from absl import logging

from a2v_tf.audio import decode
from a2v_tf.errors import A2vError

_KINDS_SHOWN = 8


def find_audio(
    directory: pathlib.Path, flag: str = "--data", *, quiet: bool = False
) -> list[pathlib.Path]:
    """List the audio files below `directory`, sorted, without hidden files and folders.

    Files of other kinds are counted in one line of the log.

    Args:
      directory: folder to search; links to folders are followed.
      flag: flag that named it, for messages.
      quiet: do not log files of other kinds.

    Raises:
      A2vError: there are none.
    """
    if not directory.is_dir():
        what = "is not a directory" if directory.exists() else "does not exist"
        others = "demo or tfds:NAME" if flag == "--data" else "an audio file or demo"
        raise A2vError(f"{flag}={directory}: {what}; expected a folder of audio, {others}")
    paths, others_found = [], collections.Counter[str]()
    for parent, name in _walk(directory):
        suffix = os.path.splitext(name)[1].lower()
        if suffix in decode.SUFFIXES:
            paths.append(pathlib.Path(parent, name))
        else:
            others_found[suffix or "no suffix"] += 1
    if not paths:
        known = ", ".join(sorted(suffix[1:] for suffix in decode.SUFFIXES))
        raise A2vError(f"{flag}={directory}: no audio files there or below; looked for {known}")
    if others_found and not quiet:
        logging.warning("%s: %s", directory, _not_read(others_found))
    return sorted(paths, key=lambda path: path.relative_to(directory).as_posix())


def _not_read(counts: collections.Counter[str]) -> str:
    kinds = ", ".join(f"{count} {kind}" for kind, count in counts.most_common(_KINDS_SHOWN))
    more = ", ..." if len(counts) > _KINDS_SHOWN else ""
    return f"{counts.total()} files are not named as audio and not read: {kinds}{more}"


def _walk(directory: pathlib.Path) -> Iterator[tuple[str, str]]:
    """Yield (folder, file name); links to folders are followed, but no folder is visited twice."""
    seen = set()
    for parent, folders, names in os.walk(directory, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from ((parent, name) for name in names if not name.startswith("."))
