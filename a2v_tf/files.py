"""Files that are there whole or not at all, and the folder for what can be made again."""

import contextlib
import os
import pathlib
import uuid
from collections.abc import Iterator


@contextlib.contextmanager
def whole_file(path: pathlib.Path | str) -> Iterator[pathlib.Path]:
    """Give a path to write to, which takes the place of `path` when the block ends without error.

    A kill leaves the old file or the new one, never half; an error leaves the old one. The path
    has the suffix of `path`, by which Keras and NumPy choose a format.

    Raises:
      OSError: the file cannot be written.
    """
    path = pathlib.Path(path)
    partial = path.with_name(f".{uuid.uuid4().hex[:12]}.{path.name}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def cache_dir() -> pathlib.Path:
    """Where what can be made again is kept between commands; XDG_CACHE_HOME moves it."""
    root = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(root) / "a2v_tf"
