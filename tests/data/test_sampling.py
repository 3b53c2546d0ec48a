import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from a2v_tf.data import sampling


def _uniform(counts: np.ndarray) -> float:
    """p-value of the chi-square test that all counts have the same mean."""
    return scipy.stats.chisquare(counts).pvalue


@pytest.mark.parametrize(
    ("samples", "positions"), [(399, 0), (400, 1), (559, 1), (560, 2), (16_000, 98)]
)
def test_positions_are_the_frames_at_which_a_crop_can_start(samples, positions):
    assert sampling.positions_in(samples, 400) == positions
    tensor = sampling.positions_in(tf.constant(samples, tf.int64), 400)
    assert tensor.numpy() == positions
    assert tensor.dtype == tf.int64


@pytest.mark.parametrize(("total", "stratum"), [(1, 500), (7, 500), (1_234, 7)])
def test_stratified_positions_are_uniform(total, stratum, monkeypatch):
    monkeypatch.setattr(sampling, "STRATUM", stratum)
    strata = -(-total // stratum)
    epochs = 1_500 if strata == 1 else 100
    dataset = tf.data.Dataset.range(epochs).flat_map(
        lambda epoch: sampling.stratified_positions(total, sampling.key(1, 0, epoch))
    )
    positions = np.array(list(dataset.as_numpy_iterator()))
    assert len(positions) == epochs * strata
    counts = np.bincount(positions, minlength=total)
    assert len(counts) == total
    assert total == 1 or _uniform(counts) > 0.01


def test_an_epoch_draws_once_from_each_stratum():
    total = 100 * sampling.STRATUM
    positions = np.array(
        list(sampling.stratified_positions(total, sampling.key(5, 0, 0)).as_numpy_iterator())
    )
    np.testing.assert_array_equal(np.sort(positions // sampling.STRATUM), np.arange(100))
    assert not np.array_equal(positions // sampling.STRATUM, np.arange(100))


def test_positions_of_a_huge_corpus_reach_its_end():
    total = 2_000_000 * 1_000
    positions = sampling.stratified_positions(total, sampling.key(5, 0, 0)).take(5_000)
    positions = np.array(list(positions.as_numpy_iterator()))
    assert positions.dtype == np.int64
    assert positions.max() < total
    assert _uniform(np.histogram(positions, 20, (0, total))[0]) > 0.01
    assert len(np.unique(positions % 160)) == 160  # float32 would leave multiples of 128


@pytest.mark.parametrize("stratum", [1.0, 3.5, 50.0])
def test_positions_in_clips_of_any_length_are_equally_likely(stratum):
    lengths, trials = (1, 2, 5, 40), 4_000

    def count(clip: int, length: int) -> np.ndarray:
        def draw(trial: tf.Tensor) -> tf.Tensor:
            positions = tf.constant(length, tf.int64)
            drawn = sampling.clip_positions(positions, stratum, sampling.key(3, trial, clip))
            return tf.math.bincount(tf.cast(drawn, tf.int32), minlength=length)

        counts = tf.data.Dataset.range(trials).map(draw, num_parallel_calls=2).batch(trials)
        return next(counts.as_numpy_iterator()).sum(axis=0)

    counts = np.concatenate([count(*clip) for clip in enumerate(lengths)])
    assert _uniform(counts) > 0.01
    assert counts.mean() == pytest.approx(trials / stratum, rel=0.2)


def test_rows_of_blocks_are_a_permutation_within_each():
    key = sampling.key(1)
    numbers = tf.data.Dataset.range(10).map(lambda i: (i, 10 * i))
    rows = sampling.shuffled_rows(numbers.batch(4), key)
    drawn = [int(block[0][row]) for block, row in rows]
    assert [sorted(drawn[i : i + 4]) for i in (0, 4, 8)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    shuffled = list(sampling.shuffle_blocks(numbers, 4, key).as_numpy_iterator())
    assert shuffled == [(i, 10 * i) for i in drawn]
    assert drawn != list(range(10))


def test_successive_positions_are_not_correlated():
    total = 2_000_000 * 1_000
    positions = sampling.stratified_positions(total, sampling.key(2, 0, 0)).take(10_000)
    positions = np.array(list(positions.as_numpy_iterator()))
    assert abs(np.corrcoef(positions[:-1], positions[1:])[0, 1]) < 0.04  # 4 sigma


def test_keys_depend_on_every_part_and_not_on_its_dtype():
    keys = {
        tuple(sampling.key(*parts).numpy()) for parts in [(1,), (1, 0), (1, 0, 0), (1, 1), (2, 0)]
    }
    assert len(keys) == 5
    tensor = tf.constant(7, tf.int64)
    np.testing.assert_array_equal(sampling.key(1, 7), sampling.key(1, tensor))
    np.testing.assert_array_equal(sampling.key(2**40, 7), sampling.key(2**40, 7))
    assert tuple(sampling.key(2**40).numpy()) != tuple(sampling.key(2**41).numpy())


@pytest.mark.parametrize(
    ("pcm", "reason"),
    [
        ([0.1, np.nan], "NaN"),
        ([0.1, np.inf], "NaN or infinite"),
        ([0.1, -3_000.0], "samples up to 3e\\+03"),
        ([0.0, 1e-6], "silent"),
        ([0.0, -0.5], None),
    ],
)
def test_flaws_are_found_in_python_and_in_graph(pcm, reason):
    pcm = np.array(pcm, np.float32)
    flaw = sampling.flaw(pcm)
    assert bool(sampling.is_usable(tf.constant(pcm))) == (reason is None)
    if reason is None:
        assert flaw is None
    else:
        with pytest.raises(AssertionError, match=reason):
            raise AssertionError(flaw)
