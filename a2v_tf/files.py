"""Files that are written completely or not at all, and the cache folder."""

import contextlib
import json
import os
import pathlib
import uuid
from collections.abc import Iterator
from typing import Any

from a2v_tf.errors import A2vError


@contextlib.contextmanager
def whole_file(path: pathlib.Path | str) -> Iterator[pathlib.Path]:
    """Yield a path to write to, which replaces `path` when the block ends without error.

    After a kill there is the old file or the new one, never a part; after an error, the old one.
    The path has the suffix of `path`, from which Keras and NumPy infer the format.

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


def write_json(path: pathlib.Path | str, content: Any) -> None:
    """Write a JSON file completely or not at all.

    Raises:
      OSError: the file cannot be written.
    """
    text = json.dumps(content, indent=2)
    with whole_file(path) as partial:
        partial.write_text(text + "\n")


def checked_output(flag: str, path: str, suffix: str = "") -> pathlib.Path:
    """Check before the work that its result can be written.

    Args:
      flag: the flag that gives `path`, without dashes.
      path: of the file to write.
      suffix: that the file's name must end in.

    Raises:
      A2vError: another suffix, or a directory that does not exist.
    """
    output = pathlib.Path(path)
    if not output.name.endswith(suffix):
        raise A2vError(f"--{flag}={path!r}: expected a name ending in {suffix}")
    if not output.absolute().parent.is_dir():
        raise A2vError(f"--{flag}={path!r}: no directory {str(output.parent)!r}")
    return output


def cache_dir() -> pathlib.Path:
    """Folder for files that can be recomputed; in XDG_CACHE_HOME if that is set."""
    root = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(root) / "a2v_tf"
