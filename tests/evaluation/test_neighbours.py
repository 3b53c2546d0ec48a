"""k nearest neighbours against NumPy, and how windows are drawn."""

import dataclasses

import numpy as np
import pytest
from sklearn.random_projection import GaussianRandomProjection

from a2v_tf.evaluation import neighbours
from a2v_tf.evaluation.neighbours import draw, knn
from a2v_tf.evaluation.settings import Few
from tests.evaluation.conftest import blobs


def brute_force(x_train, y_train, x_test, k):
    """Most frequent label among the k nearest; the lowest label of those as frequent."""
    distances = np.square(x_test[:, None].astype(float) - x_train[None]).sum(axis=2)
    nearest = np.argsort(distances, axis=1)[:, :k]
    return np.array([np.bincount(y_train[row]).argmax() for row in nearest])


@pytest.mark.parametrize("seed", range(3))
def test_equals_brute_force(seed, monkeypatch):
    monkeypatch.setattr(neighbours, "TRAIN_WINDOWS", 100)
    monkeypatch.setattr(neighbours, "TEST_WINDOWS", 50)
    windows = blobs(separation=0.6, clips=40)
    rng = np.random.default_rng(seed)
    train, test = draw(windows, "train", 100, rng), draw(windows, "test", 50, rng)
    guesses = brute_force(windows.values[train], windows.label_of(train), windows.values[test], 10)
    score = knn(windows, seed)
    assert score.n_test == 50
    assert score.accuracy == (guesses == windows.label_of(test)).mean()
    assert 0.4 < score.accuracy < 0.95


@pytest.mark.parametrize("per_class", [1, 5, 10])
def test_few_examples_are_classified_by_the_nearest(per_class):
    windows = blobs(separation=0.6, clips=60).limited(Few(per_class), seed=0)
    train, test = windows.rows("train"), windows.rows("test")
    k = 10 if per_class == 10 else 1
    labels = windows.label_of(train)
    guesses = brute_force(windows.values[train], labels, windows.values[test], k)
    assert knn(windows).accuracy == pytest.approx((guesses == windows.label_of(test)).mean())


def test_spectrograms_are_projected_at_random():
    """Patent paragraph 73: a Gaussian matrix to 128 dimensions."""
    flat = blobs(dims=20 * 30, separation=0.08, clips=40)
    spectrograms = dataclasses.replace(flat, values=flat.values.reshape(-1, 20, 30))
    rng = np.random.default_rng(0)
    train, test = draw(flat, "train", 10_000, rng), draw(flat, "test", 2_000, rng)
    projection = GaussianRandomProjection(128, random_state=0).fit(flat.values[train])
    x_train, x_test = (projection.transform(flat.values[rows]) for rows in (train, test))
    guesses = brute_force(x_train, flat.label_of(train), x_test, 10)
    assert knn(spectrograms, 0).accuracy == (guesses == flat.label_of(test)).mean()
    assert knn(spectrograms, 0).accuracy != knn(flat, 0).accuracy


def test_windows_are_drawn_from_all_clips_alike():
    """A clip of many windows gives no more than others while those have any."""
    windows = blobs(clips=20, windows=1)
    long_clip = np.full(500, windows.clip[0])
    clip = np.concatenate([windows.clip, long_clip])
    values = np.zeros((len(clip), 6), np.float32)
    windows = dataclasses.replace(windows, clip=clip, values=values)
    drawn = draw(windows, "train", 32, np.random.default_rng(0))
    counts = np.bincount(windows.clip[drawn])
    assert len(np.unique(drawn)) == 32
    assert counts.max() == 3  # 30 train clips once, then the only one that has more
    assert (counts > 0).sum() == 30
    everything = draw(windows, "train", 10_000, np.random.default_rng(0))
    assert sorted(everything) == windows.rows("train").tolist()
    assert drawn.tolist() != draw(windows, "train", 32, np.random.default_rng(1)).tolist()
