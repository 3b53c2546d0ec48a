"""A picture of a stream: its embeddings over time, their changes and their nearest labels.

matplotlib, which the light install does not include, is imported only when a picture is drawn.
"""

from __future__ import annotations

import dataclasses
import pathlib
from typing import TYPE_CHECKING

import numpy as np

from a2v_tf.errors import A2vError
from a2v_tf.files import output_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 4_096  # most columns in memory, twice what a screen shows
_MOST_LABELS = 10  # that get a colour; the rest are grey


@dataclasses.dataclass
class _Column:
    end_s: float
    embedding: np.ndarray
    change: float
    label: str | None


class StreamPicture:
    """Collects embeddings in bounded memory: every second, fourth, ... one of a long stream."""

    def __init__(self) -> None:
        self._columns: list[_Column] = []
        self._stride = 1
        self._seen = 0
        self._change = 0.0  # the greatest since the last column

    def add(
        self, end_s: float, embedding: np.ndarray, change: float, label: str | None = None
    ) -> None:
        """Add the next embedding.

        Args:
          end_s: end of its window, in seconds.
          embedding: float32 `[d]`.
          change: distance from the embedding 320 ms earlier.
          label: label of the nearest examples.
        """
        self._change = max(self._change, change)
        self._seen += 1
        if self._seen % self._stride:
            return
        self._columns.append(_Column(end_s, embedding, self._change, label))
        self._change = 0.0
        if len(self._columns) == _COLUMNS:
            self._stride *= 2
            pairs = zip(self._columns[::2], self._columns[1::2], strict=True)
            self._columns = [
                dataclasses.replace(late, change=max(early.change, late.change))
                for early, late in pairs
            ]

    def save(self, path: pathlib.Path) -> None:
        """Write the picture as a PNG file.

        Raises:
          A2vError: the stream had no embedding, or the file cannot be written.
        """
        if not self._columns:
            raise A2vError(f"no picture {path}: the stream has no embedding")
        figure = self._draw()
        with output_file(path) as partial:
            figure.savefig(partial, dpi=120, metadata={"Software": None})

    def _draw(self) -> Figure:
        from matplotlib.figure import Figure

        ends = np.array([column.end_s for column in self._columns])
        step = ends[0] if len(ends) == 1 else ends[1] - ends[0]
        labels = [column.label for column in self._columns]
        figure = Figure(figsize=(11, 5.5), layout="constrained")
        heights = [4, 1.3, 0.35] if any(labels) else [4, 1.3]
        axes = figure.subplots(
            len(heights), 1, sharex=True, squeeze=False, height_ratios=heights
        ).flat
        _draw_embeddings(axes[0], ends, step, np.stack([c.embedding for c in self._columns]))
        axes[1].step(ends, [column.change for column in self._columns], where="pre", linewidth=1)
        axes[1].set_ylabel("distance from\n320 ms before")
        axes[1].set_ylim(bottom=0)
        if any(labels):
            _draw_labels(axes[2], ends, step, labels)
        axes[-1].set_xlim(ends[0] - step, ends[-1])
        axes[-1].set_xlabel("end of the window, s")
        return figure


def _draw_embeddings(axes: Axes, ends: np.ndarray, step: float, embeddings: np.ndarray) -> None:
    embeddings = embeddings - embeddings.mean(axis=0)
    greatest = float(np.percentile(np.abs(embeddings), 99)) or 1.0  # outliers would hide the rest
    image = axes.imshow(
        embeddings.T,
        aspect="auto",
        origin="lower",
        interpolation="nearest",
        cmap="RdBu_r",
        vmin=-greatest,
        vmax=greatest,
        extent=(ends[0] - step, ends[-1], 0, embeddings.shape[1]),
    )
    axes.set_ylabel("dimension")
    axes.figure.colorbar(image, ax=axes, pad=0.01, label="above its mean")


def _draw_labels(axes: Axes, ends: np.ndarray, step: float, labels: list[str | None]) -> None:
    from matplotlib import colormaps
    from matplotlib.patches import Patch

    common = sorted(set(labels), key=lambda label: (-labels.count(label), label))
    colours = dict(zip(common[:_MOST_LABELS], colormaps["tab10"].colors, strict=False))
    grey = (0.75, 0.75, 0.75)
    rows = np.array([[colours.get(label, grey) for label in labels]])
    axes.imshow(
        rows, aspect="auto", interpolation="nearest", extent=(ends[0] - step, ends[-1], 0, 1)
    )
    axes.set_yticks([])
    axes.set_ylabel("nearest", rotation=0, ha="right", va="center")
    patches = [Patch(color=colour, label=label) for label, colour in colours.items()]
    if len(common) > _MOST_LABELS:
        patches.append(Patch(color=grey, label="others"))
    axes.figure.legend(handles=patches, loc="outside lower center", ncols=6, frameon=False)
