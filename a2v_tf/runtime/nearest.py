"""Labelled examples, and the nearest of them to an embedding of a stream."""

import dataclasses
import pathlib
from collections import Counter

import numpy as np

from a2v_tf.audio.find import find_audio
from a2v_tf.audio.read import read_audio
from a2v_tf.errors import A2vError
from a2v_tf.runtime.embedder import Embedder

NEIGHBOURS = 10  # k, patent paragraph 73
_EVERY = 0.32  # seconds between examples of a clip: with all of them, one clip has every vote


@dataclasses.dataclass(frozen=True)
class Nearest:
    """The most frequent label among the nearest examples.

    Attributes:
      label: its name; in a tie, the one with the nearest example.
      votes: number of nearest examples with this label.
      of: number of nearest examples.
      distance: Euclidean distance to the nearest example with this label.
      example: file of that example, LABEL/..., relative to the examples directory.
    """

    label: str
    votes: int
    of: int
    distance: float
    example: str


@dataclasses.dataclass(frozen=True)
class Examples:
    """Labelled embeddings.

    Attributes:
      embeddings: float32 `[n, d]`.
      labels: label of each, `[n]`.
      files: file of each, `[n]`.
    """

    embeddings: np.ndarray
    labels: list[str]
    files: list[str]

    def nearest(self, embedding: np.ndarray) -> Nearest:
        """Vote among the k = 10 nearest examples (patent paragraph 73), or all if fewer."""
        distances = np.linalg.norm(self.embeddings - embedding, axis=1)
        order = np.argsort(distances, kind="stable")[:NEIGHBOURS]
        # The count keeps the order, nearest first, among labels with equally many votes.
        ((label, votes),) = Counter(self.labels[i] for i in order).most_common(1)
        closest = next(i for i in order if self.labels[i] == label)
        distance = float(distances[closest])
        return Nearest(label, votes, len(order), distance, self.files[closest])


def embed_examples(
    directory: pathlib.Path | str, embedder: Embedder, channels: str = "mix"
) -> Examples:
    """Embed the audio in DIR/LABEL/... with the same file that embeds the stream.

    A clip gives the embeddings of its whole windows, 320 ms apart; one shorter than a window gives
    its last embedding.

    Args:
      directory: contains one sub-folder per label.
      embedder: a streaming model; it is reset.
      channels: what to use of a file's channels, as for `read_audio`.

    Raises:
      A2vError: there is no such directory, no sub-folder has audio, or a file cannot be read.
    """
    directory = pathlib.Path(directory)
    expected = "expected a folder with one sub-folder of audio for each label"
    if not directory.is_dir():
        raise A2vError(f"--examples={directory}: is not a directory: {expected}")
    labelled = [
        path
        for path in find_audio(directory, "--examples")
        if len(path.relative_to(directory).parts) > 1
    ]
    if not labelled:
        raise A2vError(f"--examples={directory}: has no sub-folders with audio: {expected}")
    embeddings, labels, files = [], [], []
    for path in labelled:
        name = path.relative_to(directory)
        of_clip = _embed_clip(embedder, read_audio(path, channels, embedder.sample_rate))
        embeddings += of_clip
        labels += [name.parts[0]] * len(of_clip)
        files += [name.as_posix()] * len(of_clip)
    embedder.reset()
    return Examples(np.stack(embeddings), labels, files)


def _embed_clip(embedder: Embedder, pcm: np.ndarray) -> list[np.ndarray]:
    """Embed a clip as a stream that is padded with silence at its start to whole hops."""
    hop = embedder.stream_hop
    steps = -(-len(pcm) // hop)
    embedder.reset()
    embeddings = embedder.stream(np.pad(pcm, (steps * hop - len(pcm), 0)))
    # The first embedding whose window lies within the clip.
    overlap = embedder.front_end.overlap if embedder.front_end else 0
    first = min(-(-(embedder.span - overlap) // hop), steps) - 1
    every = max(1, round(_EVERY * embedder.sample_rate) // hop)
    return embeddings[first:][::-every][::-1]
