"""Labelled examples, and which of them an embedding of a stream is nearest to."""

import dataclasses
import pathlib
from collections import Counter

import numpy as np

from a2v_tf.audio.find import find_audio
from a2v_tf.audio.read import read_audio
from a2v_tf.errors import A2vError
from a2v_tf.frontend import FRONT_END
from a2v_tf.runtime.embedder import Embedder

NEIGHBOURS = 10  # k, ICLR section 4 and patent paragraph 73
_EVERY = 5_120  # samples: an example every 320 ms, whatever the hop, else one clip has every vote


@dataclasses.dataclass(frozen=True)
class Nearest:
    """The label that most of the nearest examples have.

    Attributes:
      label: its name; of equally many, the one with the nearest example.
      votes: how many of the nearest have it.
      of: how many there are.
      distance: Euclidean, to the nearest example with this label.
      example: the file of that example, as DIR/LABEL/... below DIR.
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
      labels: of each.
      files: that each is of.
    """

    embeddings: np.ndarray
    labels: list[str]
    files: list[str]

    def nearest(self, embedding: np.ndarray) -> Nearest:
        """Let the k = 10 nearest vote (patent paragraph 73), all where there are fewer."""
        distances = np.linalg.norm(self.embeddings - embedding, axis=1)
        order = np.argsort(distances, kind="stable")[:NEIGHBOURS]
        # The count keeps the order, nearest first, among labels with equally many votes.
        ((label, votes),) = Counter(self.labels[i] for i in order).most_common(1)
        closest = next(i for i in order if self.labels[i] == label)
        distance = float(distances[closest])
        return Nearest(label, votes, len(order), distance, self.files[closest])


def embed_examples(directory: pathlib.Path | str, embedder: Embedder) -> Examples:
    """Embed the audio of DIR/LABEL/..., with the same file that embeds the stream.

    A clip gives the embeddings of its whole windows, 320 ms apart; one shorter than a window gives
    the last embedding of the stream that it is.

    Args:
      directory: its sub-folders are the labels.
      embedder: a streaming model; is reset.

    Raises:
      A2vError: no such directory, no sub-folders with audio, or a file that cannot be read.
    """
    directory = pathlib.Path(directory)
    expected = "expected a folder with a sub-folder of audio for each label"
    if not directory.is_dir():
        raise A2vError(f"--examples={directory}: is no directory: {expected}")
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
        of_clip = _embed_clip(embedder, read_audio(path))
        embeddings += of_clip
        labels += [name.parts[0]] * len(of_clip)
        files += [name.as_posix()] * len(of_clip)
    embedder.reset()
    return Examples(np.stack(embeddings), labels, files)


def _embed_clip(embedder: Embedder, pcm: np.ndarray) -> list[np.ndarray]:
    """Embed a clip as a stream of silence that ends with it."""
    hop = embedder.stream_hop
    steps = -(-len(pcm) // hop)
    embedder.reset()
    embeddings = embedder.stream(np.pad(pcm, (steps * hop - len(pcm), 0)))
    heard = embedder.span - FRONT_END.overlap  # by the first of a whole window
    first = min(-(-heard // hop), steps) - 1
    every = max(1, _EVERY // hop)
    return embeddings[first:][::-every][::-1]
