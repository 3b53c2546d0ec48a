"""Recognise the files of a data set wherever they lie."""

import hashlib
import os
import pathlib
from collections.abc import Sequence

from a2v_tf.audio.find import find_audio
from a2v_tf.data.spectrogram import split_files
from a2v_tf.errors import A2vError
from a2v_tf.specs import SPECTROGRAM

_LOOKED_INTO = 1_000  # files, spread over all
_BLOCK = 4_096  # bytes from the middle of each


def fingerprint(data: str) -> str | None:
    """Digest of the names and sizes of the files that `data` names, and of parts of their content.

    Args:
      data: a directory, "spectrogram:DIR[:SPLIT]" or "csv:PATH", as `--data` and `--probe` take it.

    Returns:
      Hex digest, equal for the same files below another directory; None for data that have a name
      of their own, and for what cannot be read.
    """
    if data == "demo":
        return None
    try:
        if data.startswith("csv:"):
            return hashlib.sha256(pathlib.Path(data.removeprefix("csv:")).read_bytes()).hexdigest()
        if data.startswith(SPECTROGRAM):
            splits, split = split_files(data.removeprefix(SPECTROGRAM))
            return _of_files(splits[split])
        directory = pathlib.Path(data)
        return _of_files(find_audio(directory, quiet=True)) if directory.is_dir() else None
    except (A2vError, OSError):
        return None


def same_place(one: str, other: str) -> bool:
    """Whether two spellings are of one directory or file."""
    return os.path.exists(one) and os.path.realpath(one) == os.path.realpath(other)


def _of_files(paths: Sequence[pathlib.Path]) -> str:
    root = os.path.commonpath([path.parent for path in paths])
    sha = hashlib.sha256()
    every = -(-len(paths) // _LOOKED_INTO)
    for i, path in enumerate(paths):
        size = path.stat().st_size
        sha.update(os.fsencode(os.path.relpath(path, root)) + b"\0%d\0" % size)
        if i % every == 0:
            with path.open("rb") as file:
                file.seek(size // 2)
                sha.update(file.read(_BLOCK))
    return sha.hexdigest()
