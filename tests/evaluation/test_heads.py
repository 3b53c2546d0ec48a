"""Heads on embeddings whose answers are known."""

import dataclasses
import math

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from a2v_tf.errors import A2vError
from a2v_tf.evaluation import heads
from a2v_tf.evaluation import windows as windows_module
from a2v_tf.evaluation.compare import HEADS, RANDOM
from a2v_tf.evaluation.heads import sgd, two_layer
from a2v_tf.evaluation.neighbours import SMOOTHING
from a2v_tf.evaluation.settings import ALL_CLIPS, Few, HeadSettings
from a2v_tf.evaluation.windows import Windows, aggregate
from tests.evaluation.conftest import blobs

FAST = HeadSettings(steps=200, learning_rate=1e-2, hidden=16)


@given(st.integers(0, 10_000), st.sampled_from([0.0, SMOOTHING]))
@settings(max_examples=30, deadline=None)
def test_naive_bayes_equals_a_loop(seed, smoothing):
    rng = np.random.default_rng(seed)
    clips, classes = rng.integers(1, 5), rng.integers(2, 6)
    window_clip = np.concatenate([np.arange(clips), rng.integers(0, clips, 7)])
    probabilities = rng.dirichlet(np.ones(classes), len(window_clip))
    want = []
    for clip in range(clips):
        score = np.zeros(classes)
        for p, c in zip(probabilities, window_clip, strict=True):
            if c == clip:
                score += [math.log(x + smoothing) for x in p]
        want.append(np.argmax(score))
    found = aggregate(probabilities, window_clip, clips, smoothing)
    np.testing.assert_array_equal(found, want)


@pytest.mark.parametrize("protocol", HEADS)
def test_only_votes_are_smoothed(protocol, monkeypatch):
    """A vote of 0 of 10 rules nothing out; a head's probabilities are what they are."""
    seen = []

    def spy(probabilities, window_clip, clips, smoothing):
        seen.append(smoothing)
        return aggregate(probabilities, window_clip, clips, smoothing)

    monkeypatch.setattr(windows_module, "aggregate", spy)
    HEADS[protocol](blobs(), 0, HeadSettings(steps=1))
    expected = {"knn": set(), "knn_clips": {SMOOTHING}}.get(protocol, {0.0})
    assert set(seen) == expected


def test_windows_that_rule_out_every_class_leave_an_order():
    probabilities = np.array([[0.0, 1.0, 0.0], [0.9, 0.0, 0.1]])
    assert aggregate(probabilities, np.zeros(2, int), 1).tolist() == [1]


@pytest.mark.parametrize("protocol", HEADS)
def test_separable_classes_are_separated_and_noise_is_not(protocol):
    easy = HEADS[protocol](blobs(), 0, FAST)
    assert easy.accuracy == 1.0
    assert easy.n_test == (9 * 4 if protocol == "knn" else 9)  # windows, or clips
    noise = blobs(separation=0.0, clips=40)
    assert HEADS[protocol](noise, 0, FAST).accuracy < 0.7


@pytest.mark.parametrize("protocol", ["linear", "knn", "knn_clips"])
def test_the_scale_of_embeddings_does_not_matter(protocol):
    """kNN's distances scale along; logistic regression takes standardised inputs."""
    noisy = blobs(separation=0.4, clips=40)
    scaled = dataclasses.replace(noisy, values=noisy.values * 1024)
    first, second = (HEADS[protocol](windows, 0, FAST) for windows in (noisy, scaled))
    assert 0.3 < first.accuracy < 1.0
    assert first.accuracy == pytest.approx(second.accuracy, abs=0.05)


@pytest.mark.parametrize("head", [sgd, two_layer])
def test_the_papers_heads_take_embeddings_as_they_are(head, monkeypatch):
    """SPL section IV: a layer on the embedding. Nothing is fitted to the inputs before it."""
    windows = blobs(separation=0.4, clips=40)
    windows = dataclasses.replace(windows, values=windows.values * 100 + 7)
    inputs = []
    plain = keras.Model.fit

    def fit(self, batches, **options):
        inputs.extend(x.numpy() for x, _ in batches)
        return plain(self, batches, **options)

    monkeypatch.setattr(keras.Model, "fit", fit)
    head(windows, 0, HeadSettings(steps=2))
    known = {row.tobytes() for row in windows.values[windows.rows("train")]}
    assert {row.tobytes() for row in np.concatenate(inputs)} <= known


