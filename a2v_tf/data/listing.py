"""The clips of a source, each once and in order: for what is computed once over a whole corpus.

`FolderSource` and `TfdsSource` list their clips. So does a source of your own that has the methods
`clips`, `read_spans` and `skip`.
"""

import dataclasses
import hashlib
import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from a2v_tf.audio.read import SLICE_SAMPLES
from a2v_tf.frontend import FRONT_END


@dataclasses.dataclass(frozen=True)
class ListedClip:
    """A clip of a source.

    Attributes:
      name: unique in the corpus, and the same wherever the corpus is stored.
      samples: its length at the source's sample rate, by its header.
      size: in bytes, as stored.
      channel: number of the channel to use; None for the mean of all.
    """

    name: str
    samples: int
    size: int
    channel: int | None = None


class Span(NamedTuple):
    """A part of a clip.

    Attributes:
      clip: index in the list of clips.
      start: first sample, at the source's sample rate.
      samples: number of samples, likewise.
    """

    clip: int
    start: int
    samples: int


@runtime_checkable
class ListsClips(Protocol):
    """A source whose clips can be listed and read by number."""

    def describe(self) -> str:
        """Say on one line what there is."""

    def clips(self) -> Sequence[ListedClip]:
        """The clips that may be usable, always in the same order."""

    def read_spans(self, spans: Sequence[Span]) -> Iterator[np.ndarray | str]:
        """Read parts of clips; several threads may do so at the same time.

        Args:
          spans: of different clips, in ascending order.

        Yields:
          For each span its PCM in [-1, 1], float32 `[samples]`; or why the clip cannot be used.
        """

    def skip(self, clip: int, reason: str) -> None:
        """Log and count, once, that a clip cannot be used.

        Raises:
          A2vError: there are too many such clips.
        """


def corpus_key(clips: Sequence[ListedClip], settings: tuple) -> str:
    """Key of what is computed of a corpus once: the same wherever the corpus is stored.

    Args:
      clips: of the corpus.
      settings: what the result depends on besides.
    """
    digest = hashlib.sha256(repr(settings).encode())
    for clip in clips:
        channel = () if clip.channel is None else (clip.channel,)
        facts = (clip.name, clip.samples, clip.size, *channel)
        digest.update(repr(facts).encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]


def cpus() -> int:
    """Number of CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def slice_frames(samples: int) -> np.ndarray:
    """The slices of a clip: side by side, evenly spread from its start to its end.

    They overlap, or leave gaps, by less than half a slice.

    Args:
      samples: length of the clip at 16 kHz. A clip shorter than a slice has one, to be padded; one
        shorter than a frame has none.

    Returns:
      The first frame of each slice, int32 `[round(samples / 15,600)]`, at least one.
    """
    if samples < FRONT_END.window_length:
        return np.zeros(0, np.int32)
    count = max(1, round(samples / SLICE_SAMPLES))
    starts = np.linspace(0, max(0, samples - SLICE_SAMPLES), count)
    return (starts // FRONT_END.hop_length).astype(np.int32)
