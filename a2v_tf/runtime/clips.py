"""Embed whole recordings, and write down which stretch of which file each embedding describes."""

import csv
import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import tqdm
from absl import logging

from a2v_tf.audio.read import AudioFileError, audio_blocks, window_batches
from a2v_tf.errors import A2vError
from a2v_tf.files import output_file
from a2v_tf.frontend import FRONT_END
from a2v_tf.runtime.embedder import Embedder
from a2v_tf.text import printable

DEFAULT_HOP_MS = 320.0
SUFFIXES = (".npz", ".csv", ".parquet")
BATCH = 256  # windows or steps that are embedded at once


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


# Of PCM in blocks, float32 [any number] each: long clips take no more memory than short ones.
EmbedClip = Callable[[Iterable[np.ndarray]], ClipEmbeddings]


@dataclasses.dataclass(frozen=True)
class Table:
    """The embeddings of several files, a row each.

    Attributes:
      path: str `[n]`, the file.
      start_s: float64 `[n]`, where the stretch that a row describes starts, in seconds.
      end_s: float64 `[n]`, where it ends.
      embeddings: float32 `[n, d]`.
    """

    path: np.ndarray
    start_s: np.ndarray
    end_s: np.ndarray
    embeddings: np.ndarray

    def __len__(self) -> int:
        return len(self.path)

    def write(self, output: pathlib.Path) -> None:
        """Write the rows: .npz with the arrays above, or .csv or .parquet with columns e0, e1, ...

        Raises:
          A2vError: the file cannot be written.
        """
        write = {".npz": self._write_npz, ".csv": self._write_csv, ".parquet": self._write_parquet}
        with output_file(output) as partial:
            write[output.suffix](partial)

    def _write_npz(self, path: pathlib.Path) -> None:
        np.savez_compressed(path, **vars(self))

    def _write_csv(self, path: pathlib.Path) -> None:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["path", "start_s", "end_s", *self._dimensions()])
            rows = zip(self.path, self.start_s, self.end_s, self.embeddings, strict=True)
            for name, start, end, embedding in rows:
                writer.writerow([name, start, end, *embedding])

    def _write_parquet(self, path: pathlib.Path) -> None:
        import pyarrow
        from pyarrow import parquet

        keys = {name: getattr(self, name) for name in ("path", "start_s", "end_s")}
        dimensions = dict(zip(self._dimensions(), self.embeddings.T, strict=True))
        parquet.write_table(pyarrow.table(keys | dimensions), path)

    def _dimensions(self) -> list[str]:
        return [f"e{i}" for i in range(self.embeddings.shape[1])]


def embed_files(
    files: Sequence[pathlib.Path],
    embed_clip: EmbedClip,
    max_bad_fraction: float,
    channels: str = "mix",
) -> Table:
    """Embed files; one that cannot be read is logged, counted and left out.

    Args:
      files: at least one.
      embed_clip: from `tflite_clips` or `a2v_tf.training.keras_clips.keras_clips`.
      max_bad_fraction: of the files, that may be unreadable.
      channels: the channel to use, as for `read_audio`.

    Raises:
      A2vError: more of them are; or all.
    """
    names, clips, bad = [], [], []
    for path in tqdm.tqdm(files, unit="file", disable=len(files) < 2):
        try:
            clips.append(embed_clip(audio_blocks(path, channels)))
        except AudioFileError as error:
            bad.append(printable(str(error)))
            logging.warning("skipped %s", bad[-1])
            continue
        names += [printable(path)] * len(clips[-1].embeddings)
    if len(bad) > max_bad_fraction * len(files) or not clips:
        limit = f"more than --max_bad_fraction={max_bad_fraction:g}; " if clips else ""
        raise A2vError(
            f"{len(bad)} of {len(files)} files cannot be used; {limit}the first: {bad[0]}"
        )
    starts, ends, embeddings = (np.concatenate(parts) for parts in zip(*clips, strict=True))
    rate = FRONT_END.sample_rate
    return Table(np.array(names), starts / rate, ends / rate, embeddings)


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
    if embedder.input == "log_mel" and embedder.input_shape[1] != FRONT_END.bins:
        raise A2vError(f"{name!r} takes spectrograms of {embedder.input_shape[1]} bands, no audio")
    if embedder.streaming:
        check_stream_hop(hop_ms, embedder.stream_hop, name)
        return lambda blocks: _stream_clip(embedder, blocks)

    def embed(batch: np.ndarray) -> np.ndarray:
        return np.stack([embedder.embed_window(window) for window in batch])

    return window_clips(embed, hop_ms, embedder.span)


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
    embed: Callable[[np.ndarray], np.ndarray], hop_ms: float | None, window: int
) -> EmbedClip:
    """Cut clips into windows and embed these, `[n, window]` -> `[n, d]`.

    Raises:
      A2vError: the hop is less than a sample.
    """
    hop = round((DEFAULT_HOP_MS if hop_ms is None else hop_ms) * FRONT_END.sample_rate / 1000)
    if hop < 1:
        raise A2vError(f"--hop_ms={hop_ms}: expected at least one sample, 0.0625 ms")

    def embed_clip(blocks: Iterable[np.ndarray]) -> ClipEmbeddings:
        batches = window_batches(blocks, hop, window, BATCH)
        embeddings = np.concatenate([embed(batch) for batch in batches])
        starts = hop * np.arange(len(embeddings))
        return ClipEmbeddings(starts, starts + window, embeddings)

    return embed_clip


def stream_embeddings(embeddings: np.ndarray, hop: int, window: int) -> ClipEmbeddings:
    """The embeddings `[n, d]` of a stream that begins with the clip, one every `hop` samples."""
    ends = hop * np.arange(1, len(embeddings) + 1)
    return ClipEmbeddings(np.maximum(0, ends - window), ends, embeddings)


def check_stream_hop(hop_ms: float | None, hop: int, model: str) -> None:
    """Raise `A2vError` if a stream with a hop of `hop` samples is asked for another hop."""
    own = 1000 * hop / FRONT_END.sample_rate
    if hop_ms is not None and hop_ms != own:
        raise A2vError(f"--hop_ms={hop_ms:g}: the stream of {model!r} has a hop of {own:g} ms")
