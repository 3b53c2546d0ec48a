"""Read whole audio files as 16 kHz mono PCM, and cut sliding windows from it."""

import pathlib

import numpy as np

from a2v_tf.audio import decode
from a2v_tf.errors import A2vError
from a2v_tf.frontend import FRONT_END

SLICE_SAMPLES = FRONT_END.samples(96)  # 15,600 samples: 975 ms


def read_audio(path: pathlib.Path | str) -> np.ndarray:
    """Read a whole audio file as mono PCM at 16 kHz.

    Channels are averaged, other sample rates resampled with soxr's anti-aliasing filter.

    Args:
      path: file in any format of `decode`.

    Returns:
      float32 `[samples]`, nominally in [-1, 1].

    Raises:
      A2vError: the file is missing, empty or corrupt, or holds NaN or infinity.
    """
    path = existing_file(path)
    try:
        pcm = decode.read(path, decode.probe(path))
    except decode.DecodeError as error:
        raise A2vError(f"{path}: {error}") from error
    if not np.isfinite(pcm).all():
        raise A2vError(f"{path}: has NaN or infinite samples")
    return pcm


def existing_file(path: pathlib.Path | str) -> pathlib.Path:
    """The path of an audio file.

    Raises:
      A2vError: there is no such file, or it is a directory.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        what = "is a directory: expected an audio file" if path.is_dir() else "no such file"
        raise A2vError(f"{path}: {what}")
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
