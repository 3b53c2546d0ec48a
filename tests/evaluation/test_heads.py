"""Heads on embeddings whose answers are known."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from a2v_tf.evaluation.compare import HEADS, RANDOM
from a2v_tf.evaluation.heads import sgd, two_layer
from a2v_tf.evaluation.settings import HeadSettings
from a2v_tf.evaluation.windows import SMOOTHING, aggregate
from tests.evaluation.conftest import blobs

FAST = HeadSettings(steps=200, learning_rate=1e-2, hidden=16)


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_naive_bayes_equals_a_loop(seed):
    rng = np.random.default_rng(seed)
    clips, classes = rng.integers(1, 5), rng.integers(2, 6)
    window_clip = np.concatenate([np.arange(clips), rng.integers(0, clips, 7)])
    probabilities = rng.dirichlet(np.ones(classes), len(window_clip))
    want = []
    for clip in range(clips):
        score = np.zeros(classes)
        for p, c in zip(probabilities, window_clip, strict=True):
            if c == clip:
                score += [math.log(x + SMOOTHING) for x in p]
        want.append(np.argmax(score))
    np.testing.assert_array_equal(aggregate(probabilities, window_clip, clips), want)


@pytest.mark.parametrize("protocol", HEADS)
def test_separable_classes_are_separated_and_noise_is_not(protocol):
    easy = HEADS[protocol](blobs(), 0, FAST)
    assert easy.accuracy == 1.0
    assert easy.n_test == (9 * 4 if protocol == "knn" else 9)  # windows, or clips
    noise = blobs(separation=0.0, clips=40)
    assert HEADS[protocol](noise, 0, FAST).accuracy < 0.7


@pytest.mark.parametrize("protocol", HEADS)
def test_the_scale_of_embeddings_matters_to_no_head(protocol):
    """kNN's distances scale along; the heads see standardised inputs."""
    noisy = blobs(separation=0.4, clips=40)
    scaled = dataclasses.replace(noisy, values=noisy.values * 1024)
    first, second = (HEADS[protocol](windows, 0, FAST) for windows in (noisy, scaled))
    assert 0.3 < first.accuracy < 1.0
    assert first.accuracy == pytest.approx(second.accuracy, abs=0.05)


@pytest.mark.parametrize("protocol", RANDOM)
def test_a_seed_repeats_a_result(protocol):
    noise = blobs(separation=0.7, clips=40)
    few = HeadSettings(steps=20)
    again = [HEADS[protocol](noise, seed, few).accuracy for seed in (3, 3)]
    assert again[0] == again[1]


@pytest.mark.parametrize("head", [sgd, two_layer])
def test_seeds_of_the_adam_heads_differ(head):
    noise = blobs(separation=0.7, clips=40)
    assert len({head(noise, seed, HeadSettings(steps=5)).accuracy for seed in range(6)}) > 1


def test_a_second_layer_separates_what_a_line_cannot():
    """ICLR section 4, "Beyond linear separability": exclusive or."""
    windows = blobs(classes=2, dims=2, clips=200)
    rng = np.random.default_rng(1)
    corner = rng.choice([-1, 1], len(windows.clip))
    sign = np.where(windows.label_of(np.arange(len(corner))) == 0, corner, -corner)
    values = np.stack([corner, sign], axis=1) + 0.1 * rng.standard_normal((len(corner), 2))
    windows = dataclasses.replace(windows, values=values.astype(np.float32))
    assert sgd(windows, 0, FAST).accuracy < 0.8
    assert two_layer(windows, 0, FAST).accuracy > 0.95


def test_task_parameters():
    """ICLR Figure 3 counts 128 x C for a linear head."""
    windows = blobs(dims=128, classes=5)
    few = HeadSettings(steps=1, hidden=64)
    found = {name: head(windows, 0, few).task_parameters for name, head in HEADS.items()}
    assert found == {
        "linear": 128 * 5,
        "sgd": 128 * 5,
        "two_layer": 128 * 64 + 64 * 5,
        "knn": None,
        "knn_clips": None,
    }


def test_a_class_without_train_clips_counts_as_wrong():
    windows = blobs()
    splits = np.where((windows.labels == 2) & (windows.splits == "train"), "val", windows.splits)
    windows = dataclasses.replace(windows, splits=splits)
    for protocol in ("linear", "knn", "knn_clips"):
        assert HEADS[protocol](windows, 0).accuracy == pytest.approx(2 / 3)


def test_examples_per_class():
    windows = blobs(clips=40)
    limited = windows.limited(3, seed=0)
    rows = limited.rows("train")
    clips = np.unique(limited.clip[rows])
    assert np.bincount(limited.labels[clips]).tolist() == [3, 3, 3]
    assert len(rows) == 3 * 3 * 4
    assert len(limited.rows("test")) == len(windows.rows("test"))
    assert limited.count("val") == len(limited.rows("val")) == 0  # nothing is tuned on them
    other = windows.limited(3, seed=1)
    assert set(clips) != set(np.unique(other.clip[other.rows("train")]))
    assert windows.limited(None, seed=0) is windows
    np.testing.assert_array_equal(
        limited.values, windows.values[np.isin(windows.clip, np.unique(limited.clip))]
    )
