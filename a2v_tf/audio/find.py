"""The audio files below a folder."""

import os
import pathlib
from collections.abc import Iterator

from a2v_tf.audio import decode
from a2v_tf.errors import A2vError


def find_audio(directory: pathlib.Path, flag: str = "--data") -> list[pathlib.Path]:
    """List the audio files below `directory`, sorted, without hidden files.

    Args:
      directory: folder to search; links to folders are followed.
      flag: flag that named it, for messages.

    Raises:
      A2vError: there are none.
    """
    if not directory.is_dir():
        what = "is not a directory" if directory.exists() else "does not exist"
        others = "demo or tfds:NAME" if flag == "--data" else "an audio file or demo"
        raise A2vError(f"{flag}={directory}: {what}; expected a folder of audio, {others}")
    paths = [
        pathlib.Path(parent, name)
        for parent, name in _walk(directory)
        if not name.startswith(".") and os.path.splitext(name)[1].lower() in decode.SUFFIXES
    ]
    if not paths:
        known = ", ".join(sorted(suffix[1:] for suffix in decode.SUFFIXES))
        raise A2vError(f"{flag}={directory}: no audio files there or below; looked for {known}")
    return sorted(paths, key=lambda path: path.relative_to(directory).as_posix())


def _walk(directory: pathlib.Path) -> Iterator[tuple[str, str]]:
    """Yield (folder, file name); links to folders are followed, but no folder is visited twice."""
    seen = set()
    for parent, folders, names in os.walk(directory, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        yield from ((parent, name) for name in names)
