"""Embeddings of the windows of a downstream task's clips."""

import dataclasses
import itertools
import pathlib
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

import keras
import numpy as np
import tqdm
from absl import logging

from a2v_tf.audio.read import windows as sliding_windows
from a2v_tf.data.labelled import SPLITS, Clip, LabelledData, front_end_for
from a2v_tf.errors import A2vError
from a2v_tf.evaluation.cache import EmbeddingCache, encoder_key, file_key
from a2v_tf.evaluation.settings import Draws
from a2v_tf.evaluation.windows import BATCH, Windows
from a2v_tf.frontend import FRONT_END, FrontEnd, log_mel
from a2v_tf.models.encoder import build_encoder
from a2v_tf.pretrained import WINDOW, resolve
from a2v_tf.runtime import embedder as tflite
from a2v_tf.specs import MAX_BAD_FRACTION, InputStats, find_encoder


@dataclasses.dataclass(frozen=True)
class WindowEmbedder:
    """Anything that embeds windows.

    Attributes:
      embed: from windows `[batch, ...]` to embeddings `[batch, d]`.
      takes: the input, `log_mel` `[batch, frames, bins]` or `pcm` `[batch, samples]`.
      key: identifies what `embed` computes, for the cache; None: not cached.
      front_end: of the frames or the PCM; None: any.
    """

    embed: Callable[[np.ndarray], np.ndarray]
    takes: Literal["log_mel", "pcm"] = "log_mel"
    key: str | None = None
    front_end: FrontEnd | None = None


@dataclasses.dataclass(frozen=True)
class ClipEmbedder:
    """Anything that cuts its own windows out of a clip, at no random positions.

    Attributes:
      embed: from PCM float32 `[samples]`, at least one slice long, to embeddings `[n, d]`, n > 0.
      key: identifies what `embed` computes, as in `WindowEmbedder`.
      front_end: whose sample rate the PCM has.
    """

    embed: Callable[[np.ndarray], np.ndarray]
    key: str | None = None
    front_end: FrontEnd | None = FRONT_END


Embedder = WindowEmbedder | ClipEmbedder
_Name = TypeVar("_Name", bound=Hashable)


def embed_task(
    data: LabelledData,
    embedders: Mapping[_Name, Embedder],
    frames: int = 96,
    *,
    max_bad_fraction: float = MAX_BAD_FRACTION,
    splits: Collection[str] = SPLITS,
    draws: Draws | None = None,
    cache: EmbeddingCache | None = None,
) -> dict[_Name, Windows]:
    """Embed windows of T = `frames` frames of clips: T/2 apart, or at random (ICLR section 4).

    The log-mel of each batch is computed once for all models, and only embeddings are kept in
    memory.

    Args:
      data: the clips.
      embedders: models by name, or by any other key.
      frames: N, frames of a window.
      max_bad_fraction: of clips that may be unreadable.
      splits: of whose clips windows T/2 apart are embedded.
      draws: slices to embed besides, at random positions.
      cache: where embeddings are looked up and stored.

    Returns:
      The windows under each of the models.

    Raises:
      A2vError: too many clips are unreadable, or those left cannot train and test a head.
    """
    front_end = front_end_for(data)
    for embedder in embedders.values():
        if embedder.front_end not in (None, front_end):
            raise A2vError(
                f"{data.name}: is opened for {front_end}; expected {embedder.front_end}, as one of "
                "the models takes it"
            )
    done: dict[_Name, Windows] = {}
    contents: dict[_Name, dict[str, Any]] = {}
    if cache:
        about_data = {
            "data": data.fingerprint(),
            "classes": data.classes,
            "frames": frames,
            "hop": _hop(frames, front_end),
            "front_end": vars(front_end),
            "max_bad_fraction": max_bad_fraction,
            "splits": sorted(splits),
        }
        if draws and draws.splits:
            about_data["draws"] = [sorted(draws.splits), draws.per_clip, draws.seed]
        for name, embedder in embedders.items():
            if embedder.key:
                contents[name] = {**about_data, "model": embedder.key}
                if found := cache.load(data.name, contents[name]):
                    done[name] = found
    missing = {name: embedder for name, embedder in embedders.items() if name not in done}
    of_windows = {n: e for n, e in missing.items() if isinstance(e, WindowEmbedder)}
    if of_windows:
        done |= _embed(data, of_windows, frames, max_bad_fraction, splits, draws or Draws((), 1))
    for name, embedder in missing.items():
        if isinstance(embedder, ClipEmbedder):
            every = {*splits, *(draws.splits if draws else ())}
            done[name] = _embed_clips(data, embedder, frames, max_bad_fraction, every)
    if cache:
        for name in missing.keys() & contents.keys():
            cache.save(data.name, contents[name], done[name])
    return {name: done[name] for name in embedders}


