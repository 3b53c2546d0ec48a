"""Embed whole recordings, and write down which stretch of which file each embedding describes."""

import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import tqdm
from absl import logging

from a2v_tf.audio.read import AudioFileError, audio_blocks, window_batches
from a2v_tf.errors import A2vError
from a2v_tf.frontend import FRONT_END
from a2v_tf.runtime.embedder import Embedder
from a2v_tf.runtime.tables import Table, joined_tables
from a2v_tf.text import printable

DEFAULT_HOP_MS = 320.0
BATCH = 256  # windows or steps that are embedded at once
_TOGETHER = 16_384  # rows in memory, if no file has more


class ClipEmbeddings(NamedTuple):
    """The embeddings of one clip.

    Attributes:
      starts: int `[n]`, the first sample that each describes.
      ends: int `[n]`, one past the last.
      embeddings: float32 `[n, d]`.
    """

    starts: np.ndarray
    ends: np.ndarray
    embeddings: np.ndarray


@dataclasses.dataclass(frozen=True)
class EmbedClip:
    """A model that embeds clips.

    Attributes:
      embed: from PCM in blocks, float32 `[any number]` each, so that long clips take no more memory
        than short ones.
      sample_rate: of the PCM, in Hz.
    """

    embed: Callable[[Iterable[np.ndarray]], ClipEmbeddings]
    sample_rate: int = FRONT_END.sample_rate

    def __call__(self, blocks: Iterable[np.ndarray]) -> ClipEmbeddings:
        return self.embed(blocks)


def embed_files(
    files: Sequence[pathlib.Path],
    embed_clip: EmbedClip,
    max_bad_fraction: float,
    channels: str = "mix",
) -> Table:
    """Embed files in memory; one that cannot be read is logged, counted and left out.

    Args:
      files: at least one.
      embed_clip: from `tflite_clips` or `a2v_tf.training.keras_clips.keras_clips`.
      max_bad_fraction: of the files, that may be unreadable.
      channels: the channel to use, as for `read_audio`.

    Raises:
      A2vError: more of them are; or all.
    """
    skipped: list[str] = []
    shown = tqdm.tqdm(files, unit="file", disable=len(files) < 2)
    tables = list(usable_files(shown, embed_clip, channels, skipped))
    for reason in skipped:
        logging.warning("skipped %s", reason)
    check_skipped(skipped, len(files), max_bad_fraction)
    return joined_tables(tables)


def usable_files(
    files: Iterable[pathlib.Path], embed_clip: EmbedClip, channels: str, skipped: list[str]
) -> Iterator[Table]:
    """Embed those files that can be read.

    Args:
      files: in the order of the rows.
      embed_clip: as for `embed_files`.
      channels: as for `read_audio`.
      skipped: takes a line for each other file.

    Yields:
      The rows of some files each, so that few are in memory.
    """
    held: list[Table] = []
    for path in files:
        try:
            blocks = audio_blocks(path, channels, embed_clip.sample_rate)
            starts, ends, embeddings = embed_clip(blocks)
        except AudioFileError as error:
            skipped.append(printable(str(error)))
            continue
        names = np.full(len(embeddings), printable(path))
        rate = embed_clip.sample_rate
        held.append(Table(names, starts / rate, ends / rate, embeddings))
        if sum(map(len, held)) >= _TOGETHER:
            yield joined_tables(held)
            held = []
    if held:
        yield joined_tables(held)


def check_skipped(
    skipped: Sequence[str], files: int, max_bad_fraction: float, done: int | None = None
) -> None:
    """Check that enough files can be used.

    Args:
      skipped: a line for each that cannot.
      files: number of all.
      max_bad_fraction: of them, that may be unreadable.
      done: number of those that were tried; None for all.

    Raises:
      A2vError: more are unreadable; or all.
    """
    of = f"{files} files" if done in (None, files) else f"the first {done} of {files} files"
    if len(skipped) > max_bad_fraction * files:
        limit = f"more than --max_bad_fraction={max_bad_fraction:g}; "
    elif len(skipped) == files:
        limit = ""
    else:
        return
    raise A2vError(f"{len(skipped)} of {of} cannot be used; {limit}the first: {skipped[0]}")


# The TFLite file of a model ----------------------------------------------------------------------


def tflite_clips(
    model: pathlib.Path | str, hop_ms: float | None = None, name: str | None = None
) -> EmbedClip:
    """Open a TFLite file to embed clips with.

    Args:
      model: the file, window or streaming.
      hop_ms: milliseconds between embeddings; None for 320, or a streaming file's own.
      name: of the model in messages, if other than its path.

    Raises:
      A2vError: no such file, or one that cannot have this hop or takes no audio.
    """
    embedder, name = Embedder(model), name or str(model)
    if embedder.front_end is None:
        raise A2vError(f"{name!r} takes spectrograms of {embedder.input_shape[1]} bands, no audio")
    if embedder.streaming:
        check_stream_hop(hop_ms, embedder.stream_hop, embedder.sample_rate, name)
        return EmbedClip(lambda blocks: _stream_clip(embedder, blocks), embedder.sample_rate)

    def embed(batch: np.ndarray) -> np.ndarray:
        return np.stack([embedder.embed_window(window) for window in batch])

    return window_clips(embed, hop_ms, embedder.span, embedder.sample_rate)


def _stream_clip(embedder: Embedder, blocks: Iterable[np.ndarray]) -> ClipEmbeddings:
    """Embed a clip as a stream that begins with it; one shorter than a hop is padded to one."""
    hop = embedder.stream_hop
    embedder.reset()
    embeddings, samples = [], 0
    for pcm in blocks:
        embeddings += embedder.stream(pcm)
        samples += len(pcm)
    embeddings += embedder.stream(np.zeros(max(0, hop - samples), np.float32))
    return stream_embeddings(np.stack(embeddings), hop, embedder.span)


# What files and Keras encoders share --------------------------------------------------------------


def window_clips(
    embed: Callable[[np.ndarray], np.ndarray], hop_ms: float | None, window: int, sample_rate: int
) -> EmbedClip:
    """Cut clips at `sample_rate` into windows and embed these, `[n, window]` -> `[n, d]`.

    Raises:
      A2vError: the hop is less than a sample.
    """
    hop = round((DEFAULT_HOP_MS if hop_ms is None else hop_ms) * sample_rate / 1000)
    if hop < 1:
        raise A2vError(
            f"--hop_ms={hop_ms}: expected at least one sample, {1000 / sample_rate:g} ms"
        )

    def embed_clip(blocks: Iterable[np.ndarray]) -> ClipEmbeddings:
        batches = window_batches(blocks, hop, window, BATCH)
        embeddings = np.concatenate([embed(batch) for batch in batches])
        starts = hop * np.arange(len(embeddings))
        return ClipEmbeddings(starts, starts + window, embeddings)

    return EmbedClip(embed_clip, sample_rate)


def stream_embeddings(embeddings: np.ndarray, hop: int, window: int) -> ClipEmbeddings:
    """The embeddings `[n, d]` of a stream that begins with the clip, one every `hop` samples."""
    ends = hop * np.arange(1, len(embeddings) + 1)
    return ClipEmbeddings(np.maximum(0, ends - window), ends, embeddings)


def check_stream_hop(hop_ms: float | None, hop: int, sample_rate: int, model: str) -> None:
    """Raise `A2vError` if a stream with a hop of `hop` samples is asked for another hop."""
    own = 1000 * hop / sample_rate
    if hop_ms is not None and hop_ms != own:
        raise A2vError(f"--hop_ms={hop_ms:g}: the stream of {model!r} has a hop of {own:g} ms")
