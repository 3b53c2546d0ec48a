"""Audio for training: a folder, a TFDS data set, the demo corpus, or a source of your own.

Or spectrograms that were computed elsewhere: their crops are frames instead of PCM.

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
from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import tensorflow as tf

from a2v_tf.audio.bad_files import BadFiles
from a2v_tf.data import spectrogram
from a2v_tf.data.folder import FolderSource
from a2v_tf.data.sampling import EVERYTHING, Share
from a2v_tf.data.spectrogram import SpectrogramSource
from a2v_tf.errors import A2vError
from a2v_tf.frontend import FRONT_END, FrontEnd
from a2v_tf.plugins import is_reference, load_object
from a2v_tf.specs import MAX_BAD_FRACTION, PERIOD, SPECTROGRAM, BandLevels


class ReportsBad(Protocol):
    """Data of any kind that keeps count of what it skipped."""

    bad: BadFiles


class Source(Protocol):
    """Sound to draw crops from.

    Attributes:
      bad: what was skipped so far.
      front_end: what makes frames of a crop; of spectrogram corpora, what their frames are. Its
        method `samples` gives the length of crop for a number of frames.
    """

    bad: BadFiles

    @property
    def front_end(self) -> FrontEnd | BandLevels: ...

    def check(self, samples: int) -> None:
        """Raise `A2vError` in one line unless crops of `samples` samples can be drawn.

        Call it before `crops`, which makes the same check, but from inside a traced function the
        message grows by a stack trace.
        """

    def crops(
        self,
        samples: int,
        *,
        seed: int,
        round_index: int | tf.Tensor,
        share: Share = EVERYTHING,
    ) -> tf.data.Dataset:
        """Draw crops for ever, every frame of the corpus equally likely to be the first.

        The stream is a pure function of the data and the arguments.

        Args:
          samples: samples in a crop.
          seed: seed of everything random.
          round_index: other rounds give other crops; int64 scalar, may be symbolic.
          share: which of these crops to give, if several workers share them. A folder reads and
            decodes those alone; of a TFDS data set, whose records can only be read in their order,
            every worker reads all, and converts its own.

        Returns:
          Infinite dataset of PCM in [-1, 1] at the front end's sample rate, float32 `[samples]` (or
          of frames, float32 `[samples, F]`, if the front end is `BandLevels`), and the recording
          that it is from, an int64 scalar: equal for crops of one recording, different for others.
        """

    def describe(self) -> str:
        """Say on one line how many files and hours there are, and how many are skipped."""


@runtime_checkable
class ManyCropsSource(Source, Protocol):
    """A source that can draw several crops of a clip that it reads."""

    @property
    def gives_log_mel(self) -> bool:
        """Whether its crops can be log-mel, computed once for all crops of a clip."""

    def crops(
        self,
        samples: int,
        *,
        seed: int,
        round_index: int | tf.Tensor,
        share: Share = EVERYTHING,
        crops_per_clip: int = 1,
        as_log_mel: bool = False,
    ) -> tf.data.Dataset:
        """Draw crops as `Source.crops` does; see `TfdsSource.crops`."""


@runtime_checkable
class PlacingSource(Source, Protocol):
    """A source that says where in its recording a crop is.

    Attributes:
      gives_places: always true.
    """

    gives_places: bool

    def crops(
        self,
        samples: int,
        *,
        seed: int,
        round_index: int | tf.Tensor,
        share: Share = EVERYTHING,
        places: bool = False,
    ) -> tf.data.Dataset:
        """Draw crops as `Source.crops` does.

        With `places`, there is a third element, int64 `[3]`: the number of the crop among all crops
        of its recording, k; how many these are, n; and the frame s at which crop 0 starts: crop k
        starts at frame s + k. Of a recording with interruptions, each part counts by itself.
        """


@runtime_checkable
class ReadsFrames(PlacingSource, Protocol):
    """A source that can read any frames of its recordings."""

    def read(self, clip: int, first: int, frames: int) -> np.ndarray:
        """Read frames of a recording, `[frames, F]`."""


def open_source(
    data: str,
    *,
    max_bad_fraction: float = MAX_BAD_FRACTION,
    decoder: str = "auto",
    channels: str = "mix",
    spectrogram_time: str | None = None,
    spectrogram_columns: Sequence[str] | None = None,
    spectrogram_period: float = PERIOD,
    front_end: FrontEnd = FRONT_END,
    log_dir: pathlib.Path | None = None,
) -> Source:
    """Open a source of sound.

    Args:
      data: "demo", a directory, "tfds:NAME[/CONFIG][:SPLIT]", "spectrogram:DIR[:SPLIT]", or
        "package.module:NAME": a function or class of your own that is called with `bad`, the
        `BadFiles` to report skipped recordings to, and returns a `Source`.
      max_bad_fraction: stop once more than this fraction of the files cannot be used.
      decoder: "auto", "soundfile" or "tfio", for folders; see `FolderSource`.
      channels: what to use of the channels of the files of folders; see `decode.probe`.
      spectrogram_time: the column of timestamps of spectrograms; see `SpectrogramSource`.
      spectrogram_columns: the columns of their bands.
      spectrogram_period: seconds from one of their frames to the next.
      front_end: what is to make the frames of audio.
      log_dir: if given, what is skipped is also written to `log_dir/bad_files.csv`.

    Raises:
      A2vError: in one line, if the source cannot be used.
    """
    bad = BadFiles(max_bad_fraction, log_dir)
    if data.startswith("tfds:"):
        from a2v_tf.data.tfds_source import TfdsSource

        return TfdsSource(data.removeprefix("tfds:"), bad, front_end)
    if data.startswith(SPECTROGRAM):
        return SpectrogramSource(
            data.removeprefix(SPECTROGRAM),
            bad,
            time=spectrogram_time,
            columns=spectrogram_columns or (),
            period=spectrogram_period,
        )
    if data == "demo":
        from a2v_tf.data import demo

        return FolderSource(demo.ensure() / "train", bad, decoder, channels, front_end)
    if is_reference(data):
        return _plugin(data, bad, front_end)
    return FolderSource(data, bad, decoder, channels, front_end)


_SOURCE_NAMES = ("bad", "front_end", "check", "crops", "describe")


def _plugin(data: str, bad: BadFiles, front_end: FrontEnd) -> Source:
    found = load_object(data, "--data")
    expected = "expected a class or function that makes a source from a BadFiles"
    if not callable(found):
        raise A2vError(f"--data={data}: {expected}, not {type(found).__name__}")
    source = found(bad)
    lacks = [name for name in _SOURCE_NAMES if not hasattr(source, name)]
    if lacks:
        raise A2vError(
            f"--data={data}: {expected}; its {type(source).__name__} lacks {', '.join(lacks)}"
        )
    if isinstance(source.front_end, FrontEnd) and source.front_end != front_end:
        raise A2vError(
            f"--data={data}: is made for {source.front_end}; expected the front end of the "
            f"settings, {front_end}"
        )
    return source


def default_validation(data: str) -> str | None:
    """The data that `data` sets aside for validation: the val files of a spectrogram corpus."""
    if not data.startswith(SPECTROGRAM):
        return None
    held_out = spectrogram.default_validation(data.removeprefix(SPECTROGRAM))
    return held_out and SPECTROGRAM + held_out


@contextlib.contextmanager
def one_line_errors(source: ReportsBad) -> Iterator[None]:
    """Within the block, turn the tf.data error that hides an `A2vError` back into it."""
    try:
        yield
    except tf.errors.OpError as error:
        if source.bad.failure is not None:
            raise source.bad.failure from error
        raise
