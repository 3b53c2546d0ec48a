"""Read audio files as mono PCM, whole or block by block, and cut sliding windows from it."""

import contextlib
import pathlib
from collections.abc import Iterable, Iterator

import numpy as np

from a2v_tf.audio import decode
from a2v_tf.errors import A2vError
from a2v_tf.frontend import FRONT_END
from a2v_tf.text import one_line

SLICE_SAMPLES = FRONT_END.samples(96)  # 15,600 samples: 975 ms


class AudioFileError(A2vError):
    """An audio file that cannot be used; the message begins with its path."""


def read_audio(
    path: pathlib.Path | str, channels: str = "mix", sample_rate: int = FRONT_END.sample_rate
) -> np.ndarray:
    """Read a whole audio file as mono PCM, at 16 kHz unless another rate is asked for.

    Files of other rates are resampled with soxr's anti-aliasing filter. An hour at 16 kHz takes 230
    MB; `audio_blocks` gives the same samples in blocks.

    Args:
      path: file in any format of `decode`.
      channels: "mix" for the mean of the channels, "left" for the first, or "loudest" for the one
        with the most energy.
      sample_rate: of the result, in Hz; an encoder's is `Embedder.sample_rate`.

    Returns:
      float32 `[samples]`, nominally in [-1, 1].

    Raises:
      AudioFileError: the file is missing, empty, corrupt or cut short, has NaN, infinite or far too
        large samples, or channels that cancel each other.
    """
    with _named_errors(path):
        return decode.whole(existing_file(path), channels, sample_rate)


def audio_blocks(
    path: pathlib.Path | str, channels: str = "mix", sample_rate: int = FRONT_END.sample_rate
) -> Iterator[np.ndarray]:
    """Read an audio file block by block, of about a second each; otherwise as `read_audio`.

    What is wrong with a file may show only at its end.
    """
    with _named_errors(path):
        yield from decode.blocks(existing_file(path), channels, sample_rate)


@contextlib.contextmanager
def _named_errors(path: pathlib.Path | str) -> Iterator[None]:
    try:
        yield
    except decode.DecodeError as error:
        raise AudioFileError(f"{one_line(path)}: {error}") from error


def existing_file(path: pathlib.Path | str) -> pathlib.Path:
    """The path of an audio file.

    Raises:
      AudioFileError: there is no such file, or it is a directory.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        what = "is a directory: expected an audio file" if path.is_dir() else "no such file"
        raise AudioFileError(f"{one_line(path)}: {what}")
    return path


def windows(pcm: np.ndarray, hop_samples: int, length: int = SLICE_SAMPLES) -> np.ndarray:
    """Cut PCM into sliding windows.

    Only whole windows are cut: up to `hop_samples - 1` samples at the end of the clip are left out.
    A clip shorter than one window is padded with zeros at its end to exactly one.

    Args:
      pcm: `[samples]`, at least one.
      hop_samples: samples from the start of one window to the start of the next.
      length: samples of a window; the default is one slice, 975 ms.

    Returns:
      `[n, length]`, a read-only view of `pcm` unless it was padded.
    """
    if len(pcm) < length:
        pcm = np.pad(pcm, (0, length - len(pcm)))
    return np.lib.stride_tricks.sliding_window_view(pcm, length)[::hop_samples]


def window_batches(
    blocks: Iterable[np.ndarray], hop_samples: int, length: int, count: int
) -> Iterator[np.ndarray]:
    """Cut blocks of PCM into the same windows as `windows`, `count` at a time.

    Args:
      blocks: `[any number]` each.
      hop_samples: as of `windows`.
      length: as of `windows`.
      count: windows in a batch; the last one may have fewer.

    Yields:
      `[n, length]`.
    """
    step = count * hop_samples
    needed = max(step, step - hop_samples + length)
    rest, is_first = np.zeros(0, np.float32), True
    for pcm in joined(blocks, needed):
        rest = np.concatenate([rest, pcm])
        while len(rest) >= needed:
            yield windows(rest, hop_samples, length)[:count]
            rest, is_first = rest[step:], False
    if is_first or len(rest) >= length:
        yield windows(rest, hop_samples, length)


def joined(blocks: Iterable[np.ndarray], samples: int) -> Iterator[np.ndarray]:
    """Join blocks to blocks of at least `samples`, to copy each sample only once."""
    held: list[np.ndarray] = []
    for block in blocks:
        held.append(block)
        if sum(map(len, held)) >= samples:
            yield np.concatenate(held)
            held = []
    if held:
        yield np.concatenate(held)