def long_and_short() -> Windows:
    """Two classes: each has a long clip with slices around one place, and short ones elsewhere."""
    rng = np.random.default_rng(0)
    counts = [40, *[1] * 20] * 2
    clip = np.repeat(np.arange(len(counts)), counts)
    labels = np.repeat([0, 1], 21)
    values = rng.normal(size=(len(clip), 3))
    splits = np.full(len(counts), "train")
    return Windows(("a", "b"), labels, splits, clip, values, np.ones(len(clip), bool))


def test_clips_weigh_alike_in_logistic_regression():
    """Slices at random positions are weighted so that each clip has the same weight in all."""
    windows = long_and_short()
    rows = windows.rows("train")
    weights = windows.weights(rows)
    assert weights.mean() == pytest.approx(1.0)
    of_clips = np.bincount(windows.clip, weights)
    np.testing.assert_allclose(of_clips, of_clips[0])
    assert dataclasses.replace(windows, drawn=None).weights(rows) is None


def test_clips_weigh_alike_in_batches():
    """Each round of training takes one random slice of each clip (ICLR section 4)."""
    windows = long_and_short()
    order = heads._random_order(len(windows.clip), windows.clip, 42 * 200, seed=0)
    for one_round in order.reshape(200, 42):
        assert sorted(windows.clip[one_round]) == list(range(42))
    counts = np.bincount(order[windows.clip[order] == 0], minlength=40)[:40]
    assert counts.sum() == 200
    assert counts.max() < 20  # 5 of each slice on average
    plain = heads._random_order(80, None, 160, seed=0)
    assert sorted(plain[:80]) == sorted(plain[80:]) == list(range(80))


def test_slices_are_judged_each_for_itself():
    """SPL section IV: no naive Bayes; and a clip of many slices counts no more than another."""
    clip, drawn = np.array([0, 0, 0, 1, 0, 1]), np.array([True, True, True, True, False, False])
    windows = Windows(
        *(("a", "b"), np.array([0, 1]), np.array(["test", "test"]), clip, np.zeros((6, 1)), drawn)
    )
    slices = dataclasses.replace(windows, judge="slices")
    right = np.array([[0.9, 0.1], [0.4, 0.6], [0.4, 0.6], [0.1, 0.9], [0.9, 0.1], [0.9, 0.1]])
    assert slices.accuracy("test", lambda rows: right[rows]) == pytest.approx((1 / 3 + 1) / 2)
    assert slices.judged_rows("test").tolist() == [0, 1, 2, 3]
    assert windows.accuracy("test", lambda rows: right[rows]) == 0.5  # of the other two windows
    assert windows.judged_rows("test").tolist() == [4, 5]


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
    limited = windows.limited(Few(3), seed=0)
    rows = limited.rows("train")
    clips = np.unique(limited.clip[rows])
    assert np.bincount(limited.labels[clips]).tolist() == [3, 3, 3]
    assert len(rows) == 3 * 3 * 4
    assert len(limited.rows("test")) == len(windows.rows("test"))
    assert limited.count("val") == len(limited.rows("val")) == 0  # nothing is tuned on them
    other = windows.limited(Few(3), seed=1)
    assert set(clips) != set(np.unique(other.clip[other.rows("train")]))
    assert windows.limited(ALL_CLIPS, seed=0) is windows
    np.testing.assert_array_equal(
        limited.values, windows.values[np.isin(windows.clip, np.unique(limited.clip))]
    )


def test_examples_of_all_classes_together():
    """The other reading of SPL section IV: a number of training examples in all."""
    windows = blobs(clips=40)
    limited = windows.limited(Few(total=7), seed=0)
    clips = np.unique(limited.clip[limited.rows("train")])
    assert len(clips) == 7
    assert limited.count("val") == len(limited.rows("val")) == 0
    counts = [
        np.bincount(windows.labels[np.unique(x.clip[x.rows("train")])], minlength=3).tolist()
        for x in (windows.limited(Few(total=7), seed=seed) for seed in range(8))
    ]
    assert len(set(map(tuple, counts))) > 1  # at random, not so many of each class
    with pytest.raises(A2vError, match="--examples=1: drew clips of one class"):
        windows.limited(Few(total=1), seed=0)
