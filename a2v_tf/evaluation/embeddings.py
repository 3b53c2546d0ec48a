"""From the clips of a downstream task to the embeddings of their sliding windows."""

import dataclasses
import itertools
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import keras
import numpy as np
import tqdm

from a2v_tf import tflite
from a2v_tf.audio import windows
from a2v_tf.errors import A2vError
from a2v_tf.evaluation.downstream import Clip, Task, check_splits, read_clips
from a2v_tf.frontend import FRONT_END, log_mel
from a2v_tf.models.encoder import ENCODERS, InputStats, build_encoder

BATCH_WINDOWS = 256


@dataclasses.dataclass(frozen=True)
class Embedder:
    """Anything that embeds windows.

    Attributes:
      embed: from `[batch, ...]` windows to embeddings `[batch, d]`.
      takes: what a window is: `log_mel` `[batch, frames, bins]` or `pcm` `[batch, samples]`.
    """

    embed: Callable[[np.ndarray], np.ndarray]
    takes: Literal["log_mel", "pcm"] = "log_mel"


@dataclasses.dataclass(frozen=True)
class Embedded:
    """The windows of a task's clips under several models.

    Attributes:
      clips: those that could be read.
      window_clip: int `[windows]`, the index into `clips` of each window's clip.
      vectors: for each model float32 `[windows, d]`.
    """

    clips: list[Clip]
    window_clip: np.ndarray
    vectors: dict[str, np.ndarray]


def embed_task(
    task: Task,
    embedders: Mapping[str, Embedder],
    frames: int = 96,
    max_bad_fraction: float = 0.1,
) -> Embedded:
    """Embed windows of T = `frames` frames, T/2 apart, over every clip (ICLR section 4).

    Each batch's log-mel is computed once for all models, and only embeddings are kept, so that a
    task's audio need not fit in memory.

    Args:
      task: the clips.
      embedders: models by name.
      frames: N, frames of a window.
      max_bad_fraction: of clips that may be unreadable.

    Raises:
      A2vError: too many clips are unreadable, or those left cannot train and test a probe.
    """
    clips: list[Clip] = []
    window_clip: list[int] = []
    vectors: dict[str, list[np.ndarray]] = {name: [] for name in embedders}
    bar = tqdm.tqdm(total=len(task.clips), desc=task.name, unit="clip", disable=None, leave=False)
    with bar:
        stream = _windows(task, frames, max_bad_fraction, clips)
        while batch := list(itertools.islice(stream, BATCH_WINDOWS)):
            window_clip += [clip for clip, _ in batch]
            pcm = np.stack([window for _, window in batch])
            inputs = {"pcm": pcm, "log_mel": log_mel(pcm).numpy()}
            for name, embedder in embedders.items():
                vectors[name].append(embedder.embed(inputs[embedder.takes]))
            bar.update(len(clips) - bar.n)
    check_splits(Task(task.name, tuple(clips)), task.name)
    joined = {name: np.concatenate(parts) for name, parts in vectors.items()}
    return Embedded(clips, np.array(window_clip), joined)


def keras_embedder(encoder: keras.Model) -> Embedder:
    """An encoder from log-mel `[batch, frames, bins]` to embeddings `[batch, d]`."""

    def embed(batch: np.ndarray) -> np.ndarray:
        return keras.ops.convert_to_numpy(encoder(batch, training=False))

    return Embedder(embed)


def spectrogram_embedder() -> Embedder:
    """The Spectrogram baseline: the window's log-mel values themselves (ICLR section 4)."""
    return Embedder(lambda batch: batch.reshape(len(batch), -1))


def untrained_embedder(config: Mapping[str, Any], seed: int) -> Embedder:
    """The Untrained baseline: the encoder with the random weights of a seed (ICLR section 4)."""
    return keras_embedder(untrained_encoder(config, seed))


def untrained_encoder(config: Mapping[str, Any], seed: int | None = None) -> keras.Model:
    """Build the encoder that `config` describes, untrained, with the same input statistics.

    Args:
      config: what `a2v_train` wrote: encoder, frames, bins, input_mean, input_variance, seed.
      seed: of the random weights; `config`'s when None.

    Raises:
      A2vError: a key is missing or names no encoder.
    """
    try:
        shape = ENCODERS[config["encoder"]]
        stats = InputStats(config["input_mean"], config["input_variance"])
        keras.utils.set_random_seed(config["seed"] if seed is None else seed)
        return build_encoder(shape, config["frames"], config["bins"], stats)
    except KeyError as error:
        raise A2vError(f"config.json: no such key or encoder: {error}") from error


def tflite_embedder(path: pathlib.Path) -> Embedder:
    """An exported window model, over PCM or log-mel windows.

    Raises:
      A2vError: the file is missing, is no TFLite file, or streams.
    """
    model = tflite.Embedder(path)
    if model.streaming:
        raise A2vError(f"{path} streams: expected a window model, export_tflite --mode=window")
    return Embedder(lambda batch: np.stack([model.embed(window) for window in batch]), model.input)


def _windows(
    task: Task, frames: int, max_bad_fraction: float, clips: list[Clip]
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield clip indices and windows `[samples]`; append each clip read to `clips`."""
    length = FRONT_END.samples(frames)
    for clip, pcm in read_clips(task, max_bad_fraction):
        clips.append(clip)
        for window in windows(pcm, length // 2, length):
            yield len(clips) - 1, window