def keras_embedder(encoder: keras.Model) -> WindowEmbedder:
    """An encoder from log-mel `[batch, frames, bins]` to embeddings `[batch, d]`."""
    return WindowEmbedder(lambda batch: keras_values(encoder, batch), key=encoder_key(encoder))


def keras_values(model: keras.Model, batch: np.ndarray) -> np.ndarray:
    """The output of a Keras model for a batch, as an array."""
    return keras.ops.convert_to_numpy(model(batch, training=False))


def spectrogram_embedder() -> WindowEmbedder:
    """The Spectrogram baseline: the window's log-mel values themselves (ICLR section 4).

    They are kept in half precision, with a resolution of 0.004 or better.
    """
    return WindowEmbedder(lambda batch: batch.astype(np.float16), key="spectrogram")


def untrained_encoder(config: Mapping[str, Any], seed: int | None = None) -> keras.Model:
    """The Untrained baseline's encoder (ICLR section 4): random weights, the same input statistics.

    Args:
      config: the run's config.json: encoder, frames, bins, input_mean, input_variance, seed.
      seed: of the random weights; `config`'s when None.

    Raises:
      A2vError: a key is missing or names no encoder.
    """
    try:
        shape = find_encoder(config["encoder"])
        stats = InputStats(config["input_mean"], config["input_variance"])
        keras.utils.set_random_seed(config["seed"] if seed is None else seed)
        return build_encoder(shape, config["frames"], config["bins"], stats)
    except KeyError as error:
        raise A2vError(f"config.json: no such key or encoder: {error}") from error


def tflite_embedder(path: pathlib.Path | str) -> WindowEmbedder:
    """An exported window model with PCM or log-mel input, or a name such as `pretrained`.

    Raises:
      A2vError: the file is missing, is not a TFLite file, or is a streaming model.
    """
    path = resolve(path, WINDOW)
    model = tflite.Embedder(path)
    if model.streaming:
        raise A2vError(f"{path} streams: expected a window model, export_tflite --mode=window")

    def embed(batch: np.ndarray) -> np.ndarray:
        return np.stack([model.embed(window) for window in batch])

    return WindowEmbedder(embed, model.input, file_key(path), model.front_end)


def _embed(
    data: LabelledData,
    embedders: Mapping[_Name, WindowEmbedder],
    frames: int,
    max_bad_fraction: float,
    splits: Collection[str],
    draws: Draws,
) -> dict[_Name, Windows]:
    clips: list[Clip] = []
    origins: list[tuple[int, bool]] = []  # of each window its clip, and whether it was drawn
    values: dict[_Name, list[np.ndarray]] = {name: [] for name in embedders}
    with tqdm.tqdm(desc=data.name, unit="clip", disable=None, leave=False) as bar:
        stream = _windows(data, frames, max_bad_fraction, splits, draws, clips)
        while batch := list(itertools.islice(stream, BATCH)):
            origins += [(window.clip, window.drawn) for window in batch]
            pcm = np.stack([window.pcm for window in batch])
            inputs = {"pcm": pcm, "log_mel": log_mel(pcm, front_end_for(data)).numpy()}
            for name, embedder in embedders.items():
                values[name].append(embedder.embed(inputs[embedder.takes]))
            bar.update(len(clips) - bar.n)
    every = {*splits, *draws.splits}
    window_clip = [clip for clip, _ in origins]
    drawn = np.array([drawn for _, drawn in origins]) if draws.splits else None
    return {
        name: _joined(data, clips, every, window_clip, parts, drawn)
        for name, parts in values.items()
    }


