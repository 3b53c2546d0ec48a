"""From a source of PCM crops to batches of slices, and the statistics of their values."""

from types import ModuleType

import numpy as np
import tensorflow as tf

from a2v_tf.data import sampling
from a2v_tf.data.sources import Source
from a2v_tf.frontend import FRONT_END, log_mel
from a2v_tf.models.encoder import InputStats
from a2v_tf.slicing import ContextSlicing

VALIDATION_ROUND = -1  # a stream of crops that no training round reads


def log_mel_crops(
    source: Source,
    frames: int,
    *,
    batch_size: int,
    seed: int,
    round_index: int | tf.Tensor,
    gain_db: float = 0.0,
) -> tf.data.Dataset:
    """Endless batches of random log-mel crops, `[batch, frames, F]`.

    Only the samples that the frames need are read; the whole chain is in-graph. Each crop is made
    louder or softer by up to `gain_db`, uniform in decibels.
    """
    crops = source.crops(FRONT_END.samples(frames), seed=seed, round_index=round_index)
    batches = crops.batch(batch_size, drop_remainder=True)
    if gain_db:
        key = sampling.key(seed, round_index)

        def change_level(index: tf.Tensor, pcm: tf.Tensor) -> tf.Tensor:
            gains = tf.random.stateless_uniform(
                [batch_size, 1], sampling.fold_in(key, index), -gain_db, gain_db
            )
            return pcm * 10 ** (gains / 20)

        batches = batches.enumerate().map(change_level)
    return batches.map(log_mel, num_parallel_calls=tf.data.AUTOTUNE)


def training_batches(
    source: Source,
    task: ModuleType,
    slicing: ContextSlicing,
    *,
    batch_size: int,
    seed: int,
    steps_per_round: int,
    first_round: int = 0,
    gain_db: float = 0.0,
) -> tf.data.Dataset:
    """Endless `(inputs, targets)` batches for `keras.Model.fit`.

    Training goes in rounds of `steps_per_round` steps. The batches of a round depend on the seed
    and the round's number alone, so a run resumed at a round's start sees what it would have seen.
    """

    def one_round(index: tf.Tensor) -> tf.data.Dataset:
        return log_mel_crops(
            source,
            task.crop_frames(slicing),
            batch_size=batch_size,
            seed=seed,
            round_index=index,
            gain_db=gain_db,
        ).take(steps_per_round)

    rounds = tf.data.Dataset.range(first_round, tf.int64.max).flat_map(one_round)
    cut = rounds.map(lambda x: task.examples(x, slicing), num_parallel_calls=tf.data.AUTOTUNE)
    return cut.prefetch(tf.data.AUTOTUNE)


def validation_batches(
    source: Source,
    task: ModuleType,
    slicing: ContextSlicing,
    *,
    batch_size: int,
    seed: int,
    examples: int,
) -> tf.data.Dataset:
    """The same `examples` examples every time, rounded up to whole batches; kept in memory."""
    crops = log_mel_crops(
        source,
        task.crop_frames(slicing),
        batch_size=batch_size,
        seed=seed,
        round_index=VALIDATION_ROUND,
    )
    steps = -(-examples // batch_size)
    return crops.take(steps).map(lambda x: task.examples(x, slicing)).cache()


def input_stats(source: Source, frames: int, *, seed: int, crops: int = 512) -> InputStats:
    """Mean and variance of the log-mel values of `crops` random crops of `frames` frames."""
    batch_size = 32
    batches = log_mel_crops(
        source, frames, batch_size=batch_size, seed=seed, round_index=VALIDATION_ROUND
    )
    sums = np.zeros(3)  # of 1, x, x²
    for batch in batches.take(-(-crops // batch_size)).as_numpy_iterator():
        x = batch.astype(np.float64)
        sums += x.size, x.sum(), np.square(x).sum()
    count, total, squares = sums
    mean = total / count
    return InputStats(float(mean), float(max(squares / count - mean**2, 1e-6)))
