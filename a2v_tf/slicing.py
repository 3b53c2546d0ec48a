"""From the log-mel spectrograms of clips to the slices that a task trains on, all in-graph."""

import tensorflow as tf

from a2v_tf.data.sampling import EVERYTHING, Share
from a2v_tf.specs import Slicing


def context_slices(log_mel: tf.Tensor, slicing: Slicing) -> tuple[tf.Tensor, tf.Tensor]:
    """Cut the 2P surrounding slices and the middle slice: X_(p) starts at frame i + p(N + G).

    Args:
      log_mel: `[..., T, F]`, crops of at least `span` frames; the slices lie in their middle.
        Cropping at a uniformly random frame makes i uniform.
      slicing: N, P and G.

    Returns:
      The surrounding slices X_(-P)..X_(-1), X_(1)..X_(P), `[..., 2P, N, F]`, and the middle
      slice X_(0), `[..., N, F]`.
    """
    i = (log_mel.shape[-2] - slicing.frames) // 2

    def slice_at(p: int) -> tf.Tensor:
        start = i + p * slicing.stride
        return log_mel[..., start : start + slicing.frames, :]

    sides = [p for p in range(-slicing.context, slicing.context + 1) if p != 0]
    return tf.stack([slice_at(p) for p in sides], axis=-3), slice_at(0)


def middle_slice(log_mel: tf.Tensor, slicing: Slicing) -> tf.Tensor:
    """Cut the slice X_(0), `[batch, N, F]`, out of the middle of crops of at least N frames."""
    i = (log_mel.shape[-2] - slicing.frames) // 2
    return log_mel[..., i : i + slicing.frames, :]


def slice_pair(
    log_mel: tf.Tensor, slicing: Slicing, key: tf.Tensor, share: Share = EVERYTHING
) -> tuple[tf.Tensor, tf.Tensor]:
    """Cut two slices whose distance in time is uniform, in random order (TemporalGap).

    Args:
      log_mel: `[batch, T, F]`, crops of at least N_max frames; their middle N_max are used.
      slicing: N and N_max.
      key: int64 `[2]`, seed of everything random.
      share: the part of a larger batch that the crops are.

    Returns:
      The slices X_i and X_j, `[batch, 2, N, F]`, and |i - j| / (N_max - N), float32 `[batch, 1]`:
      |i - j| is uniform over 0, 1, ..., N_max - N, and i uniform given |i - j|.
    """
    batch, longest = tf.shape(log_mel)[0] * share.workers, slicing.reach - slicing.frames
    gap_key, start_key, order_key = tf.unstack(tf.random.split(key, 3), num=3)
    distance = share.rows(tf.random.stateless_uniform([batch], gap_key, 0, longest + 1, tf.int32))
    room = tf.cast(longest - distance + 1, tf.float32)
    start = share.rows(tf.random.stateless_uniform([batch], start_key))
    first = tf.cast(start * room, tf.int32)
    # Rounding may turn the largest fraction into 1.
    first = tf.minimum(first, longest - distance)
    swap = share.rows(tf.random.stateless_uniform([batch], order_key, 0, 2, tf.int32))
    starts = first[:, None] + distance[:, None] * tf.stack([swap, 1 - swap], axis=1)
    frames = (log_mel.shape[-2] - slicing.reach) // 2 + starts[..., None] + tf.range(slicing.frames)
    pair = tf.gather(log_mel, frames, axis=1, batch_dims=1)
    pair.set_shape([log_mel.shape[0], 2, slicing.frames, log_mel.shape[-1]])
    return pair, tf.cast(distance[:, None], tf.float32) / max(longest, 1)


def other_clip(clip: tf.Tensor, key: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """For each crop of a batch choose one of another clip, uniformly (TripletLoss).

    Args:
      clip: int64 `[batch]`, the clip of each crop.
      key: int64 `[2]`.

    Returns:
      int64 `[batch]`, the crops chosen, and bool `[batch]`, false where the batch has no other
      clip, so that the choice is meaningless.
    """
    batch = tf.shape(clip)[0]
    is_other = clip[:, None] != clip[None, :]
    scores = tf.random.stateless_uniform([batch, batch], key)
    chosen = tf.argmax(tf.where(is_other, scores, -1.0), axis=1)
    return chosen, tf.reduce_any(is_other, axis=1)
