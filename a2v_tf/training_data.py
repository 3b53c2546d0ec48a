"""From a source of crops to batches of slices, and the statistics of their values."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from a2v_tf.data import sampling
from a2v_tf.data.sources import Source
from a2v_tf.frontend import FRONT_END, FrontEnd, log_mel
from a2v_tf.models.encoder import InputStats
from a2v_tf.slicing import Slicing
from a2v_tf.tasks import multi_head
from a2v_tf.tasks.crops import Crops

if TYPE_CHECKING:
    from a2v_tf.data.labelled import LabelledData

VALIDATION_ROUND = -1  # a stream of crops that no training round reads

# From the number of a round to its endless batches.
Round = Callable[[tf.Tensor], tf.data.Dataset]


def log_mel_crops(
    source: Source,
    frames: int,
    *,
    batch_size: int,
    seed: int,
    round_index: int | tf.Tensor,
    gain_db: float = 0.0,
) -> tf.data.Dataset:
    """Endless batches of random log-mel crops `[batch, frames, F]`, and their clips `[batch]`.

    Only the samples that the frames need are read; the whole chain is in-graph. Crops of band
    levels are frames already and stay as they are. Each crop is made louder or softer by up to
    `gain_db`, uniform in decibels, which is what band levels are in.
    """
    is_pcm = isinstance(source.front_end, FrontEnd)
    samples = source.front_end.samples(frames)
    crops = source.crops(samples, seed=seed, round_index=round_index)
    batches = crops.batch(batch_size, drop_remainder=True)
    if gain_db:
        key = sampling.key(seed, round_index)

        def change_level(index: tf.Tensor, crop: tuple[tf.Tensor, tf.Tensor]) -> tuple:
            values, clip = crop
            gains = tf.random.stateless_uniform(
                [batch_size, 1], sampling.fold_in(key, index), -gain_db, gain_db
            )
            return (values * 10 ** (gains / 20) if is_pcm else values + gains[..., None]), clip

        batches = batches.enumerate().map(change_level)
    if not is_pcm:
        return batches
    return batches.map(lambda pcm, clip: (log_mel(pcm), clip), num_parallel_calls=tf.data.AUTOTUNE)


def task_batches(
    source: Source,
    names: Sequence[str],
    slicing: Slicing,
    *,
    batch_size: int,
    seed: int,
    gain_db: float = 0.0,
) -> Round:
    """What the tasks train on: `(slices, targets, weights)` of `multi_head.examples`.

    Returns:
      A function from a round's number to its endless batches, which depend on the seed and that
      number alone.
    """

    def one_round(index: int | tf.Tensor) -> tf.data.Dataset:
        crops = log_mel_crops(
            source,
            multi_head.crop_frames(names, slicing),
            batch_size=batch_size,
            seed=seed,
            round_index=index,
            gain_db=gain_db,
        )
        key = sampling.split(sampling.key(seed, index), 2)[1]

        def cut(step: tf.Tensor, crop: tuple[tf.Tensor, tf.Tensor]) -> tuple:
            return multi_head.examples(names, Crops(*crop, slicing, sampling.fold_in(key, step)))

        return crops.enumerate().map(cut, num_parallel_calls=tf.data.AUTOTUNE)

    return one_round


def labelled_batches(
    datasets: "Sequence[LabelledData]",
    frames: int,
    *,
    batch_size: int,
    seed: int,
    per_class: int | None = None,
) -> Round:
    """What a classifier trains on: crops of the train clips of labelled data sets.

    Args:
      datasets: each batch is shared equally among them.
      frames: N, frames of a crop.
      batch_size: a multiple of the number of data sets.
      seed: of everything random.
      per_class: of each data set use at most so many clips of a class.

    Returns:
      A function from a round's number to its endless batches: log-mel `[batch, N, F]`, and by data
      set the labels and the weights `[batch]`, 0 for the crops of other data sets.
    """
    share = batch_size // len(datasets)
    samples = FRONT_END.samples(frames)

    def one_round(index: int | tf.Tensor) -> tf.data.Dataset:
        crops = [
            data.crops(samples, seed=seed, round_index=index, per_class=per_class).batch(share)
            for data in datasets
        ]
        return tf.data.Dataset.zip(tuple(crops)).map(join, num_parallel_calls=tf.data.AUTOTUNE)

    def join(*parts: tuple[tf.Tensor, tf.Tensor]) -> tuple:
        pcm = tf.concat([pcm for pcm, _ in parts], axis=0)
        labels, weights = {}, {}
        for i, (data, (_, label)) in enumerate(zip(datasets, parts, strict=True)):
            before, after = i * share, (len(parts) - 1 - i) * share
            around = [[before, after], *([[0, 0]] * (label.shape.rank - 1))]
            labels[data.name] = tf.pad(label, around)
            weights[data.name] = tf.pad(tf.ones([share]), around[:1])
        return log_mel(pcm), labels, weights

    return one_round


def training_batches(
    one_round: Round, *, steps_per_round: int, first_round: int = 0
) -> tf.data.Dataset:
    """Endless batches for `keras.Model.fit`, in rounds of `steps_per_round` steps.

    A run resumed at a round's start sees what it would have seen.
    """
    rounds = tf.data.Dataset.range(first_round, tf.int64.max)
    batches = rounds.flat_map(lambda index: one_round(index).take(steps_per_round))
    return batches.prefetch(tf.data.AUTOTUNE)


def validation_batches(one_round: Round, *, batch_size: int, examples: int) -> tf.data.Dataset:
    """Batches that are always the same, rounded up to whole batches; kept in memory."""
    count = -(-examples // batch_size)
    # Of a data set whose length it does not know, Keras counts one batch more, with a loss of 0.
    known = tf.data.experimental.assert_cardinality(count)
    return one_round(VALIDATION_ROUND).take(count).cache().apply(known)


def input_stats(source: Source, frames: int, *, seed: int, crops: int = 512) -> InputStats:
    """Mean and variance of the log-mel values of `crops` random crops of `frames` frames."""
    batch_size = 32
    batches = log_mel_crops(
        source, frames, batch_size=batch_size, seed=seed, round_index=VALIDATION_ROUND
    )
    return _stats(batches.take(-(-crops // batch_size)).map(lambda log_mel, clip: log_mel))


def labelled_stats(one_round: Round, *, batches: int = 16) -> InputStats:
    """Mean and variance of the log-mel values of the first batches of `labelled_batches`."""
    return _stats(one_round(VALIDATION_ROUND).take(batches).map(lambda log_mel, *_: log_mel))


def _stats(batches: tf.data.Dataset) -> InputStats:
    """Mean and variance of all values of a finite data set of log-mel batches."""
    sums = np.zeros(3)  # of 1, x, x²
    for batch in batches.as_numpy_iterator():
        x = batch.astype(np.float64)
        sums += x.size, x.sum(), np.square(x).sum()
    count, total, squares = sums
    mean = total / count
    return InputStats(float(mean), float(max(squares / count - mean**2, 1e-6)))
