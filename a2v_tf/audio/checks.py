"""What samples may be: the one check of PCM, wherever it comes from, and its conversion to float.

Files, pipes, clips of data sets and arrays that are given to an `Embedder` all pass `flaw`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from a2v_tf.errors import A2vError

# Audio is digitally silent if its peak is below half a step of 16-bit PCM.
SILENCE_PEAK = 0.5 / 32_768.0

# Decoders and resamplers overshoot 1 slightly; beyond this, the samples have another scale.
LOUDEST_PEAK = 2.0

# Full scale of the integer types that audio is stored in, and the value of silence.
_SCALES = {"uint8": (128.0, 128.0), "int16": (32_768.0, 0.0), "int32": (2.0**31, 0.0)}


def flaw(pcm: np.ndarray) -> str | None:
    """Return why PCM, float32 `[samples]`, cannot be used; None if it can, also if it is silent."""
    if not len(pcm):
        return None
    peak = max(pcm.max(), -pcm.min())
    if not np.isfinite(peak):
        return "has NaN or infinite samples"
    return f"has samples up to {peak:.3g}, expected [-1, 1]" if peak > LOUDEST_PEAK else None


def is_silent(pcm: np.ndarray) -> bool:
    """Whether PCM, float32 `[samples]`, is digitally silent."""
    return max(pcm.max(), -pcm.min()) < SILENCE_PEAK


def as_pcm(values: npt.ArrayLike) -> np.ndarray:
    """Convert samples of any usual type to float32 of the same shape, nominally in [-1, 1].

    Args:
      values: floats in [-1, 1]; or int16, int32 or uint8 of full scale, as sound files and sound
        cards have them: int16 / 32768, int32 / 2**31, (uint8 - 128) / 128.

    Raises:
      A2vError: another type, or samples that `flaw` refuses.
    """
    pcm = np.asarray(values)
    if pcm.dtype.kind != "f":
        if pcm.dtype.name not in _SCALES:
            raise A2vError(
                f"pcm is {pcm.dtype}: expected floats in [-1, 1], or {', '.join(_SCALES)}"
            )
        full, zero = _SCALES[pcm.dtype.name]
        return ((pcm.astype(np.float64) - zero) / full).astype(np.float32)
    pcm = pcm.astype(np.float32, copy=False)
    if reason := flaw(pcm.reshape(-1)):
        raise A2vError(f"pcm {reason}")
    return pcm
