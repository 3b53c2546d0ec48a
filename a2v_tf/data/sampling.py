"""How crops are drawn: stateless random numbers, strata, and the end of an epoch.

Everything here is a pure function of the seeds, so that a stream can be repeated in another
process. Words: a position is a frame at which a crop may start; an epoch covers all of them once,
with one draw from every stratum of `STRATUM` positions.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from a2v_tf.frontend import FRONT_END

# Positions that share one draw of an epoch: 5 s, about one CBoW crop.
STRATUM = 500

# Crops whose peak is below half a step of 16-bit PCM hold nothing but digital silence.
SILENCE_PEAK = 0.5 / 32_768.0

# Decoders and resamplers overshoot 1 a little; beyond this the samples have another scale.
LOUDEST_PEAK = 8.0

SILENT = "digitally silent crops are left out"

_DRAWS_AT_ONCE = 256

# What a source draws: the crop, which is (float32 `[samples]`, int64 clip), or of labelled data
# (float32 `[samples]`, label); bool, whether it is usable; bool, whether it marks the end of an
# epoch instead.
Drawn = tuple[tuple[tf.Tensor, tf.Tensor], tf.Tensor, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Share:
    """What one of several workers does of a stream of draws and of the batches cut from it.

    The workers take blocks of draws in turn. A block is a worker's part of a batch, so that the
    parts of all workers, joined, are the batch that one worker alone would make: exactly, as long
    as every crop is usable. Where one is not, a worker goes on with the next of its own.

    Attributes:
      worker: 0, 1, ..., workers - 1.
      workers: how many there are.
      block: draws in a block.
    """

    worker: int = 0
    workers: int = 1
    block: int = 1

    def part(self, count: int) -> int:
        """How many of `count` rows, a multiple of `workers`, are this worker's."""
        return count // self.workers

    def rows(self, values: tf.Tensor) -> tf.Tensor:
        """The worker's part of values for a whole batch, `[batch, ...]`."""
        if self.workers == 1:
            return values
        part = tf.shape(values)[0] // self.workers
        return values[self.worker * part : (self.worker + 1) * part]

    def of(
        self, draws: tf.data.Dataset, is_end: Callable[..., tf.Tensor] | None = None
    ) -> tf.data.Dataset:
        """The worker's elements of an endless stream of all draws.

        Args:
          draws: what is drawn; the earlier in the pipeline, the less is done for other workers.
          is_end: of an element, whether it marks the end of an epoch and is no draw. Such markers
            are kept, except where they would follow each other.
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


def positions_in(samples, needed: int):
    """Count the frames at which a crop of `needed` samples can start, 0 if too short.

    Args:
      samples: length of the recording; int, int64 array or int64 tensor, as is the result.
      needed: length of the crop.
    """
    positions = (samples - needed) // FRONT_END.hop_length + 1
    return tf.maximum(positions, 0) if tf.is_tensor(samples) else np.maximum(positions, 0)


def key(seed: int, *counters: int | tf.Tensor) -> tf.Tensor:
    """Derive a random key, int64 `[2]`, from a seed and any number of counters."""
    result = tf.constant([seed & 0x7FFFFFFF, (seed >> 31) & 0x7FFFFFFF], tf.int64)
    for counter in counters:
        result = fold_in(result, counter)
    return result


def fold_in(key: tf.Tensor, counter: int | tf.Tensor) -> tf.Tensor:
    """Derive another key, int64 `[2]`, from `key` and a counter."""
    # One dtype, because the same number as int32 and as int64 gives different keys.
    return tf.random.experimental.stateless_fold_in(key, tf.cast(counter, tf.int64))


def split(key: tf.Tensor, count: int) -> tf.Tensor:
    """Derive `count` keys from `key`, int64 `[count, 2]`."""
    return tf.random.experimental.stateless_split(key, count)


def uniform_int(key: tf.Tensor, bound: tf.Tensor) -> tf.Tensor:
    """Draw an int64 scalar from [0, bound)."""
    return tf.random.stateless_uniform([], key, 0, bound, tf.int64)


def shuffled(count: int, key: tf.Tensor) -> tf.data.Dataset:
    """Dataset of the int64 scalars 0..count-1, in an order that depends on `key` only."""
    indices = tf.data.Dataset.range(count).batch(_DRAWS_AT_ONCE)
    return indices.map(lambda block: _shuffle(block, key, count)).unbatch()


def shuffle_blocks(dataset: tf.data.Dataset, size: int, key: tf.Tensor) -> tf.data.Dataset:
    """Shuffle within blocks of `size` elements, in an order that depends on `key` only.

    That of `tf.data.Dataset.shuffle` depends on TensorFlow's global seed too, and where that is 0
    it takes no tensor for a seed.
    """

    rows = shuffled_rows(dataset.batch(size), key)
    return rows.map(lambda block, row: tf.nest.map_structure(lambda x: x[row], block))


def shuffled_rows(blocks: tf.data.Dataset, key: tf.Tensor) -> tf.data.Dataset:
    """The rows of each block in an order that depends on `key` only.

    Returns:
      Dataset of (block, int32 row): nothing is copied until the row is taken from its block, which
      can be done by several threads.
    """

    def shuffle(index: tf.Tensor, block: tuple) -> tf.data.Dataset:
        rows = tf.range(tf.shape(tf.nest.flatten(block)[0])[0])
        order = tf.random.experimental.stateless_shuffle(rows, fold_in(key, index))
        same_block = tf.data.Dataset.from_tensors(block).repeat()
        return tf.data.Dataset.zip((same_block, tf.data.Dataset.from_tensor_slices(order)))

    return blocks.enumerate().flat_map(shuffle)


def _shuffle(indices: tf.Tensor, key: tf.Tensor, count: int) -> tf.Tensor:
    """Where a permutation of 0..count-1 puts `indices`, int64 of any shape."""
    # tf.random.experimental.index_shuffle makes 4 rounds, after which neighbours among millions are
    # still correlated (0.3). 8 are the fewest without a trace of that.
    return tf.raw_ops.RandomIndexShuffle(
        index=indices,
        seed=tf.random.stateless_uniform([3], key, None, None, tf.int64),
        max_index=tf.constant(count - 1, tf.int64),
        rounds=16,
    )


def clip_positions(positions: tf.Tensor, stratum: float, key: tf.Tensor) -> tf.Tensor:
    """Draw positions in a clip, `positions / stratum` of them on average.

    Args:
      positions: how many the clip has, int64 scalar.
      stratum: positions for each draw.
      key: int64 `[2]`.

    Returns:
      int64 `[count]` in [0, positions). Each of all the clips' positions is equally likely.
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
      total: positions in the corpus.
      epoch_key: int64 `[2]`.

    Returns:
      Dataset of int64 scalars in [0, total), each marginally uniform.
    """
    strata = -(-total // STRATUM)
    order_key, offset_key = tf.unstack(split(epoch_key, 2))

    def draw(indices: tf.Tensor) -> tf.Tensor:
        # float64: a corpus has up to 1e10 positions, float32 counts only to 1.6e7.
        offsets = tf.random.stateless_uniform(
            tf.shape(indices), fold_in(offset_key, indices[0]), dtype=tf.float64
        )
        drawn = tf.cast(_shuffle(indices, order_key, strata), tf.float64)
        return _at((drawn + offsets) / strata, total)

    return tf.data.Dataset.range(strata).batch(_DRAWS_AT_ONCE).map(draw).unbatch()


def forever(epoch: Callable[[tf.Tensor], tf.data.Dataset]) -> tf.data.Dataset:
    """Concatenate `epoch(0)`, `epoch(1)`, ... without end."""
    return tf.data.Dataset.range(tf.int64.max).flat_map(epoch)


def mark_end(crops: tf.data.Dataset) -> tf.data.Dataset:
    """Append an end marker to the `(crop, usable)` of one epoch, which makes them `Drawn`."""
    crop_spec, _ = crops.element_spec
    no_crop = tf.nest.map_structure(lambda spec: tf.zeros(spec.shape, spec.dtype), crop_spec)
    end = tf.data.Dataset.from_tensors((no_crop, False, True))
    return crops.map(lambda crop, usable: (crop, usable, False)).concatenate(end)


def usable_only(crops: tf.data.Dataset, at_end: Callable[[int], None]) -> tf.data.Dataset:
    """Keep the usable crops, and report how many there were at the end of every epoch.

    Args:
      crops: dataset of `Drawn`.
      at_end: called with the number of usable crops when an epoch is over; may raise. Without it,
        a corpus with nothing usable would be read for ever.

    Returns:
      Dataset of the crops.
    """

    def end(count: np.ndarray) -> np.ndarray:
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
    """Call Python in-graph, `tf.numpy_function` with the static shape set."""
    # stateful: a call that logs must not be folded away or shared with an equal one.
    result = tf.numpy_function(function, inputs, dtype, stateful=True)
    result.set_shape(shape)
    return result


def is_usable(pcm: tf.Tensor) -> tf.Tensor:
    """Whether `flaw` finds nothing wrong with PCM, float32 `[samples]`; bool scalar."""
    # The sum of squares, unlike the maximum, always carries NaN on.
    energy = tf.nn.l2_loss(pcm)
    peak = tf.maximum(tf.reduce_max(pcm), -tf.reduce_min(pcm))
    return tf.math.is_finite(energy) & (peak >= SILENCE_PEAK) & (peak <= LOUDEST_PEAK)


def flaw(pcm: np.ndarray) -> str | None:
    """Say why PCM, float32 `[samples]`, cannot be used as a crop; None if it can."""
    peak = max(pcm.max(), -pcm.min())
    if not np.isfinite(pcm @ pcm):
        return "has NaN or infinite samples"
    if peak > LOUDEST_PEAK:
        return f"has samples up to {peak:.3g}, expected [-1, 1]"
    return SILENT if peak < SILENCE_PEAK else None


def too_short(seconds: float, needed: float) -> str:
    """The reason given for a recording shorter than one crop."""
    return f"is too short: {seconds:.2f} s, a crop needs {needed:.2f} s"
