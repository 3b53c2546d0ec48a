"""Sampling of crops: stateless random numbers, strata, and the end of an epoch.

Everything here is a pure function of the seeds, so any process can reproduce a stream. A position
is a frame at which a crop may start. An epoch draws one position from every stratum of `STRATUM`
consecutive positions, and so covers the corpus once.
"""

import dataclasses
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import tensorflow as tf

from a2v_tf.audio import checks
from a2v_tf.audio.checks import LOUDEST_PEAK, SILENCE_PEAK
from a2v_tf.frontend import FRONT_END

# Positions in a stratum: 5 s, about one CBoW crop.
STRATUM = 500

SILENT = "digitally silent crops are left out"

END = np.int64(-1)  # end-of-epoch marker in a stream of positions

NO_PLACE = np.array([0, 1, 0], np.int64)  # of such a marker: see `sources.PlacingSource`

_DRAWS_AT_ONCE = 256

# An element drawn by a source: a crop, (float32 `[samples]`, int64 clip) with or without its place
# or, for labelled data, (float32 `[samples]`, label); bool, whether the crop is usable; bool,
# whether the element is an end-of-epoch marker instead of a crop.
Drawn = tuple[tuple[tf.Tensor, ...], tf.Tensor, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Share:
    """One worker's share of a stream of draws, and of the batches made from it.

    The workers take blocks of draws in turn. A block is a worker's part of a batch, so the
    concatenated parts of all workers equal the batch of a single worker, as long as every crop is
    usable. A worker replaces an unusable crop by the next one of its own share.

    Attributes:
      worker: index of the worker, 0 to `workers - 1`.
      workers: number of workers.
      block: draws in a block.
    """

    worker: int = 0
    workers: int = 1
    block: int = 1

    def part(self, count: int) -> int:
        """Number of this worker's rows among `count`, a multiple of `workers`."""
        return count // self.workers

    def rows(self, values: tf.Tensor) -> tf.Tensor:
        """This worker's rows of the values of a whole batch, `[batch, ...]`."""
        if self.workers == 1:
            return values
        part = tf.shape(values)[0] // self.workers
        return values[self.worker * part : (self.worker + 1) * part]

    def of(
        self, draws: tf.data.Dataset, is_end: Callable[..., tf.Tensor] | None = None
    ) -> tf.data.Dataset:
        """This worker's elements of an infinite stream of all draws.

        Args:
          draws: the stream. Call this early in the pipeline, to save work on other workers' draws.
          is_end: maps an element to whether it is an end-of-epoch marker, not a draw. Markers are
            kept, except for one that directly follows another.
        """
        if self.workers == 1:
            return draws

        def count(state: tuple[tf.Tensor, tf.Tensor], element: tuple) -> tuple:
            drawn, since_end = state
            end = is_end(element) if is_end else tf.constant(False)
            mine = ~end & ((drawn // self.block) % self.workers == self.worker)
            keep = mine | (end & (since_end > 0))
            since_end = tf.where(end, tf.zeros([], tf.int64), since_end + tf.cast(mine, tf.int64))
            return (drawn + tf.cast(~end, tf.int64), since_end), (keep, element)

        zero = tf.constant(0, tf.int64)
        kept = draws.scan((zero, zero), count).filter(lambda keep, _: keep)
        return kept.map(lambda _, element: element)


EVERYTHING = Share()


_Samples = TypeVar("_Samples", int, np.ndarray, tf.Tensor)


def positions_in(
    samples: _Samples, needed: int, hop_length: int = FRONT_END.hop_length
) -> _Samples:
    """Count the frames at which a crop of `needed` samples can start; 0 in short recordings.

    Args:
      samples: length of the recording: int, int64 array or int64 tensor; the result has the same
        type and shape.
      needed: length of the crop in samples.
      hop_length: samples from one frame to the next.
    """
    positions = (samples - needed) // hop_length + 1
    return tf.maximum(positions, 0) if tf.is_tensor(samples) else np.maximum(positions, 0)


def key(seed: int, *counters: int | tf.Tensor) -> tf.Tensor:
    """Derive a random key, int64 `[2]`, from a seed and any number of counters."""
    result = tf.constant([seed & 0x7FFFFFFF, (seed >> 31) & 0x7FFFFFFF], tf.int64)
    for counter in counters:
        result = fold_in(result, counter)
    return result


def fold_in(key: tf.Tensor, counter: int | tf.Tensor) -> tf.Tensor:
    """Derive another key, int64 `[2]`, from `key` and a counter."""
    # Always int64: the same number as int32 gives another key.
    return tf.random.experimental.stateless_fold_in(key, tf.cast(counter, tf.int64))


def split(key: tf.Tensor, count: int) -> tf.Tensor:
    """Derive `count` keys from `key`, int64 `[count, 2]`."""
    return tf.random.experimental.stateless_split(key, count)


def uniform_int(key: tf.Tensor, bound: tf.Tensor) -> tf.Tensor:
    """Draw an int64 scalar from [0, bound)."""
    return tf.random.stateless_uniform([], key, 0, bound, tf.int64)


def shuffled(count: int, key: tf.Tensor) -> tf.data.Dataset:
    """Dataset of the int64 scalars 0..count-1, in an order that depends only on `key`."""
    indices = tf.data.Dataset.range(count).batch(_DRAWS_AT_ONCE)
    return indices.map(lambda block: _shuffle(block, key, count)).unbatch()


def shuffle_blocks(dataset: tf.data.Dataset, size: int, key: tf.Tensor) -> tf.data.Dataset:
    """Shuffle within blocks of `size` elements, in an order that depends only on `key`.

    `tf.data.Dataset.shuffle` also depends on TensorFlow's global seed, and does not accept a tensor
    as seed if that is 0.
    """

    rows = shuffled_rows(dataset.batch(size), key)
    return rows.map(lambda block, row: tf.nest.map_structure(lambda x: x[row], block))


def shuffled_rows(blocks: tf.data.Dataset, key: tf.Tensor) -> tf.data.Dataset:
    """Shuffle the rows of each block, in an order that depends only on `key`.

    Returns:
      Dataset of (block, int32 row). Rows are not copied yet, so that several threads can take them
      from their blocks later.
    """

    def shuffle(index: tf.Tensor, block: tuple) -> tf.data.Dataset:
        rows = tf.range(tf.shape(tf.nest.flatten(block)[0])[0])
        order = tf.random.experimental.stateless_shuffle(rows, fold_in(key, index))
        same_block = tf.data.Dataset.from_tensors(block).repeat()
        return tf.data.Dataset.zip((same_block, tf.data.Dataset.from_tensor_slices(order)))

    return blocks.enumerate().flat_map(shuffle)


def _shuffle(indices: tf.Tensor, key: tf.Tensor, count: int) -> tf.Tensor:
    """Map `indices`, int64 of any shape, by a random permutation of 0..count-1."""
    # tf.random.experimental.index_shuffle makes 4 rounds, after which neighbours among millions are
    # still correlated (0.3). At least 8 rounds are needed.
    return tf.raw_ops.RandomIndexShuffle(
        index=indices,
        seed=tf.random.stateless_uniform([3], key, None, None, tf.int64),
        max_index=tf.constant(count - 1, tf.int64),
        rounds=16,
    )


def clip_positions(positions: tf.Tensor, stratum: float, key: tf.Tensor) -> tf.Tensor:
    """Draw `positions / stratum` positions in a clip, on average.

    Args:
      positions: number of positions in the clip, int64 scalar.
      stratum: number of positions for each draw.
      key: int64 `[2]`.

    Returns:
      int64 `[count]` in [0, positions). All positions of all clips are equally likely.
    """
    count_key, offset_key = tf.unstack(split(key, 2))
    expected = tf.cast(positions, tf.float64) / stratum
    extra = tf.random.stateless_uniform([], count_key, dtype=tf.float64)
    count = tf.floor(expected + extra)
    offsets = tf.random.stateless_uniform([tf.cast(count, tf.int32)], offset_key, dtype=tf.float64)
    where = (tf.range(count, dtype=tf.float64) + offsets) / count
    return _at(where, positions)


def _at(where: tf.Tensor, total: int | tf.Tensor) -> tf.Tensor:
    """Convert fractions in [0, 1) to int64 in [0, total)."""
    index = tf.cast(where * tf.cast(total, tf.float64), tf.int64)
    # Rounding may turn the largest fraction into 1.
    return tf.minimum(index, tf.cast(total, tf.int64) - 1)


def stratified_positions(total: int, epoch_key: tf.Tensor) -> tf.data.Dataset:
    """Draw one position from each of `ceil(total / STRATUM)` equal strata, in shuffled order.

    Args:
      total: number of positions in the corpus.
      epoch_key: int64 `[2]`.

    Returns:
      Dataset of int64 scalars in [0, total), each marginally uniform.
    """
    strata = -(-total // STRATUM)
    order_key, offset_key = tf.unstack(split(epoch_key, 2))

    def draw(indices: tf.Tensor) -> tf.Tensor:
        # float64: a corpus has up to 1e10 positions, and float32 is exact only up to 1.6e7.
        offsets = tf.random.stateless_uniform(
            tf.shape(indices), fold_in(offset_key, indices[0]), dtype=tf.float64
        )
        drawn = tf.cast(_shuffle(indices, order_key, strata), tf.float64)
        return _at((drawn + offsets) / strata, total)

    return tf.data.Dataset.range(strata).batch(_DRAWS_AT_ONCE).map(draw).unbatch()


def marked_positions(
    total: int, *, seed: int, round_index: int | tf.Tensor, share: Share
) -> tf.data.Dataset:
    """Stratified positions in a corpus for ever, with `END` after each epoch.

    Epochs are concatenated before anything is read, so that prefetching crosses their boundaries.
    """

    def epoch(index: tf.Tensor) -> tf.data.Dataset:
        positions = stratified_positions(total, key(seed, round_index, index))
        return positions.concatenate(tf.data.Dataset.from_tensors(END))

    return share.of(forever(epoch), lambda position: position == END)


def locate(
    cumulative: np.ndarray, position: int, firsts: np.ndarray | None = None
) -> tuple[int, np.ndarray]:
    """Find a global position.

    Args:
      cumulative: number of positions in clips 0..i, int64 `[clips]`.
      position: counted through all clips.
      firsts: the frame of each clip's first position, int64 `[clips]`; None for 0.

    Returns:
      The clip, and the place in it, int64 `[3]`; see `sources.PlacingSource.crops`.
    """
    index = int(np.searchsorted(cumulative, position, side="right"))
    before = int(cumulative[index - 1]) if index else 0
    first = 0 if firsts is None else int(firsts[index])
    return index, np.array([position - before, int(cumulative[index]) - before, first], np.int64)


def without_place(crop: tuple[tf.Tensor, ...], *more: tf.Tensor) -> Drawn:
    """Leave out the place of a drawn element."""
    return crop[:2], *more


def forever(epoch: Callable[[tf.Tensor], tf.data.Dataset]) -> tf.data.Dataset:
    """Concatenate `epoch(0)`, `epoch(1)`, ... to an infinite dataset."""
    return tf.data.Dataset.range(tf.int64.max).flat_map(epoch)


def mark_end(crops: tf.data.Dataset) -> tf.data.Dataset:
    """Convert the `(crop, usable)` of one epoch to `Drawn`, with a marker at the end."""
    crop_spec, _ = crops.element_spec
    no_crop = tf.nest.map_structure(lambda spec: tf.zeros(spec.shape, spec.dtype), crop_spec)
    end = tf.data.Dataset.from_tensors((no_crop, False, True))
    return crops.map(lambda crop, usable: (crop, usable, False)).concatenate(end)


def usable_only(crops: tf.data.Dataset, at_end: Callable[[int], None]) -> tf.data.Dataset:
    """Keep the usable crops, and report their number at the end of every epoch.

    Args:
      crops: dataset of `Drawn`.
      at_end: called with the number of usable crops at the end of an epoch. It may raise, so that
        a corpus without usable crops is not read for ever.

    Returns:
      Dataset of crops.
    """

    def end(count: np.ndarray) -> np.generic:
        at_end(int(count))
        return np.int64(0)

    def count_usable(count: tf.Tensor, drawn: Drawn) -> tuple:
        crop, usable, is_end = drawn
        count += tf.cast(usable, tf.int64)
        count = tf.cond(is_end, lambda: call(end, [count], tf.int64, []), lambda: count)
        return count, (crop, usable)

    return (
        crops.scan(tf.constant(0, tf.int64), count_usable)
        .filter(lambda _, usable: usable)
        .map(lambda crop, _: crop)
    )


def call(function: Callable, inputs: list, dtype: tf.DType, shape: list) -> tf.Tensor:
    """Call a Python function in-graph: `tf.numpy_function` with a static output shape."""
    # stateful: a call that logs must not be folded, or merged with an equal one.
    result = tf.numpy_function(function, inputs, dtype, stateful=True)
    result.set_shape(shape)
    return result


def is_usable(pcm: tf.Tensor) -> tf.Tensor:
    """Whether `flaw` finds nothing wrong with PCM, float32 `[samples]`; bool scalar."""
    # Unlike the maximum, the sum of squares always propagates NaN.
    energy = tf.nn.l2_loss(pcm)
    peak = tf.maximum(tf.reduce_max(pcm), -tf.reduce_min(pcm))
    return tf.math.is_finite(energy) & (peak >= SILENCE_PEAK) & (peak <= LOUDEST_PEAK)


def flaw(pcm: np.ndarray) -> str | None:
    """Return why PCM, float32 `[samples]`, cannot be used as a crop; None if it can."""
    return checks.flaw(pcm) or (SILENT if checks.is_silent(pcm) else None)


def usable(pcm: np.ndarray) -> np.ndarray | str:
    """PCM, float32 `[samples]`, clipped to [-1, 1]; or why it cannot be used, be it not silent."""
    why_not = flaw(pcm)
    return np.clip(pcm, -1.0, 1.0) if why_not in (None, SILENT) else str(why_not)


def too_short(seconds: float, needed: float) -> str:
    """The message for a recording that is shorter than one crop."""
    return f"is too short: {seconds:.2f} s, a crop needs {needed:.2f} s"
