"""Batches: their shapes, their rounds, and what stays the same."""

import numpy as np
import pytest
import tensorflow as tf

from a2v_tf import training_data
from a2v_tf.frontend import FRONT_END, log_mel
from a2v_tf.slicing import ContextSlicing
from a2v_tf.tasks import cbow

SLICING = ContextSlicing(frames=8, context=1, gap=2)
OPTIONS = {"batch_size": 2, "seed": 5}


class Noise:
    """A source whose crops are a pure function of seed, round and place, as the contract says."""

    def crops(self, samples, *, seed, round_index):
        round_index = tf.cast(round_index, tf.int64)
        return tf.data.Dataset.range(tf.int64.max).map(
            lambda i: 0.1 * tf.random.stateless_normal([samples], [seed + round_index, i])
        )


def batches(count, **options):
    dataset = training_data.training_batches(
        Noise(), cbow, SLICING, **OPTIONS, steps_per_round=3, **options
    )
    return [(x.numpy(), y.numpy()) for x, y in dataset.take(count)]


def test_shapes():
    ((x, y),) = batches(1)
    assert x.shape == (2, 2, 8, 64)
    assert y.shape == (2, 8, 64)


@pytest.mark.parametrize("gain_db", [0.0, 6.0])
def test_a_round_is_the_same_wherever_one_starts(gain_db):
    whole = batches(9, gain_db=gain_db)
    tail = batches(6, first_round=1, gain_db=gain_db)
    for (a, b), (c, d) in zip(whole[3:], tail, strict=True):
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(b, d)
    assert (whole[0][0] != whole[3][0]).any()


def test_gain_changes_the_level_of_whole_crops_within_bounds():
    """Far above the log's offset, a gain adds the same to every log-mel value of a crop."""
    options = {"batch_size": 64, "seed": 5, "round_index": 0}
    plain = next(iter(training_data.log_mel_crops(Noise(), 20, **options))).numpy()
    loud = next(iter(training_data.log_mel_crops(Noise(), 20, gain_db=6.0, **options))).numpy()
    change = 20 / np.log(10) * (loud - plain)[plain.min((1, 2)) > -2]
    assert np.ptp(change, axis=(1, 2)).max() < 2.0  # the quietest values feel the offset
    by_crop = np.median(change, axis=(1, 2))
    assert np.abs(by_crop).max() <= 6.01
    assert by_crop.min() < -3 < 3 < by_crop.max()


def test_validation_is_always_the_same():
    data = training_data.validation_batches(Noise(), cbow, SLICING, **OPTIONS, examples=5)
    first, second = ([y.numpy() for _, y in data] for _ in range(2))
    assert len(first) == 3  # whole batches
    np.testing.assert_array_equal(first, second)


def test_input_stats_are_mean_and_variance_of_the_values():
    stats = training_data.input_stats(Noise(), 30, seed=5, crops=64)
    crops = Noise().crops(FRONT_END.samples(30), seed=5, round_index=training_data.VALIDATION_ROUND)
    values = log_mel(np.stack(list(crops.take(64).as_numpy_iterator()))).numpy()
    assert stats.mean == pytest.approx(values.mean(), abs=1e-5)
    assert stats.variance == pytest.approx(values.var(), rel=1e-4)
