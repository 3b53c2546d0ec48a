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

    Raises:
      ValueError: the crops are too short.
    """
    frames = log_mel.shape[-2]
    if frames < slicing.span:
        raise ValueError(
            f"crops of {frames} frames: expected at least {slicing.span}, which the slices around "
            "the middle one span"
        )
    i = slicing.middle(frames)

    def slice_at(p: int) -> tf.Tensor:
        start = i + p * slicing.stride
        return log_mel[..., start : start + slicing.frames, :]

    return tf.stack([slice_at(p) for p in slicing.sides], axis=-3), slice_at(0)


def middle_slice(log_mel: tf.Tensor, slicing: Slicing) -> tf.Tensor:
    """Cut the slice X_(0), `[batch, N, F]`, out of the middle of crops of at least N frames."""
    i = slicing.middle(log_mel.shape[-2])
    return log_mel[..., i : i + slicing.frames, :]


def part(
    log_mel: tf.Tensor, frames: int, place: tf.Tensor, key: tf.Tensor, share: Share = EVERYTHING
) -> tf.Tensor:
    """Cut a part out of each crop: in the clip, all places of the part are equally likely.

    That a part is anywhere in its crop with equal probability would not do: of the first and last
    frames of a clip there are fewer crops. Let a crop of T frames be the k-th of n in its clip, all
    equally likely. Then u = (k + v) / n with a uniform v in [0, 1) is uniform too. With m = T -
    frames, the part has n + m places in the clip, and floor(u (n + m)) is uniform among them; it is
    k to k + m, within the crop.

    Args:
      log_mel: `[batch, T, F]`.
      frames: of the part, at most T.
      place: int64 `[batch, 3]`, of each crop, as by `sources.PlacingSource`.
      key: int64 `[2]`.
      share: the part of a larger batch that the crops are.

    Returns:
      `[batch, frames, F]`.
    """
    more = log_mel.shape[-2] - frames
    if more == 0:
        return log_mel
    batch = tf.shape(log_mel)[0] * share.workers
    v = share.rows(tf.random.stateless_uniform([batch], key, dtype=tf.float64))
    k, n, _ = tf.unstack(tf.cast(place, tf.float64), axis=1)
    start = tf.floor((k + v) / n * (n + more)) - k
    # Rounding may turn the largest fraction into 1.
    start = tf.cast(tf.clip_by_value(start, 0.0, float(more)), tf.int32)
    cut = tf.gather(log_mel, start[:, None] + tf.range(frames), axis=1, batch_dims=1)
    cut.set_shape([log_mel.shape[0], frames, log_mel.shape[-1]])
    return cut


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


def pair_starts(longest: tf.Tensor, key: tf.Tensor, share: Share = EVERYTHING) -> tf.Tensor:
    """Where the slices of pairs start if each clip has an N_max of its own, as for `slice_pair`.

    Args:
      longest: int64 `[batch]`, N_max - N.
      key: int64 `[2]`.
      share: the part of a larger batch that these are.

    Returns:
      int64 `[batch, 2]`, i and j.
    """
    batch = tf.shape(longest)[0] * share.workers
    u = share.rows(tf.random.stateless_uniform([batch, 3], key, dtype=tf.float64))

    def below(fraction: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
        # Rounding may turn the largest fraction into 1.
        return tf.minimum(tf.cast(fraction * tf.cast(count, tf.float64), tf.int64), count - 1)

    distance = below(u[:, 0], longest + 1)
    first = below(u[:, 1], longest - distance + 1)
    swap = tf.cast(u[:, 2] < 0.5, tf.int64)
    return first[:, None] + distance[:, None] * tf.stack([swap, 1 - swap], axis=1)


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