def _embed_clips(
    data: LabelledData,
    embedder: ClipEmbedder,
    frames: int,
    max_bad_fraction: float,
    splits: Collection[str],
) -> Windows:
    clips, parts = [], []
    samples = front_end_for(data).samples(frames)
    every = data.clips(max_bad_fraction)
    for clip, pcm in tqdm.tqdm(every, desc=data.name, unit="clip", disable=None, leave=False):
        if clip.split in splits:
            clips.append(clip)
            parts.append(embedder.embed(np.pad(pcm, (0, max(0, samples - len(pcm))))))
    window_clip = np.repeat(np.arange(len(clips)), [len(part) for part in parts])
    return _joined(data, clips, splits, window_clip, parts)


def _joined(
    data: LabelledData,
    clips: Sequence[Clip],
    splits: Collection[str],
    window_clip: Sequence[int] | np.ndarray,
    parts: Sequence[np.ndarray],
    drawn: np.ndarray | None = None,
) -> Windows:
    """The windows of clips, whose values come in parts."""
    logging.debug("%s: %d clips, %d windows embedded", data.name, len(clips), len(window_clip))
    _check(data, clips, splits)
    index = {name: i for i, name in enumerate(data.classes)}
    return Windows(
        data.classes,
        labels=np.array([index[clip.label] for clip in clips]),
        splits=np.array([clip.split for clip in clips]),
        clip=np.array(window_clip),
        values=np.concatenate(parts),
        drawn=drawn,
    )


class _Window(NamedTuple):
    """A window `[samples]`, the index of its clip, and whether its position was drawn."""

    pcm: np.ndarray
    clip: int
    drawn: bool


def _windows(
    data: LabelledData,
    frames: int,
    max_bad_fraction: float,
    splits: Collection[str],
    draws: Draws,
    clips: list[Clip],
) -> Iterator[_Window]:
    """Yield the windows of clips, and append each clip read to `clips`."""
    front_end = front_end_for(data)
    samples = front_end.samples(frames)
    for clip, pcm in data.clips(max_bad_fraction):
        if clip.split not in {*splits, *draws.splits}:
            continue
        index = len(clips)
        clips.append(clip)
        grid = sliding_windows(pcm, _hop(frames, front_end), samples)
        if clip.split in splits:
            for window in grid:
                yield _Window(window, index, False)
        if clip.split in draws.splits:
            pcm = np.pad(pcm, (0, max(0, samples - len(pcm))))
            starts = np.random.default_rng((draws.seed, index)).integers(
                0, len(pcm) - samples, min(draws.per_clip, len(grid)), endpoint=True
            )
            for start in starts:
                yield _Window(pcm[start : start + samples], index, True)


def _hop(frames: int, front_end: FrontEnd) -> int:
    return front_end.samples(frames) // 2


def _check(data: LabelledData, clips: Sequence[Clip], splits: Collection[str]) -> None:
    """Check that the clips that could be read suffice to train and test a head."""
    labels = {split: {clip.label for clip in clips if clip.split == split} for split in splits}
    for split in labels.keys() & {"train", "test"}:
        if not labels[split]:
            raise A2vError(f"{data.name}: no readable {split} clips")
    if "train" in labels and len(labels["train"]) < 2:
        raise A2vError(f"{data.name}: one class {labels['train']} in train; expected at least two")
