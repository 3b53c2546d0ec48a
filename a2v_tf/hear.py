"""The common API of HEAR 2021, so that its tools can evaluate an encoder of this project.

HEAR (Holistic Evaluation of Audio Representations, hearbenchmark.com/hear-api.html) calls the three
functions below. Give `a2v_tf.hear` to `hear-validator` or `heareval` as the module, and a model
directory or a window .tflite file as the model.

- There is a timestamp embedding every 50 ms from 0 to the end of the audio, the widest spacing that
  HEAR recommends, of the encoder's window (975 ms) centred there. The audio is padded with zeros.
- A scene embedding is the mean of the timestamp embeddings.
"""

import pathlib
from collections.abc import Callable

import keras
import tensorflow as tf

from a2v_tf.errors import A2vError
from a2v_tf.frontend import FRONT_END, FrontEnd, log_mel
from a2v_tf.runtime.embedder import Embedder
from a2v_tf.training.model_dir import load_encoder, sound_front_end

HOP_MS = 50
_BATCH = 256  # windows embedded at once: memory does not grow with the length of the audio


class HearModel(tf.Module):
    """An encoder with HEAR's interface.

    Attributes:
      sample_rate: sample rate of the audio to pass in, in Hz.
      scene_embedding_size: d.
      timestamp_embedding_size: d.
      window: samples in a window.
      hop: samples in 50 ms.
      embed_windows: from PCM `[n_sounds, window + (n - 1) * hop]` to the embeddings of its windows,
        one every hop of 50 ms, float32 `[n_sounds * n, d]`.
    """

    def __init__(
        self,
        embed_windows: Callable[[tf.Tensor], tf.Tensor],
        window: int,
        embedding_dim: int,
        sample_rate: int = FRONT_END.sample_rate,
    ) -> None:
        super().__init__(name="a2v_tf")
        self.sample_rate = sample_rate
        self.hop = HOP_MS * sample_rate // 1000
        self.scene_embedding_size = self.timestamp_embedding_size = embedding_dim
        self.window = window
        self.embed_windows = embed_windows


def load_model(model_file_path: str = "") -> HearModel:
    """Load an encoder.

    Args:
      model_file_path: model directory of `a2v_train`, .tflite file of
        `export_tflite --mode=window`, or one of `pretrained.names`.

    Raises:
      A2vError: no path was given, or it does not hold such a model.
    """
    if not str(model_file_path):
        raise A2vError(
            "model_file_path is empty: expected a model directory of a2v_train or a .tflite file "
            "of export_tflite --mode=window"
        )
    path = pathlib.Path(model_file_path)
    return _tflite_model(path) if path.suffix == ".tflite" else _keras_model(path)


