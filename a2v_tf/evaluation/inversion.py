"""From log-mel back to audio (patent paragraph 60).

What the front end discards is estimated: 257 frequency magnitudes from 64 mel bins by non-negative
least squares, and the phase by the Griffin-Lim algorithm. Therefore an inverted slice sounds rough
even if its log-mel is exact.
"""

from types import ModuleType

import numpy as np
from threadpoolctl import threadpool_limits

from a2v_tf.errors import A2vError
from a2v_tf.frontend import FRONT_END, FrontEnd, hann_window, mel_matrix

ITERATIONS = 64
MARGIN = 2  # frames added at each end, so that every sample is covered by whole windows
# The least-squares solver stops at an absolute residual, so the level is normalised: the largest
# mel magnitude becomes that of a full-scale sine.
_PEAK = 100.0


def require_librosa() -> ModuleType:
    """Import librosa, which only inversion needs.

    Raises:
      A2vError: it is not installed.
    """
    try:
        import librosa
    except ImportError as error:
        raise A2vError("turning log-mel into sound needs librosa: pip install librosa") from error
    return librosa


def invert(log_mel: np.ndarray, spec: FrontEnd = FRONT_END) -> np.ndarray:
    """Estimate PCM with a given log-mel spectrogram.

    Args:
      log_mel: float `[frames, F]`.
      spec: the front end that made it.

    Returns:
      float32 `[samples]`, the fewest that give as many frames. The result is deterministic.

    Raises:
      A2vError: another shape, values that are not finite, or librosa is not installed.
    """
    require_librosa()
    log_mel = np.asarray(log_mel, np.float32)
    if log_mel.ndim != 2 or log_mel.shape[1] != spec.bins or not len(log_mel):
        raise A2vError(f"log_mel has the shape {log_mel.shape}: expected (frames, {spec.bins})")
    mel = np.maximum(np.exp(log_mel) - spec.log_offset, 0.0)
    peak = mel.max()
    if not np.isfinite(peak):
        raise A2vError("log_mel has values that are NaN, infinite or beyond 88")
    if not peak:
        return np.zeros(spec.samples(len(log_mel)), np.float32)
    mel = np.pad(mel * (_PEAK / peak), ((MARGIN, MARGIN), (0, 0)), mode="edge")
    pcm = griffin_lim(magnitudes(mel, spec), spec)
    # librosa centres the window in the frame of the FFT; the front end starts the frame with it.
    start = MARGIN * spec.hop_length + (spec.fft_length - spec.window_length) // 2
    pcm = pcm[start : start + spec.samples(len(log_mel))]
    return (pcm * (peak / _PEAK)).astype(np.float32)


def magnitudes(mel: np.ndarray, spec: FrontEnd = FRONT_END) -> np.ndarray:
    """Estimate the frequency magnitudes of mel magnitudes `[frames, mel_bins]`.

    Those of a front end without mel filters are known within its band.

    Returns:
      float32 `[fft_length / 2 + 1, frames]`, not negative.
    """
    if not spec.is_mel:
        every = np.zeros((spec.fft_length // 2 + 1, len(mel)), np.float32)
        every[spec.stft_bins.start : spec.stft_bins.stop] = mel.T
        return every
    with threadpool_limits(1):  # hundreds of tiny products, which threads only slow down
        return require_librosa().util.nnls(mel_matrix(spec).T, mel.T)


def griffin_lim(
    magnitudes: np.ndarray, spec: FrontEnd = FRONT_END, iterations: int = ITERATIONS
) -> np.ndarray:
    """Estimate PCM whose frames have given magnitudes `[fft_length / 2 + 1, frames]`.

    Returns:
      `[fft_length + hop_length * (frames - 1)]`: frame i's window is in the middle of the
      `fft_length` samples from `hop_length * i` on.
    """
    with threadpool_limits(1):
        return require_librosa().griffinlim(
            magnitudes,
            n_iter=iterations,
            hop_length=spec.hop_length,
            win_length=spec.window_length,
            n_fft=spec.fft_length,
            window=hann_window(spec),
            center=False,
            random_state=0,
        )
