"""Embeddings on disk, to be reused by later evaluations of the same encoder."""

import dataclasses
import hashlib
import json
import pathlib
import re
from typing import Any

import keras
import numpy as np
from absl import logging

from a2v_tf.errors import A2vError
from a2v_tf.evaluation.windows import Windows
from a2v_tf.files import digest_of, made_directory, read_npz, whole_file

VERSION = 1  # raise it whenever windows or their embeddings change


class EmbeddingCache:
    """A directory with a file for each task and model.

    File names contain a digest of everything that the embeddings depend on (encoder, clips, front
    end), so that outdated embeddings are never read.
    """

    def __init__(self, directory: pathlib.Path | str) -> None:
        """Create the directory if it does not exist.

        Raises:
          A2vError: it cannot be written.
        """
        self._directory = made_directory("cache_dir", directory)

    def load(self, task: str, contents: dict[str, Any]) -> Windows | None:
        """The windows that `save` stored for the same contents, or None."""
        path = self._path(task, contents)
        if not path.is_file():
            return None
        try:
            fields: dict[str, Any] = dict(read_npz(path))
            windows = Windows(**{**fields, "classes": tuple(fields["classes"].tolist())})
        except (A2vError, ValueError, KeyError, TypeError, AttributeError) as error:
            logging.warning("%s is damaged and will be written again: %s", path, error)
            return None
        logging.info("%s: embeddings reused from %s", task, path)
        return windows

    def save(self, task: str, contents: dict[str, Any], windows: Windows) -> None:
        """Store windows, atomically."""
        path = self._path(task, contents)
        names = [field.name for field in dataclasses.fields(windows) if field.name != "judge"]
        fields = {name: getattr(windows, name) for name in names}
        if windows.drawn is None:
            del fields["drawn"]
        try:
            with whole_file(path) as partial:
                np.savez(partial, **fields)
        except OSError as error:  # a full disk: the evaluation can do without
            logging.warning("cannot write %s: %s", path, error.strerror)

    def _path(self, task: str, contents: dict[str, Any]) -> pathlib.Path:
        text = json.dumps({"version": VERSION, **contents}, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:24]
        return self._directory / f"{re.sub(r'[^A-Za-z0-9_.-]', '_', task)}.{digest}.npz"


def encoder_key(encoder: keras.Model) -> str:
    """A digest of an encoder's architecture and weights."""
    digest = hashlib.sha256(encoder.to_json().encode())
    for weight in encoder.get_weights():
        digest.update(f"{weight.shape}{weight.dtype}".encode())
        digest.update(np.ascontiguousarray(weight).tobytes())
    return f"keras:{digest.hexdigest()}"


def file_key(path: pathlib.Path) -> str:
    """A digest of a file's content.

    Raises:
      A2vError: it cannot be read.
    """
    return f"file:{digest_of(path)}"