def get_timestamp_embeddings(audio: tf.Tensor, model: HearModel) -> tuple[tf.Tensor, tf.Tensor]:
    """Embed the windows centred at 0, 50, 100, ... ms.

    Args:
      audio: float `[n_sounds, n_samples]` in [-1, 1], mono at `model.sample_rate`.
      model: from `load_model`.

    Returns:
      Embeddings, float32 `[n_sounds, n_timestamps, d]`, and the timestamps in milliseconds, float32
      `[n_sounds, n_timestamps]`: the multiples of 50 ms from 0 to the end of the audio.

    Raises:
      A2vError: the audio has another shape, no samples or no floats, or the model another type.
    """
    audio = _checked(audio, model)
    sounds, samples = audio.shape
    hop = model.hop
    count = 1 + samples // hop
    before = model.window // 2
    after = max(0, (count - 1) * hop + model.window - before - samples)
    audio = tf.pad(audio, [[0, 0], [before, after]])
    block = max(1, _BATCH // sounds)
    embeddings = []
    for first in range(0, count, block):
        last = min(first + block, count) - 1
        stretch = audio[:, first * hop : last * hop + model.window]
        flat = model.embed_windows(stretch)
        embeddings.append(tf.reshape(flat, [sounds, last + 1 - first, -1]))
    timestamps = HOP_MS * tf.range(count, dtype=tf.float32)
    return tf.concat(embeddings, axis=1), tf.tile(timestamps[tf.newaxis], [sounds, 1])


def get_scene_embeddings(audio: tf.Tensor, model: HearModel) -> tf.Tensor:
    """Embed whole recordings: the mean of their timestamp embeddings.

    Args:
      audio: as for `get_timestamp_embeddings`.
      model: from `load_model`.

    Returns:
      float32 `[n_sounds, d]`.

    Raises:
      A2vError: as `get_timestamp_embeddings`.
    """
    embeddings, _ = get_timestamp_embeddings(audio, model)
    return tf.reduce_mean(embeddings, axis=1)


def _keras_model(path: pathlib.Path) -> HearModel:
    encoder, front_end = load_encoder(path), sound_front_end(path)
    _check_hop(path, front_end)
    frames = encoder.input_shape[1]

    def embed_windows(pcm: tf.Tensor) -> tf.Tensor:
        embeddings = encoder(_log_mel_windows(pcm, frames, front_end).numpy(), training=False)
        return tf.constant(keras.ops.convert_to_numpy(embeddings))

    window = front_end.samples(frames)
    return HearModel(embed_windows, window, encoder.output_shape[-1], front_end.sample_rate)


def _tflite_model(path: pathlib.Path) -> HearModel:
    embedder = Embedder(path)
    if embedder.streaming:
        raise A2vError(f"{path} streams: expected a window model, export_tflite --mode=window")
    front_end = embedder.front_end
    if front_end is None:
        raise A2vError(
            f"{path} takes spectrograms of {embedder.input_shape[1]} bands, not audio: expected "
            f"a model of {FRONT_END.mel_bins} mel bins"
        )
    _check_hop(path, front_end)

    def embed_windows(pcm: tf.Tensor) -> tf.Tensor:
        if embedder.input == "log_mel":
            windows = _log_mel_windows(pcm, embedder.input_shape[0], front_end)
        else:
            hop = HOP_MS * front_end.sample_rate // 1000
            windows = tf.reshape(tf.signal.frame(pcm, embedder.window, hop), [-1, embedder.window])
        return tf.stack([embedder.embed(window) for window in windows.numpy()])

    return HearModel(embed_windows, embedder.span, embedder.embedding_dim, front_end.sample_rate)


def _check_hop(path: pathlib.Path, front_end: FrontEnd) -> None:
    """Raise `A2vError` unless timestamps are whole frames apart."""
    if HOP_MS * front_end.sample_rate % (1000 * front_end.hop_length):
        raise A2vError(
            f"{path} has a frame every {1000 * front_end.period:g} ms: expected whole frames in "
            f"{HOP_MS} ms, between two timestamps"
        )


def _log_mel_windows(pcm: tf.Tensor, frames: int, front_end: FrontEnd) -> tf.Tensor:
    """The log-mel windows of `embed_windows`, `[n_sounds * n, frames, F]`; no frame twice."""
    hop_frames = HOP_MS * front_end.sample_rate // 1000 // front_end.hop_length
    windows = tf.signal.frame(log_mel(pcm, front_end), frames, hop_frames, axis=1)
    return tf.reshape(windows, [-1, frames, front_end.bins])


def _checked(audio: tf.Tensor, model: HearModel) -> tf.Tensor:
    if not isinstance(model, HearModel):
        raise A2vError(f"the model is a {type(model).__name__}: expected what load_model returns")
    audio = tf.convert_to_tensor(audio)
    if not audio.dtype.is_floating:
        raise A2vError(f"the audio is {audio.dtype.name}: expected floats in [-1, 1]")
    if audio.shape.rank != 2 or 0 in audio.shape:
        raise A2vError(
            f"the audio has the shape {tuple(audio.shape)}: expected (n_sounds, n_samples), at "
            "least one of each"
        )
    return tf.cast(audio, tf.float32)
