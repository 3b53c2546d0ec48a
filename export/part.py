"""What an exported file computes: the encoder alone, or a head behind it as well."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from a2v_tf.export import flatbuffer as fb
from a2v_tf.export.quantize import Quantization

if TYPE_CHECKING:
    from a2v_tf.evaluation.saved_heads import SavedHead
    from a2v_tf.training.trained_task import TrainedTask


@dataclasses.dataclass(frozen=True)
class Origin:
    """What a part is made from.

    Attributes:
      model_dir: the model directory.
      config: its `config.json`.
      window: the encoder's window model, `embed(log_mel f32 [1, N, F]) -> embedding f32 [1, d]`.
      slices: returns the calibration slices, float32 `[n, N, F]`; None for a float file.
      how: integer types and the choice of ranges.
      crops: returns calibration crops of a number of frames, float32 `[n, frames, F]`; None for a
        float file, and where only slices are given.
      trained: the task whose decoder is asked for.
      head: that a2v_evaluate kept, for a classifier.
    """

    model_dir: pathlib.Path
    config: dict[str, Any]
    window: fb.Model
    slices: Callable[[], np.ndarray] | None
    how: Quantization
    crops: Callable[[int], np.ndarray] | None = None
    trained: TrainedTask | None = None
    head: SavedHead | None = None


class Part:
    """The encoder alone, whose files other parts extend.

    A file of every part has the signature `embed` of the encoder's file, with equal embeddings, so
    whatever runs encoders runs it. A subclass adds signatures in one of two ways:

      `extended`  a head on each embedding: its ops follow those of the encoder in the window model,
                  from which the streaming and offline forms are derived
      `signed`    a head on several embeddings: a subgraph of its own, added to the finished form

    Attributes:
      name: one of `forms.PARTS`.
      facts: the part's facts in the file's metadata; the encoder's files have none.
    """

    name: str = "encoder"

    @property
    def facts(self) -> dict[str, Any]:
        return {}

    def extended(self, window: fb.Model) -> fb.Model:
        """Extend the encoder's window model `embed(log_mel) -> embedding` by outputs."""
        return window

    def signed(self, form: fb.Model, mode: str) -> fb.Model:
        """Add signatures to a form.

        Args:
          form: what `build_form` made of `extended(window)`.
          mode: one of `forms.MODES`.
        """
        del mode
        return form

    def check(self, content: bytes) -> dict[str, Any]:
        """Check what the part adds to a file's content; return what the summary says about it.

        Raises:
          A2vError: a check fails.
        """
        del content
        return {}
