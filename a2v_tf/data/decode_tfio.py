"""In-graph decoding and resampling by tensorflow-io; no other module uses it.

tensorflow-io 0.37.1, the last release, loads only with tensorflow 2.16 (Python <= 3.12), decodes
2-4 times slower than soundfile and resamples about 50 times slower than soxr. It is therefore
optional: `decoder="tfio"`.
"""

import functools
from typing import Any

import numpy as np
import tensorflow as tf

from a2v_tf.audio import decode
from a2v_tf.errors import A2vError
from a2v_tf.frontend import FRONT_END

# The files that tensorflow-io can seek in, by the dtype of its output.
_INT16_FILES = frozenset({(".wav", "PCM_16"), (".flac", "PCM_16")})
_FLOAT_FILES = frozenset({(".ogg", "VORBIS"), (".mp3", "mp3float")})

# tfio.audio.resample is the Speex resampler at quality 6: its filter has 64 taps for upsampling,
# and proportionally more for downsampling.
_TAPS = 64

# The plan of a file that tensorflow-io cannot read: `read` fails.
NO_PLAN = np.full(7, -1, np.int64)


@functools.cache
def _tfio() -> tuple[Any, str | None]:
    try:
        import tensorflow_io as tfio

        tfio.audio.resample  # noqa: B018  its libraries are loaded at first use
    except Exception as error:  # undefined symbols raise NotImplementedError, among others
        text = " ".join(str(error).split())
        return None, f"tensorflow-io cannot be loaded beside tensorflow {tf.__version__}: {text}"
    return tfio, None


def why_not_available() -> str | None:
    """Return why tensorflow-io cannot be used here; None if it can."""
    return _tfio()[1]


def check_available() -> None:
    """Raise `A2vError` if tensorflow-io cannot be used here."""
    if reason := why_not_available():
        raise A2vError(f"decoder=tfio: {reason}; pip install a2v_tf[tfio] or use decoder=soundfile")


def check_rate(sample_rate: int) -> None:
    """Raise `A2vError` if crops are to have another sample rate than `read` gives."""
    if sample_rate != FRONT_END.sample_rate:
        raise A2vError(
            f"decoder=tfio: resamples to {FRONT_END.sample_rate} Hz only, not to {sample_rate}: "
            "expected decoder=soundfile"
        )


def plan(header: decode.Header, start: int, samples: int) -> np.ndarray:
    """Compute the arguments of `read` for a crop, int64 `[7]`; `NO_PLAN` if it cannot read it."""
    kind = header.suffix, header.subtype
    known_length = header.points is None  # tensorflow-io would guess it
    if kind not in _INT16_FILES | _FLOAT_FILES or header.channel is not None or not known_length:
        return NO_PLAN
    span = decode.native_span(header.rate, header.length, start, samples)
    front = back = offset = 0
    if header.rate != FRONT_END.sample_rate:
        # The Speex resampler delays by half its filter. Zeros in front make the delay a whole
        # number of output samples, which are cut off; zeros at the end flush the last samples.
        delay = _speex_taps(header.rate) // 2
        step_out, step_in = decode.ratio(header.rate)
        front = -delay % step_in
        back = delay + step_in
        offset = span.offset + (front + delay) // step_in * step_out
    numbers = [
        span.begin,
        span.end - span.begin,
        header.rate,
        front,
        back,
        offset,
        kind in _INT16_FILES,
    ]
    return np.array(numbers, np.int64)


def _speex_taps(rate: int) -> int:
    if rate <= FRONT_END.sample_rate:
        return _TAPS
    return (_TAPS * rate // FRONT_END.sample_rate - 1) // 8 * 8 + 8


def read(path: tf.Tensor, plan: tf.Tensor, samples: int) -> tf.Tensor:
    """Decode a crop in-graph, equivalent to `decode.read`.

    Args:
      path: string scalar.
      plan: from `plan`, int64 `[7]`.
      samples: samples in the crop.

    Returns:
      float32 `[samples]`, the channels averaged.

    Raises:
      tf.errors.OpError: at run time, if the file cannot be decoded.
    """
    begin, length, rate, front, back, offset, is_int16 = tf.unstack(tf.ensure_shape(plan, [7]))
    with tf.control_dependencies([tf.debugging.assert_positive(rate)]):
        path = tf.identity(path)

    def native(dtype: tf.DType) -> tf.Tensor:
        audio = _tfio()[0].IOTensor.graph(dtype).from_audio(path)[begin : begin + length]
        audio = tf.cast(audio, tf.float32) / (32_768.0 if dtype == tf.int16 else 1.0)
        return tf.reduce_mean(audio, axis=1)

    pcm = tf.cond(is_int16 == 1, lambda: native(tf.int16), lambda: native(tf.float32))
    with tf.control_dependencies([tf.debugging.assert_equal(tf.size(pcm, tf.int64), length)]):
        pcm = tf.pad(pcm, [[front, back]])

    def resampled() -> tf.Tensor:
        return _tfio()[0].audio.resample(pcm, rate, FRONT_END.sample_rate)

    pcm = tf.cond(rate == FRONT_END.sample_rate, lambda: pcm, resampled)
    return tf.ensure_shape(pcm[offset : offset + samples], [samples])
