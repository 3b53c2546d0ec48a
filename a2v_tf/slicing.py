"""From the log-mel spectrogram of a clip to the slices that a task trains on, all in-graph."""

import dataclasses

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class ContextSlicing:
    """Where the slices of Audio2Vec stand (ICLR section 3): X_(p) starts at frame i + p(N + G).

    Attributes:
      frames: N, frames in a slice.
      context: P, slices on each side of the middle one.
      gap: G, frames left out between two slices, so that overlapping STFT windows leak nothing.
    """

    frames: int = 96
    context: int = 2
    gap: int = 2

    @property
    def stride(self) -> int:
        """Frames from the start of one slice to the start of the next: N + G."""
        return self.frames + self.gap

    @property
    def span(self) -> int:
        """Frames from the first frame of X_(-P) to the last frame of X_(P)."""
        return 2 * self.context * self.stride + self.frames


def surrounding_slices(log_mel: tf.Tensor, slicing: ContextSlicing) -> tuple[tf.Tensor, tf.Tensor]:
    """Cut the 2P surrounding slices and the middle slice out of a crop.

    Args:
      log_mel: `[..., span, F]`, a crop whose first frame is the first of X_(-P). Cropping at a
        uniformly random frame makes i uniform.
      slicing: N, P and G.

    Returns:
      The surrounding slices X_(-P)..X_(-1), X_(1)..X_(P), `[..., 2P, N, F]`, and the middle
      slice X_(0), `[..., N, F]`.
    """

    def slice_at(p: int) -> tf.Tensor:
        start = (p + slicing.context) * slicing.stride
        return log_mel[..., start : start + slicing.frames, :]

    sides = [p for p in range(-slicing.context, slicing.context + 1) if p != 0]
    return tf.stack([slice_at(p) for p in sides], axis=-3), slice_at(0)
