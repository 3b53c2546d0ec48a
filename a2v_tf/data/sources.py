"""Where the sound for training comes from: a folder, a TFDS data set, or the demo corpus.

```python
source = open_source("/data/recordings")
source.check(samples)  # A2vError in one line, before training starts
with one_line_errors(source):  # and while it runs
    for pcm, clip in source.crops(samples, seed=1, round_index=0).batch(256):
        ...
```
"""

import contextlib
import pathlib
from collections.abc import Iterator
from typing import Protocol

import tensorflow as tf

from a2v_tf.data.bad_files import BadFiles
from a2v_tf.data.folder import FolderSource


class Source(Protocol):
    """Sound to draw crops from.

    Attributes:
      bad: what was skipped so far.
    """

    bad: BadFiles

    def check(self, samples: int) -> None:
        """Raise `A2vError` in one line unless crops of `samples` samples can be drawn.

        Call it before `crops`, which makes the same check, but from inside a traced function the
        message grows by a stack trace.
        """

    def crops(self, samples: int, *, seed: int, round_index: int | tf.Tensor) -> tf.data.Dataset:
        """Draw crops for ever, every frame of the corpus equally likely to be the first.

        The stream is a pure function of the data, `samples`, `seed` and `round_index`.

        Args:
          samples: samples in a crop.
          seed: seed of everything random.
          round_index: other rounds give other crops; int64 scalar, may be symbolic.

        Returns:
          Infinite dataset of PCM in [-1, 1] at 16 kHz, float32 `[samples]`, and the recording that
          it is from, an int64 scalar: equal for crops of one recording, different for others.
        """

    def describe(self) -> str:
        """Say on one line how many files and hours there are, and how many are skipped."""


def open_source(
    data: str,
    *,
    max_bad_fraction: float = 0.1,
    decoder: str = "auto",
    log_dir: pathlib.Path | None = None,
) -> Source:
    """Open a source of sound.

    Args:
      data: "demo", a directory, or "tfds:NAME[/CONFIG][:SPLIT]".
      max_bad_fraction: stop once more than this fraction of the files cannot be used.
      decoder: "auto", "soundfile" or "tfio", for folders; see `FolderSource`.
      log_dir: if given, what is skipped is also written to `log_dir/bad_files.csv`.

    Raises:
      A2vError: in one line, if the source cannot be used.
    """
    bad = BadFiles(max_bad_fraction, log_dir)
    if data.startswith("tfds:"):
        from a2v_tf.data.tfds_source import TfdsSource

        return TfdsSource(data.removeprefix("tfds:"), bad)
    if data == "demo":
        from a2v_tf.data import demo

        return FolderSource(demo.ensure() / "train", bad, decoder)
    return FolderSource(data, bad, decoder)


@contextlib.contextmanager
def one_line_errors(source: Source) -> Iterator[None]:
    """Within the block, turn the tf.data error that hides an `A2vError` back into it."""
    try:
        yield
    except tf.errors.OpError as error:
        if source.bad.failure is not None:
            raise source.bad.failure from error
        raise
